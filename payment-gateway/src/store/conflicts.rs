//! Contradictions between the PSP and what we hold as final.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{PaymentNo, RefundNo};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::StoreError;
use crate::domain::psp::Conflict;

/// Records a conflict; false if it is known already.
pub async fn insert(
    db: impl PgExecutor<'_>,
    payment_no: PaymentNo,
    refund_no: Option<RefundNo>,
    conflict: &Conflict,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into psp_conflicts (id, payment_id, refund_id, kind, psp_reference, our_status, psp_status, psp_amount,
                                    psp_currency, observed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict on constraint psp_conflicts_once do nothing",
        Uuid::now_v7(),
        payment_no.uuid(),
        refund_no.map(RefundNo::uuid),
        conflict.kind.word(),
        conflict.psp_reference,
        conflict.our_status,
        conflict.psp_status,
        conflict.amount.minor,
        conflict.amount.currency.code(),
        now.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}
