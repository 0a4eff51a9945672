//! Withdrawals: one row each, written under its lock. What the worker has to do about a row is next door, in `payout_queue`.

use jiff_sqlx::{Timestamp, ToSqlx};
use schemas::{
    ids::{MerchantId, SettlementNo, WithdrawalNo},
    money::{Currency, Money},
    withdrawal::{WithdrawalFailureCode, WithdrawalStatus},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{StoreError, corrupt};
use crate::domain::withdrawal::{Conflict, ConflictKind, PayoutId, Withdrawal, WithdrawalState};

const TABLE: &str = "withdrawals";

/// Which withdrawals a list has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this merchant only.
    pub merchant_id: Option<MerchantId>,
    /// In this status only.
    pub status: Option<WithdrawalStatus>,
    /// Of this settlement only.
    pub settlement_no: Option<SettlementNo>,
    /// Only those that need a person.
    pub condition: Option<Condition>,
    /// Older than this one only: where the next page begins.
    pub before: Option<WithdrawalNo>,
}

/// Why a withdrawal needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its outcome is unknown since before this instant.
    StuckSince(jiff::Timestamp),
    /// The bank contradicts us.
    Conflict,
}

/// Inserts a new withdrawal, which is due at once.
pub async fn insert(connection: &mut PgConnection, withdrawal: &Withdrawal) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into withdrawals (
             id, settlement_no, merchant_id, currency, amount, status, sequence, created_at, updated_at, due_at
         ) values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)",
        withdrawal.withdrawal_no.uuid(),
        withdrawal.settlement_no.uuid(),
        withdrawal.merchant_id.uuid(),
        withdrawal.amount.currency.code(),
        withdrawal.amount.minor,
        withdrawal.state.status().as_str(),
        withdrawal.sequence,
        withdrawal.created_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Finds a withdrawal and locks its row until the end of the transaction. Whoever also needs its settlement locks that
/// afterwards.
pub async fn lock(
    connection: &mut PgConnection,
    withdrawal_no: WithdrawalNo,
) -> Result<Option<Withdrawal>, StoreError> {
    sqlx::query_scalar!(
        "select sequence from withdrawals where id = $1 for update",
        withdrawal_no.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    find(connection, withdrawal_no).await
}

/// Finds a withdrawal.
pub async fn find(
    connection: &mut PgConnection,
    withdrawal_no: WithdrawalNo,
) -> Result<Option<Withdrawal>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, settlement_no, merchant_id, currency, amount, status, sequence, created_at, updated_at, started_at,
             payout_id, completed_at, undone_at, failure_code, conflict, conflict_at
         from withdrawals where id = $1",
        withdrawal_no.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Withdrawal::try_from).transpose()
}

/// Lists withdrawals, the newest first.
pub async fn list(
    connection: &mut PgConnection,
    filter: Filter,
    limit: i64,
) -> Result<Vec<Withdrawal>, StoreError> {
    let stuck_since = match filter.condition {
        Some(Condition::StuckSince(since)) => Some(since.to_sqlx()),
        Some(Condition::Conflict) | None => None,
    };
    let rows = sqlx::query_as!(
        Row,
        "select id, settlement_no, merchant_id, currency, amount, status, sequence, created_at, updated_at, started_at,
             payout_id, completed_at, undone_at, failure_code, conflict, conflict_at
         from withdrawals
         where ($1::uuid is null or merchant_id = $1)
             and ($2::text is null or status = $2)
             and ($3::uuid is null or settlement_no = $3)
             and ($4::uuid is null or id < $4)
             and ($5::timestamptz is null or (status in ('pending', 'processing') and updated_at < $5))
             and (not $6::boolean or conflict is not null)
         order by id desc limit $7",
        filter.merchant_id.map(MerchantId::uuid),
        filter.status.map(WithdrawalStatus::as_str),
        filter.settlement_no.map(SettlementNo::uuid),
        filter.before.map(WithdrawalNo::uuid),
        stuck_since as _,
        filter.condition == Some(Condition::Conflict),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Withdrawal::try_from).collect()
}

