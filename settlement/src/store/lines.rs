//! Settlement lines: which ledger entries a settlement takes. A line has one place for a settlement, so that an entry cannot be
//! in two.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::{
    ids::{MerchantId, PaymentNo, RefundNo, SettlementNo, WithdrawalNo},
    money::Currency,
};
use sqlx::PgConnection;

use super::{StoreError, corrupt};
use crate::domain::{
    ledger::Component,
    period::Period,
    totals::{ComponentSum, Totals},
};

const TABLE: &str = "settlement_lines";

/// The currencies in which a merchant has unsettled lines from before `end`, in alphabetical order.
pub async fn unsettled_currencies(
    connection: &mut PgConnection,
    merchant_id: MerchantId,
    end: Timestamp,
) -> Result<Vec<Currency>, StoreError> {
    let codes = sqlx::query_scalar!(
        "select distinct currency from settlement_lines
         where merchant_id = $1 and settlement_no is null and occurred_at < $2
         order by currency",
        merchant_id.uuid(),
        end.to_sqlx() as _,
    )
    .fetch_all(connection)
    .await?;
    codes
        .iter()
        .map(|code| Currency::parse(code).map_err(|error| corrupt(TABLE, error)))
        .collect()
}

/// Waits until nobody else is settling this merchant and currency, until the end of the transaction. Two requests at once
/// then make one settlement and one refusal, rather than each a part.
pub async fn lock_settling(
    connection: &mut PgConnection,
    merchant_id: MerchantId,
    currency: Currency,
) -> Result<(), StoreError> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended($1, 0))",
        format!("settle {merchant_id} {currency}"),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes every unsettled line from before the period's end for a settlement that is about to be inserted, and says what they
/// come to.
pub async fn take(
    connection: &mut PgConnection,
    settlement_no: SettlementNo,
    merchant_id: MerchantId,
    currency: Currency,
    period: Period,
) -> Result<Totals, StoreError> {
    let rows = sqlx::query!(
        r#"with taken as (
             update settlement_lines set settlement_no = $1, carried_over = occurred_at < $4
             where merchant_id = $2 and currency = $3 and settlement_no is null and occurred_at < $5
             returning entry_id, carried_over
         )
         select
             entry.component as "component!",
             sum(entry.amount)::bigint as "payable_minor!",
             count(*) as "entry_count!",
             count(*) filter (where taken.carried_over) as "carried_over_count!"
         from taken join ledger_entries entry on entry.id = taken.entry_id
         group by entry.component"#,
        settlement_no.uuid(),
        merchant_id.uuid(),
        currency.code(),
        period.start().to_sqlx() as _,
        period.end().to_sqlx() as _,
    )
    .fetch_all(connection)
    .await?;
    let mut sums = Vec::with_capacity(rows.len());
    for row in rows {
        sums.push(ComponentSum {
            component: component(&row.component)?,
            payable_minor: row.payable_minor,
            entry_count: row.entry_count,
            carried_over_count: row.carried_over_count,
        });
    }
    Totals::of(sums).map_err(|error| corrupt(TABLE, error))
}

/// Lets go of a settlement's lines, and says how many.
pub async fn release(connection: &mut PgConnection, settlement_no: SettlementNo) -> Result<u64, StoreError> {
    let released = sqlx::query!(
        "update settlement_lines set settlement_no = null, carried_over = false where settlement_no = $1",
        settlement_no.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(released.rows_affected())
}

/// A ledger entry as a settlement names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The entry.
    pub entry_id: i64,
    /// What it is to the settlement.
    pub component: Component,
    /// What it owes the merchant, in minor units: negative for fees and refunds.
    pub owed_minor: i64,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Whether it is from before the period.
    pub carried_over: bool,
    /// The payment it belongs to.
    pub payment_no: Option<PaymentNo>,
    /// The refund it belongs to.
    pub refund_no: Option<RefundNo>,
    /// The earlier payout that came back.
    pub withdrawal_no: Option<WithdrawalNo>,
}

/// The entries that a settlement settles, behind entry `after` and in the order in which they were booked.
pub async fn of_settlement(
    connection: &mut PgConnection,
    settlement_no: SettlementNo,
    after: i64,
    limit: i64,
) -> Result<Vec<Line>, StoreError> {
    let rows = sqlx::query!(
        r#"select
             line.entry_id, line.occurred_at, line.carried_over,
             entry.component as "component!", entry.amount,
             transaction.payment_no, transaction.refund_no, transaction.withdrawal_no
         from settlement_lines line
         join ledger_entries entry on entry.id = line.entry_id
         join ledger_transactions transaction on transaction.id = entry.transaction_id
         where line.settlement_no = $1 and line.entry_id > $2
         order by line.entry_id limit $3"#,
        settlement_no.uuid(),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Line {
                entry_id: row.entry_id,
                component: component(&row.component)?,
                owed_minor: row
                    .amount
                    .checked_neg()
                    .ok_or_else(|| corrupt(TABLE, "an amount of i64::MIN"))?,
                occurred_at: row.occurred_at.to_jiff(),
                carried_over: row.carried_over,
                payment_no: row.payment_no.map(PaymentNo::from_uuid),
                refund_no: row.refund_no.map(RefundNo::from_uuid),
                withdrawal_no: row.withdrawal_no.map(WithdrawalNo::from_uuid),
            })
        })
        .collect()
}

fn component(name: &str) -> Result<Component, StoreError> {
    Component::named(name).ok_or_else(|| corrupt(TABLE, format!("component {name}")))
}
