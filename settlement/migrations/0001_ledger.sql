-- The double-entry ledger. Amounts are minor units of the row's currency; a debit is positive, a credit negative, so that
-- every transaction sums to zero. What a merchant is owed is a credit on merchant_payable, hence negative.

-- One business fact, booked once: a charge, a refund that is held, a payout that the bank completed …
create table ledger_transactions (
    id uuid constraint ledger_transactions_pkey primary key,
    kind text not null constraint ledger_transactions_kind_known check (
        kind in (
            'charge', 'refund_held', 'refund_released', 'refund_paid',
            'payout', 'payout_completed', 'payout_failed', 'payout_returned'
        )
    ),
    merchant_id uuid not null,
    currency text not null constraint ledger_transactions_currency_is_iso4217 check (currency ~ '^[A-Z]{3}$'),
    -- The charge, the refund or the payout as a whole, always positive; its entries say what it does to which account.
    amount bigint not null constraint ledger_transactions_amount_positive check (amount > 0),
    -- When it happened at the gateway or at the bank; what a settlement's period is about.
    occurred_at timestamptz not null,
    -- When this ledger learned of it.
    posted_at timestamptz not null,
    -- The event on payments.payment.v1 that caused it; null for what the bank caused.
    event_id uuid constraint ledger_transactions_event_booked_once unique,
    payment_no uuid,
    refund_no uuid,
    withdrawal_no uuid,
    -- The terms that a charge was priced with, for whoever recomputes its fee.
    fee_basis_points integer,
    fee_fixed_minor bigint,
    constraint ledger_transactions_names_its_object check (
        case
            when kind = 'charge' then payment_no is not null and refund_no is null and withdrawal_no is null
            when kind like 'refund\_%' then payment_no is not null and refund_no is not null and withdrawal_no is null
            else payment_no is null and refund_no is null and withdrawal_no is not null
        end
    ),
    constraint ledger_transactions_charge_names_its_terms check (
        (kind = 'charge') = (fee_basis_points is not null) and (kind = 'charge') = (fee_fixed_minor is not null)
    )
);

-- Each step of a payment, a refund and a payout is booked once, whatever the events' ids say.
create unique index ledger_transactions_charge_once on ledger_transactions (payment_no) where kind = 'charge';
create unique index ledger_transactions_hold_once on ledger_transactions (refund_no) where kind = 'refund_held';
create unique index ledger_transactions_refund_resolved_once on ledger_transactions (refund_no)
    where kind in ('refund_released', 'refund_paid');
create unique index ledger_transactions_payout_once on ledger_transactions (withdrawal_no) where kind = 'payout';
create unique index ledger_transactions_payout_completed_once on ledger_transactions (withdrawal_no)
    where kind = 'payout_completed';
create unique index ledger_transactions_payout_back_once on ledger_transactions (withdrawal_no)
    where kind in ('payout_failed', 'payout_returned');
-- A refund is checked against its payment's charge and the payment's other refunds.
create index ledger_transactions_of_payment on ledger_transactions (payment_no) where payment_no is not null;

create table ledger_entries (
    id bigint generated always as identity constraint ledger_entries_pkey primary key,
    transaction_id uuid not null constraint ledger_entries_of_a_transaction references ledger_transactions (id),
    account text not null constraint ledger_entries_account_known check (
        account in ('psp_receivable', 'merchant_payable', 'refunds_held', 'fees', 'payouts_in_transit', 'bank')
    ),
    -- The merchant on whose behalf the account moves; every account is kept per merchant.
    merchant_id uuid not null,
    currency text not null constraint ledger_entries_currency_is_iso4217 check (currency ~ '^[A-Z]{3}$'),
    amount bigint not null constraint ledger_entries_amount_not_zero check (amount <> 0),
    -- What the entry is to the settlement that takes it: a settlement adds charges and returned payouts, and takes refunds
    -- and fees away. Null if none takes it, as with the payout, which is what settles.
    component text constraint ledger_entries_component_known check (
        component in ('charge', 'fee', 'refund', 'returned_payout')
    ),
    constraint ledger_entries_payable_is_settled check (component is null or account = 'merchant_payable')
);

create index ledger_entries_of_transaction on ledger_entries (transaction_id);
-- Balances of one merchant without a visit to the table.
create index ledger_entries_balance on ledger_entries (merchant_id, currency, account) include (amount);

-- The entries of a transaction are inserted by one statement, and that statement balances per transaction and currency.
-- A check per statement, rather than a deferred one per row, reports the culprit where it happens and runs once.
create function ledger_entries_refuse_imbalance() returns trigger language plpgsql as $$
declare
    imbalance record;
begin
    select transaction_id, currency, sum(amount) as amount into imbalance
    from posted group by transaction_id, currency having sum(amount) <> 0 limit 1;
    if found then
        raise exception 'ledger transaction % does not balance: % % left over',
            imbalance.transaction_id, imbalance.amount, imbalance.currency
            using errcode = 'check_violation', constraint = 'ledger_transactions_sum_to_zero';
    end if;
    return null;
end $$;

create trigger ledger_transactions_sum_to_zero
    after insert on ledger_entries referencing new table as posted
    for each statement execute function ledger_entries_refuse_imbalance();

-- What is booked stays booked; a correction is a new transaction.
create function ledger_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% on % refused: the ledger is append only, a correction is a new transaction', tg_op, tg_table_name
        using errcode = 'check_violation', constraint = 'ledger_is_append_only';
end $$;

create trigger ledger_entries_append_only
    before update or delete or truncate on ledger_entries
    for each statement execute function ledger_refuse_change();
create trigger ledger_transactions_append_only
    before update or delete or truncate on ledger_transactions
    for each statement execute function ledger_refuse_change();

-- What a merchant pays per charge, from an instant on. Append only: the latest row of the latest valid_from not after the
-- charge counts, and a merchant without one pays the configured default.
create table merchant_terms (
    id bigint generated always as identity constraint merchant_terms_pkey primary key,
    merchant_id uuid not null,
    valid_from timestamptz not null,
    basis_points integer not null
        constraint merchant_terms_basis_points_in_range check (basis_points between 0 and 10000),
    -- In minor units of the charge's currency.
    fixed_minor bigint not null constraint merchant_terms_fixed_in_range check (fixed_minor between 0 and 1000000000),
    set_by text not null,
    set_at timestamptz not null
);

create index merchant_terms_in_force on merchant_terms (merchant_id, valid_from desc, id desc);
