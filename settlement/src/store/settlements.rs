//! Settlements: one row each, written under its lock and at the sequence that was read.

use jiff_sqlx::{Timestamp, ToSqlx};
use schemas::{
    ids::{MerchantId, SettlementNo, WithdrawalNo},
    money::{Currency, Money},
    settlement::SettlementStatus,
    withdrawal::WithdrawalFailureCode,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{StoreError, corrupt};
use crate::domain::{
    period::Period,
    settlement::{Cycle, Decision, Execution, Settlement, SettlementState},
    totals::Totals,
};

const TABLE: &str = "settlements";

/// Which settlements a list has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this merchant only.
    pub merchant_id: Option<MerchantId>,
    /// In this currency only.
    pub currency: Option<Currency>,
    /// In this status only.
    pub status: Option<SettlementStatus>,
    /// Older than this one only: where the next page begins.
    pub before: Option<SettlementNo>,
}

/// Inserts a new settlement; its lines were taken before, in the same transaction.
pub async fn insert(connection: &mut PgConnection, settlement: &Settlement) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into settlements (
             id, merchant_id, currency, cycle, period_start, period_end,
             gross_amount, refund_amount, fee_amount, returned_amount, net_amount, entry_count, carried_over_count,
             status, sequence, created_by, created_at, updated_at
         ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        settlement.settlement_no.uuid(),
        settlement.merchant_id.uuid(),
        settlement.currency().code(),
        settlement.cycle.name(),
        settlement.period.start().to_sqlx() as _,
        settlement.period.end().to_sqlx() as _,
        settlement.totals.gross_minor,
        settlement.totals.refund_minor,
        settlement.totals.fee_minor,
        settlement.totals.returned_minor,
        settlement.net.minor,
        settlement.totals.entry_count,
        settlement.totals.carried_over_count,
        settlement.state.status().as_str(),
        settlement.sequence,
        settlement.created_by,
        settlement.created_at.to_sqlx() as _,
        settlement.updated_at.to_sqlx() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Finds a settlement and locks its row until the end of the transaction.
pub async fn lock(
    connection: &mut PgConnection,
    settlement_no: SettlementNo,
) -> Result<Option<Settlement>, StoreError> {
    sqlx::query_scalar!(
        "select sequence from settlements where id = $1 for update",
        settlement_no.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    find(connection, settlement_no).await
}

/// Finds a settlement.
pub async fn find(
    connection: &mut PgConnection,
    settlement_no: SettlementNo,
) -> Result<Option<Settlement>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, merchant_id, currency, cycle, period_start, period_end, gross_amount, refund_amount, fee_amount,
             returned_amount, net_amount, entry_count, carried_over_count, status, sequence, created_by, created_at,
             updated_at, decided_by, decided_by_name, decision_comments, decided_at, executed_by, executed_at,
             withdrawal_no, finished_at, failure_code
         from settlements where id = $1",
        settlement_no.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(Settlement::try_from).transpose()
}

/// Lists settlements, the newest first.
pub async fn list(
    connection: &mut PgConnection,
    filter: Filter,
    limit: i64,
) -> Result<Vec<Settlement>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, merchant_id, currency, cycle, period_start, period_end, gross_amount, refund_amount, fee_amount,
             returned_amount, net_amount, entry_count, carried_over_count, status, sequence, created_by, created_at,
             updated_at, decided_by, decided_by_name, decision_comments, decided_at, executed_by, executed_at,
             withdrawal_no, finished_at, failure_code
         from settlements
         where ($1::uuid is null or merchant_id = $1)
             and ($2::text is null or currency = $2)
             and ($3::text is null or status = $3)
             and ($4::uuid is null or id < $4)
         order by id desc limit $5",
        filter.merchant_id.map(MerchantId::uuid),
        filter.currency.map(Currency::code),
        filter.status.map(SettlementStatus::as_str),
        filter.before.map(SettlementNo::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Settlement::try_from).collect()
}

