//! Whom a notice may be sent to, as the gateway knows it at the moment of delivery. Never stored, never logged.

use schemas::{MerchantId, PaymentNo};

/// Everyone who may have to be told about one event.
pub struct Contact {
    /// The merchant.
    pub merchant: Merchant,
    /// Who paid, if a payment was asked about.
    pub customer: Option<Customer>,
    /// The payment, if one was asked about.
    pub payment: Option<Payment>,
}

/// A merchant's contact.
pub struct Merchant {
    /// Whose contact it is.
    pub merchant_id: MerchantId,
    /// The name that customers see.
    pub name: String,
    /// Where the merchant reads mail.
    pub email: Option<String>,
    /// Where webhooks go unless the payment says otherwise.
    pub notify_url: Option<String>,
    /// `whsec_…`: the key that signs webhooks.
    pub webhook_secret: String,
}

/// A customer's contact.
pub struct Customer {
    /// Where the customer reads mail.
    pub email: Option<String>,
    /// The customer was erased: there is nobody to tell.
    pub erased: bool,
}

/// What only the gateway knows about a payment.
pub struct Payment {
    /// Which payment.
    pub payment_no: PaymentNo,
    /// Where this payment's webhooks go.
    pub notify_url: Option<String>,
    /// The merchant's own words about it.
    pub description: Option<String>,
}
