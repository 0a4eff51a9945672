//! Settlements and payouts: the latest known state of each.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::MerchantId;
use schemas::settlement::SettlementEvent;
use schemas::withdrawal::WithdrawalEvent;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::scope::Scope;

/// The latest known state of a settlement or a payout.
#[derive(Debug, Clone)]
pub struct State {
    kind: &'static str,
    aggregate: Uuid,
    merchant_id: MerchantId,
    currency: &'static str,
    amount: i64,
    status: &'static str,
    sequence: i64,
    occurred_at: Timestamp,
}

impl State {
    /// What an event says about its settlement.
    pub fn of_settlement(event: &SettlementEvent) -> Self {
        Self {
            kind: "settlement",
            aggregate: event.settlement_no.uuid(),
            merchant_id: event.merchant_id,
            currency: event.currency.code(),
            amount: event.net_amount,
            status: event.new_status.as_str(),
            sequence: event.sequence,
            occurred_at: event.occurred_at,
        }
    }

    /// What an event says about its payout.
    pub fn of_withdrawal(event: &WithdrawalEvent) -> Self {
        Self {
            kind: "withdrawal",
            aggregate: event.withdrawal_no.uuid(),
            merchant_id: event.merchant_id,
            currency: event.currency.code(),
            amount: event.amount,
            status: event.new_status.as_str(),
            sequence: event.sequence,
            occurred_at: event.occurred_at,
        }
    }
}

/// Moves settlements and payouts forward, in one order for everyone; older or repeated states change nothing.
pub async fn record(db: &mut PgConnection, mut states: Vec<State>) -> Result<(), sqlx::Error> {
    states.sort_by_key(|state| (state.kind, state.aggregate, Reverse(state.sequence)));
    // The latest of each is all that counts.
    states.dedup_by_key(|state| (state.kind, state.aggregate));
    if states.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"insert into payouts as p (kind, aggregate, merchant_id, currency, amount, status, sequence, occurred_at)
           select * from unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::bigint[],
               $8::timestamptz[])
           on conflict on constraint payouts_pkey do update set
               status = excluded.status, sequence = excluded.sequence, occurred_at = excluded.occurred_at
           where excluded.sequence > p.sequence"#,
        &column(&states, |state| state.kind) as _,
        &column(&states, |state| state.aggregate),
        &column(&states, |state| state.merchant_id.uuid()),
        &column(&states, |state| state.currency) as _,
        &column(&states, |state| state.amount),
        &column(&states, |state| state.status) as _,
        &column(&states, |state| state.sequence),
        &column(&states, |state| state.occurred_at.to_sqlx()) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

fn column<T>(states: &[State], value: impl Fn(&State) -> T) -> Vec<T> {
    states.iter().map(value).collect()
}

/// How many settlements or payouts (`kind`) of a scope have which status.
pub async fn by_status(
    pool: &PgPool,
    scope: Scope,
    kind: &str,
) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select status, count(*) as "count!" from payouts
           where kind = $1 and ($2::uuid is null or merchant_id = $2) group by status"#,
        kind,
        scope.merchant().map(MerchantId::uuid),
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.status, row.count)).collect())
}