/// Writes a settlement that was locked and moved by one step.
pub async fn update(connection: &mut PgConnection, settlement: &Settlement) -> Result<(), StoreError> {
    let state = &settlement.state;
    let (decision, execution) = (state.decision(), state.execution());
    let updated = sqlx::query!(
        "update settlements set
             status = $3, sequence = $2, updated_at = $4,
             decided_by = $5, decided_by_name = $6, decision_comments = $7, decided_at = $8,
             executed_by = $9, executed_at = $10, withdrawal_no = $11, finished_at = $12, failure_code = $13
         where id = $1 and sequence = $2::bigint - 1",
        settlement.settlement_no.uuid(),
        settlement.sequence,
        state.status().as_str(),
        settlement.updated_at.to_sqlx() as _,
        decision.map(|decision| decision.by.as_str()),
        decision.and_then(|decision| decision.name.as_deref()),
        decision.and_then(|decision| decision.comments.as_deref()),
        decision.map(|decision| decision.at.to_sqlx()) as _,
        execution.map(|execution| execution.by.as_str()),
        execution.map(|execution| execution.at.to_sqlx()) as _,
        execution.map(|execution| execution.withdrawal_no.uuid()),
        state.finished_at().map(ToSqlx::to_sqlx) as _,
        state.failure().map(WithdrawalFailureCode::as_str),
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
    merchant_id: Uuid,
    currency: String,
    cycle: String,
    period_start: Timestamp,
    period_end: Timestamp,
    gross_amount: i64,
    refund_amount: i64,
    fee_amount: i64,
    returned_amount: i64,
    net_amount: i64,
    entry_count: i64,
    carried_over_count: i64,
    status: String,
    sequence: i64,
    created_by: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    decided_by: Option<String>,
    decided_by_name: Option<String>,
    decision_comments: Option<String>,
    decided_at: Option<Timestamp>,
    executed_by: Option<String>,
    executed_at: Option<Timestamp>,
    withdrawal_no: Option<Uuid>,
    finished_at: Option<Timestamp>,
    failure_code: Option<String>,
}

impl TryFrom<Row> for Settlement {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let bad = |what: &dyn std::fmt::Display| corrupt(TABLE, format!("{}: {what}", row.id));
        let cycle = if row.cycle == Cycle::Daily.name() {
            Cycle::Daily
        } else {
            return Err(bad(&row.cycle));
        };
        let currency = Currency::parse(&row.currency).map_err(|error| bad(&error))?;
        let period = Period::new(row.period_start.to_jiff(), row.period_end.to_jiff());
        Ok(Self {
            settlement_no: SettlementNo::from_uuid(row.id),
            merchant_id: MerchantId::from_uuid(row.merchant_id),
            cycle,
            period: period.map_err(|error| bad(&error))?,
            totals: Totals {
                gross_minor: row.gross_amount,
                refund_minor: row.refund_amount,
                fee_minor: row.fee_amount,
                returned_minor: row.returned_amount,
                entry_count: row.entry_count,
                carried_over_count: row.carried_over_count,
            },
            net: Money::new(row.net_amount, currency),
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            sequence: row.sequence,
            state: row
                .state()
                .ok_or_else(|| bad(&format!("columns of status {}", row.status)))?,
            created_by: row.created_by,
        })
    }
}

impl Row {
    fn state(&self) -> Option<SettlementState> {
        let status = SettlementStatus::ALL
            .iter()
            .find(|status| status.as_str() == self.status)?;
        Some(match status {
            SettlementStatus::PendingApproval => SettlementState::PendingApproval,
            SettlementStatus::Approved => SettlementState::Approved {
                approval: self.decision()?,
            },
            SettlementStatus::Rejected => SettlementState::Rejected {
                rejection: self.decision()?,
            },
            SettlementStatus::Processing => SettlementState::Processing {
                approval: self.decision()?,
                execution: self.execution()?,
            },
            SettlementStatus::Completed => SettlementState::Completed {
                approval: self.decision()?,
                execution: self.execution()?,
                completed_at: self.finished_at?.to_jiff(),
            },
            SettlementStatus::Failed => SettlementState::Failed {
                approval: self.decision()?,
                execution: self.execution()?,
                failed_at: self.finished_at?.to_jiff(),
                failure: super::failure_code(self.failure_code.as_deref()?)?,
            },
            SettlementStatus::Unknown => return None,
        })
    }

    fn decision(&self) -> Option<Decision> {
        Some(Decision {
            by: self.decided_by.clone()?,
            name: self.decided_by_name.clone(),
            comments: self.decision_comments.clone(),
            at: self.decided_at?.to_jiff(),
        })
    }

    fn execution(&self) -> Option<Execution> {
        Some(Execution {
            by: self.executed_by.clone()?,
            at: self.executed_at?.to_jiff(),
            withdrawal_no: WithdrawalNo::from_uuid(self.withdrawal_no?),
        })
    }
}
