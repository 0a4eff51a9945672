//! Settlements and payouts: the latest known state of each.

use std::collections::BTreeMap;

use jiff_sqlx::ToSqlx as _;
use schemas::MerchantId;
use schemas::settlement::SettlementEvent;
use schemas::withdrawal::WithdrawalEvent;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::scope::Scope;

/// Moves a settlement forward; an older or repeated event changes nothing.
pub async fn record_settlement(db: &mut PgConnection, event: &SettlementEvent) -> Result<(), sqlx::Error> {
    let state = State {
        kind: "settlement",
        aggregate: event.settlement_no.uuid(),
        merchant_id: event.merchant_id,
        currency: event.currency.code(),
        amount: event.net_amount,
        status: event.new_status.as_str(),
        sequence: event.sequence,
        occurred_at: event.occurred_at,
    };
    state.advance(db).await
}

/// Moves a payout forward; an older or repeated event changes nothing.
pub async fn record_withdrawal(db: &mut PgConnection, event: &WithdrawalEvent) -> Result<(), sqlx::Error> {
    let state = State {
        kind: "withdrawal",
        aggregate: event.withdrawal_no.uuid(),
        merchant_id: event.merchant_id,
        currency: event.currency.code(),
        amount: event.amount,
        status: event.new_status.as_str(),
        sequence: event.sequence,
        occurred_at: event.occurred_at,
    };
    state.advance(db).await
}

struct State {
    kind: &'static str,
    aggregate: Uuid,
    merchant_id: MerchantId,
    currency: &'static str,
    amount: i64,
    status: &'static str,
    sequence: i64,
    occurred_at: jiff::Timestamp,
}

impl State {
    async fn advance(&self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query!(
            r#"insert into payouts as p (kind, aggregate, merchant_id, currency, amount, status, sequence, occurred_at)
               values ($1, $2, $3, $4, $5, $6, $7, $8)
               on conflict on constraint payouts_pkey do update set
                   status = excluded.status, sequence = excluded.sequence, occurred_at = excluded.occurred_at
               where excluded.sequence > p.sequence"#,
            self.kind,
            self.aggregate,
            self.merchant_id.uuid(),
            self.currency,
            self.amount,
            self.status,
            self.sequence,
            self.occurred_at.to_sqlx() as _,
        )
        .execute(db)
        .await?;
        Ok(())
    }
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
