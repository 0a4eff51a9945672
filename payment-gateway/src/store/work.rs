//! Whose outcome at the PSP is open, and who asks next.
//!
//! `next_check_at` is schedule and claim in one: a replica takes what is due by moving it into the future, under the row's
//! lock and past rows that another one holds. If the replica dies, the time comes again.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{PaymentNo, RefundNo};
use sqlx::PgExecutor;

use super::StoreError;

/// Takes up to `rows` payments that are due, until `claimed_until`.
pub async fn claim_payments(
    db: impl PgExecutor<'_>,
    now: Timestamp,
    claimed_until: Timestamp,
    rows: i64,
) -> Result<Vec<PaymentNo>, StoreError> {
    let claimed = sqlx::query_scalar!(
        "update payments set next_check_at = $2, psp_attempts = psp_attempts + 1
         where id in (select id from payments where next_check_at <= $1
                      order by next_check_at limit $3 for update skip locked)
         returning id",
        now.to_sqlx(),
        claimed_until.to_sqlx(),
        rows,
    )
    .fetch_all(db)
    .await?;
    Ok(claimed.into_iter().map(PaymentNo::from_uuid).collect())
}

/// Takes up to `rows` refunds that are due, until `claimed_until`.
pub async fn claim_refunds(
    db: impl PgExecutor<'_>,
    now: Timestamp,
    claimed_until: Timestamp,
    rows: i64,
) -> Result<Vec<RefundNo>, StoreError> {
    let claimed = sqlx::query_scalar!(
        "update refunds set next_check_at = $2, psp_attempts = psp_attempts + 1
         where id in (select id from refunds where next_check_at <= $1
                      order by next_check_at limit $3 for update skip locked)
         returning id",
        now.to_sqlx(),
        claimed_until.to_sqlx(),
        rows,
    )
    .fetch_all(db)
    .await?;
    Ok(claimed.into_iter().map(RefundNo::from_uuid).collect())
}

/// Notes that the payment is about to be posted again; false if it must not be any more: it was decided meanwhile, or somebody
/// asked to close it. A hosted page is made once more even then, because only what exists can be closed.
pub async fn posting_payment(
    db: impl PgExecutor<'_>,
    payment_no: PaymentNo,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let noted = sqlx::query!(
        "update payments set psp_posted_at = $2
         where id = $1 and next_check_at is not null and (closing is null or payment_method is null)",
        payment_no.uuid(),
        now.to_sqlx()
    )
    .execute(db)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Notes that the refund is about to be posted again; false if it was decided meanwhile.
pub async fn posting_refund(
    db: impl PgExecutor<'_>,
    refund_no: RefundNo,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let noted = sqlx::query!(
        "update refunds set psp_posted_at = $2 where id = $1 and status in ('pending', 'processing')",
        refund_no.uuid(),
        now.to_sqlx()
    )
    .execute(db)
    .await?;
    Ok(noted.rows_affected() == 1)
}
