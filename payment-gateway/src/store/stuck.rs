//! What staff have to look at: payments whose outcome stays open, and conflicts with the PSP.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{MerchantId, PaymentNo, RefundNo};
use sqlx::PgPool;
use uuid::Uuid;

use super::StoreError;

/// A payment, or one of its refunds, whose outcome at the PSP stays unknown.
#[derive(Debug)]
pub struct Stuck {
    /// The payment.
    pub payment_no: PaymentNo,
    /// The refund, if it is one that is stuck.
    pub refund_no: Option<RefundNo>,
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// Its status.
    pub status: String,
    /// How often the PSP was asked.
    pub attempts: i32,
    /// Since when.
    pub since: Timestamp,
}

/// A recorded contradiction.
#[derive(Debug)]
pub struct RecordedConflict {
    /// Its own id.
    pub id: Uuid,
    /// The payment.
    pub payment_no: PaymentNo,
    /// The refund, if it is about one.
    pub refund_no: Option<RefundNo>,
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// What kind.
    pub kind: String,
    /// The PSP's object.
    pub psp_reference: String,
    /// Our status when it was seen.
    pub our_status: String,
    /// Theirs.
    pub psp_status: String,
    /// Their amount, minor units.
    pub amount: Option<i64>,
    /// Their currency.
    pub currency: Option<String>,
    /// When it was first seen.
    pub observed_at: Timestamp,
}

/// Payments that nobody waits for on a page, and refunds, that are open since before `before`: the longest first.
pub async fn stuck(
    pool: &PgPool,
    before: Timestamp,
    after: Option<(Timestamp, Uuid)>,
    rows: i64,
) -> Result<Vec<Stuck>, StoreError> {
    let (after_at, after_id) = after.unwrap_or((Timestamp::UNIX_EPOCH, Uuid::nil()));
    let rows = sqlx::query!(
        r#"select id as "id!", payment_id as "payment_id!", refund_id, merchant_id as "merchant_id!",
                  status as "status!", psp_attempts as "psp_attempts!", created_at as "created_at!: jiff_sqlx::Timestamp"
           from (
               select id, id as payment_id, null::uuid as refund_id, merchant_id, status, psp_attempts, created_at
               from payments
               where next_check_at is not null and created_at < $1
                 and (status = 'processing' or (status = 'pending' and psp_session is null))
               union all
               select id, payment_id, id, merchant_id, status, psp_attempts, created_at
               from refunds
               where next_check_at is not null and created_at < $1
           ) as open
           where (created_at, id) > ($2, $3)
           order by created_at, id limit $4"#,
        before.to_sqlx(),
        after_at.to_sqlx(),
        after_id,
        rows,
    )
    .fetch_all(pool)
    .await?;
    let stuck = rows.into_iter().map(|row| Stuck {
        payment_no: PaymentNo::from_uuid(row.payment_id),
        refund_no: row.refund_id.map(RefundNo::from_uuid),
        merchant_id: MerchantId::from_uuid(row.merchant_id),
        status: row.status,
        attempts: row.psp_attempts,
        since: row.created_at.to_jiff(),
    });
    Ok(stuck.collect())
}

/// Conflicts, newest first.
pub async fn conflicts(
    pool: &PgPool,
    after: Option<(Timestamp, Uuid)>,
    rows: i64,
) -> Result<Vec<RecordedConflict>, StoreError> {
    let (after_at, after_id) = after.unwrap_or((Timestamp::MAX, Uuid::max()));
    let rows = sqlx::query!(
        "select c.id, c.payment_id, c.refund_id, p.merchant_id, c.kind, c.psp_reference, c.our_status, c.psp_status,
                c.psp_amount, c.psp_currency, c.observed_at
         from psp_conflicts c join payments p on p.id = c.payment_id
         where (c.observed_at, c.id) < ($1, $2)
         order by c.observed_at desc, c.id desc limit $3",
        after_at.to_sqlx(),
        after_id,
        rows,
    )
    .fetch_all(pool)
    .await?;
    let conflicts = rows.into_iter().map(|row| RecordedConflict {
        id: row.id,
        payment_no: PaymentNo::from_uuid(row.payment_id),
        refund_no: row.refund_id.map(RefundNo::from_uuid),
        merchant_id: MerchantId::from_uuid(row.merchant_id),
        kind: row.kind,
        psp_reference: row.psp_reference,
        our_status: row.our_status,
        psp_status: row.psp_status,
        amount: row.psp_amount,
        currency: row.psp_currency,
        observed_at: row.observed_at.to_jiff(),
    });
    Ok(conflicts.collect())
}
