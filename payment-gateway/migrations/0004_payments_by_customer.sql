-- Erasing a customer clears what the merchant wrote on their payments.
create index payments_by_customer on payments (customer_id);