/// Writes a withdrawal that was locked at `sequence_read`.
pub async fn update(
    connection: &mut PgConnection,
    withdrawal: &Withdrawal,
    sequence_read: i64,
) -> Result<(), StoreError> {
    let (state, conflict) = (&withdrawal.state, withdrawal.conflict.as_ref());
    let updated = sqlx::query!(
        "update withdrawals set
             status = $4, sequence = $3, updated_at = $5, started_at = $6, payout_id = $7, completed_at = $8,
             undone_at = $9, failure_code = $10, conflict = $11, conflict_at = $12
         where id = $1 and sequence = $2",
        withdrawal.withdrawal_no.uuid(),
        sequence_read,
        withdrawal.sequence,
        state.status().as_str(),
        withdrawal.updated_at.to_sqlx() as _,
        state.started_at().map(ToSqlx::to_sqlx) as _,
        state.payout_id().map(PayoutId::as_str),
        state.completed_at().map(ToSqlx::to_sqlx) as _,
        state.undone_at().map(ToSqlx::to_sqlx) as _,
        state.failure().map(WithdrawalFailureCode::as_str),
        conflict.map(|conflict| conflict.kind.name()),
        conflict.map(|conflict| conflict.at.to_sqlx()) as _,
    )
    .execute(connection)
    .await?;
    if updated.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::Stale { table: TABLE })
    }
}

struct Row {
    id: Uuid,
    settlement_no: Uuid,
    merchant_id: Uuid,
    currency: String,
    amount: i64,
    status: String,
    sequence: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    started_at: Option<Timestamp>,
    payout_id: Option<String>,
    completed_at: Option<Timestamp>,
    undone_at: Option<Timestamp>,
    failure_code: Option<String>,
    conflict: Option<String>,
    conflict_at: Option<Timestamp>,
}

impl TryFrom<Row> for Withdrawal {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let bad = |what: &dyn std::fmt::Display| corrupt(TABLE, format!("{}: {what}", row.id));
        let currency = Currency::parse(&row.currency).map_err(|error| bad(&error))?;
        let conflict = match (&row.conflict, row.conflict_at) {
            (Some(kind), Some(at)) => {
                let kind = ConflictKind::named(kind).ok_or_else(|| bad(kind))?;
                Some(Conflict {
                    kind,
                    at: at.to_jiff(),
                })
            }
            (_, _) => None,
        };
        Ok(Self {
            withdrawal_no: WithdrawalNo::from_uuid(row.id),
            settlement_no: SettlementNo::from_uuid(row.settlement_no),
            merchant_id: MerchantId::from_uuid(row.merchant_id),
            amount: Money::new(row.amount, currency),
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            sequence: row.sequence,
            state: row
                .state()
                .ok_or_else(|| bad(&format!("columns of status {}", row.status)))?,
            conflict,
        })
    }
}

impl Row {
    fn state(&self) -> Option<WithdrawalState> {
        let status = WithdrawalStatus::ALL
            .iter()
            .find(|status| status.as_str() == self.status)?;
        if *status == WithdrawalStatus::Pending {
            return Some(WithdrawalState::Pending);
        }
        let started_at = self.started_at?.to_jiff();
        let payout_id = self.payout_id.as_deref().map(PayoutId::parse).transpose().ok()?;
        let failure = self.failure_code.as_deref().and_then(super::failure_code);
        let undone_at = self.undone_at.map(Timestamp::to_jiff);
        let completed_at = self.completed_at.map(Timestamp::to_jiff);
        Some(match status {
            WithdrawalStatus::Processing => WithdrawalState::Processing {
                started_at,
                payout_id,
            },
            WithdrawalStatus::Completed => WithdrawalState::Completed {
                started_at,
                payout_id: payout_id?,
                completed_at: completed_at?,
            },
            WithdrawalStatus::Failed => WithdrawalState::Failed {
                started_at,
                payout_id,
                failed_at: undone_at?,
                failure: failure?,
            },
            WithdrawalStatus::Returned => WithdrawalState::Returned {
                started_at,
                payout_id: payout_id?,
                completed_at,
                returned_at: undone_at?,
                failure: failure?,
            },
            WithdrawalStatus::Pending | WithdrawalStatus::Unknown => return None,
        })
    }
}
