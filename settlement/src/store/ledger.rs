//! The ledger: postings go in, and nothing is changed.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::{
    ids::{EventId, MerchantId, PaymentNo, RefundNo},
    money::{Currency, Money},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{StoreError, corrupt};
use crate::domain::{
    ledger::{Entry, Posting},
    payment_books::{Booked, BookedStep, PaymentBooks},
};

const TABLE: &str = "ledger_transactions";

/// Books a posting: its transaction, its entries, and a line for each entry that a settlement is to take. Unique indexes refuse
/// what is booked already.
pub async fn post(
    connection: &mut PgConnection,
    posting: &Posting,
    event_id: Option<EventId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (fact, amount) = (posting.fact(), posting.amount());
    let accounts: Vec<String> = posting
        .entries()
        .iter()
        .map(|entry| entry.account.name().to_owned())
        .collect();
    let amounts: Vec<i64> = posting.entries().iter().map(|entry| entry.minor).collect();
    let component = |entry: &Entry| entry.component.map(|component| component.name().to_owned());
    let components: Vec<Option<String>> = posting.entries().iter().map(component).collect();
    sqlx::query!(
        "with transaction as (
             insert into ledger_transactions (
                 id, kind, merchant_id, currency, amount, occurred_at, posted_at, event_id,
                 payment_no, refund_no, withdrawal_no, fee_basis_points, fee_fixed_minor
             ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ), entries as (
             insert into ledger_entries (transaction_id, account, merchant_id, currency, amount, component)
             select $1, entry.account, $3, $4, entry.amount, entry.component
             from unnest($14::text[], $15::bigint[], $16::text[]) with ordinality
                 as entry (account, amount, component, place)
             order by entry.place
             returning id, component
         )
         insert into settlement_lines (entry_id, merchant_id, currency, occurred_at)
         select id, $3, $4, $6 from entries where component is not null",
        Uuid::now_v7(),
        fact.kind(),
        posting.merchant_id().uuid(),
        amount.currency.code(),
        amount.minor,
        posting.occurred_at().to_sqlx() as _,
        now.to_sqlx() as _,
        event_id.map(EventId::uuid),
        fact.payment_no().map(PaymentNo::uuid),
        fact.refund_no().map(RefundNo::uuid),
        fact.withdrawal_no().map(schemas::ids::WithdrawalNo::uuid),
        fact.terms().map(|terms| i32::from(terms.basis_points())),
        fact.terms().map(crate::domain::terms::Terms::fixed_minor),
        &accounts,
        &amounts,
        &components as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What is booked for a payment so far: the charge, what was held, then how that ended. Not by id alone, because the clocks of
/// two replicas may differ by more than two events do.
pub async fn payment_books(
    connection: &mut PgConnection,
    payment_no: PaymentNo,
) -> Result<PaymentBooks, StoreError> {
    let rows = sqlx::query!(
        "select kind, merchant_id, currency, amount, refund_no
         from ledger_transactions where payment_no = $1
         order by kind <> 'charge', kind <> 'refund_held', id",
        payment_no.uuid(),
    )
    .fetch_all(connection)
    .await?;
    let mut history = Vec::with_capacity(rows.len());
    for row in rows {
        let refund_no = row.refund_no.map(RefundNo::from_uuid);
        let step = match (row.kind.as_str(), refund_no) {
            ("charge", None) => BookedStep::Charge,
            ("refund_held", Some(no)) => BookedStep::Held(no),
            ("refund_released", Some(no)) => BookedStep::Released(no),
            ("refund_paid", Some(no)) => BookedStep::Paid(no),
            (kind, _) => return Err(corrupt(TABLE, format!("kind {kind} of payment {payment_no}"))),
        };
        let currency = Currency::parse(&row.currency).map_err(|error| corrupt(TABLE, error))?;
        let merchant_id = MerchantId::from_uuid(row.merchant_id);
        history.push(Booked {
            step,
            merchant_id,
            amount: Money::new(row.amount, currency),
        });
    }
    Ok(PaymentBooks::replay(payment_no, history))
}
