//! Refunds. Written only while their payment's row is held.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{MerchantId, PaymentNo, RefundNo};
use schemas::money::{Currency, Money};
use sqlx::{PgExecutor, PgTransaction};

use super::StoreError;
use super::payment_row::failure_code;
use crate::domain::work::Attempts;
use crate::domain::{Refund, RefundState};

/// A refund, and what was asked of the PSP so far.
#[derive(Debug)]
pub struct Known {
    /// The refund.
    pub refund: Refund,
    /// What was asked.
    pub attempts: Attempts,
}

struct RefundRow {
    id: RefundNo,
    payment_id: PaymentNo,
    merchant_id: MerchantId,
    amount: i64,
    currency: Currency,
    reason: Option<String>,
    status: String,
    psp_refund: Option<String>,
    failure_code: Option<String>,
    psp_attempts: i32,
    psp_posted_at: jiff_sqlx::Timestamp,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
}

macro_rules! select_refunds {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            RefundRow,
            r#"select id as "id: RefundNo", payment_id as "payment_id: PaymentNo",
                      merchant_id as "merchant_id: MerchantId", amount, currency as "currency: Currency", reason, status,
                      psp_refund, failure_code, psp_attempts, psp_posted_at, created_at, updated_at
               from refunds "# + $tail $(, $argument)*
        )
    };
}

impl TryFrom<RefundRow> for Known {
    type Error = StoreError;

    fn try_from(row: RefundRow) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::Corrupt {
            id: row.id.to_string(),
            column,
        };
        let state = match row.status.as_str() {
            "pending" => RefundState::Pending,
            "processing" => RefundState::Processing,
            "succeeded" => RefundState::Succeeded,
            "failed" => {
                let code =
                    failure_code(row.failure_code.as_deref()).ok_or_else(|| corrupt("failure_code"))?;
                RefundState::Failed { code }
            }
            _ => return Err(corrupt("status")),
        };
        Ok(Self {
            attempts: Attempts {
                count: row.psp_attempts,
                posted_at: row.psp_posted_at.to_jiff(),
            },
            refund: Refund {
                refund_no: row.id,
                payment_no: row.payment_id,
                merchant_id: row.merchant_id,
                amount: Money::new(row.amount, row.currency),
                reason: row.reason,
                psp_refund: row.psp_refund,
                state,
                created_at: row.created_at.to_jiff(),
                updated_at: row.updated_at.to_jiff(),
            },
        })
    }
}

/// Adds a refund.
pub async fn insert(
    tx: &mut PgTransaction<'_>,
    refund: &Refund,
    next_check_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into refunds (id, payment_id, merchant_id, amount, currency, reason, status, psp_attempts, psp_posted_at,
                              next_check_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $8, $8)",
        refund.refund_no.uuid(),
        refund.payment_no.uuid(),
        refund.merchant_id.uuid(),
        refund.amount.minor,
        refund.amount.currency.code(),
        refund.reason.as_deref(),
        refund.status().as_str(),
        refund.created_at.to_sqlx(),
        next_check_at.to_sqlx(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a refund whose payment's row is held. `next_check_at` is when to ask the PSP again, as long as it is open.
pub async fn update(
    tx: &mut PgTransaction<'_>,
    refund: &Refund,
    next_check_at: Timestamp,
) -> Result<(), StoreError> {
    let failure = match refund.state {
        RefundState::Failed { code } => Some(code.as_str()),
        RefundState::Pending | RefundState::Processing | RefundState::Succeeded => None,
    };
    sqlx::query!(
        "update refunds set status = $2, psp_refund = $3, failure_code = $4, next_check_at = $5, updated_at = $6
         where id = $1",
        refund.refund_no.uuid(),
        refund.status().as_str(),
        refund.psp_refund.as_deref(),
        failure,
        refund.is_open().then_some(next_check_at).map(ToSqlx::to_sqlx) as _,
        refund.updated_at.to_sqlx(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reads a refund.
pub async fn get(db: impl PgExecutor<'_>, refund_no: RefundNo) -> Result<Option<Known>, StoreError> {
    let row = select_refunds!("where id = $1", refund_no.uuid())
        .fetch_optional(db)
        .await?;
    row.map(Known::try_from).transpose()
}

/// Up to `rows` of a payment's refunds, oldest first.
pub async fn of_payment(
    db: impl PgExecutor<'_>,
    payment_no: PaymentNo,
    rows: i64,
) -> Result<Vec<Refund>, StoreError> {
    let rows = select_refunds!(
        "where payment_id = $1 order by created_at, id limit $2",
        payment_no.uuid(),
        rows
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| Known::try_from(row).map(|known| known.refund))
        .collect()
}

/// How many refunds a payment has.
pub async fn count(db: impl PgExecutor<'_>, payment_no: PaymentNo) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from refunds where payment_id = $1"#,
        payment_no.uuid()
    )
    .fetch_one(db)
    .await?;
    Ok(count)
}
