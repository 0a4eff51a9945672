//! A merchant's payments, newest first.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{MerchantId, PaymentNo};
use schemas::payment::PaymentStatus;
use sqlx::PgPool;
use uuid::Uuid;

use super::StoreError;
use super::payment_row::select_payments;
use crate::domain::Payment;

/// Which payments to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose.
    pub merchant_id: MerchantId,
    /// Only those that are in this status now.
    pub status: Option<PaymentStatus>,
    /// Only those created at or after.
    pub created_from: Option<Timestamp>,
    /// Only those created before.
    pub created_to: Option<Timestamp>,
}

/// Where a page begins: behind this payment.
pub type Position = (Timestamp, PaymentNo);

/// Up to `rows` payments behind `after`.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
    after: Option<Position>,
    rows: i64,
) -> Result<Vec<Payment>, StoreError> {
    // Bounds instead of `is null or`: every plan, the generic one too, walks an index from the cursor on.
    let (after_at, after_id) = after.map_or((Timestamp::MAX, Uuid::max()), |(created_at, payment_no)| {
        (created_at, payment_no.uuid())
    });
    let from = filter.created_from.unwrap_or(Timestamp::UNIX_EPOCH);
    let to = filter.created_to.unwrap_or(Timestamp::MAX);
    let rows = match filter.status {
        Some(status) => {
            select_payments!(
                "where merchant_id = $1 and status = $2 and created_at >= $3 and created_at < $4
                   and (created_at, id) < ($5, $6)
                 order by created_at desc, id desc limit $7",
                filter.merchant_id.uuid(),
                status.as_str(),
                from.to_sqlx(),
                to.to_sqlx(),
                after_at.to_sqlx(),
                after_id,
                rows,
            )
            .fetch_all(pool)
            .await?
        }
        None => {
            select_payments!(
            "where merchant_id = $1 and created_at >= $2 and created_at < $3 and (created_at, id) < ($4, $5)
                 order by created_at desc, id desc limit $6",
            filter.merchant_id.uuid(),
            from.to_sqlx(),
            to.to_sqlx(),
            after_at.to_sqlx(),
            after_id,
            rows,
        )
            .fetch_all(pool)
            .await?
        }
    };
    rows.into_iter().map(Payment::try_from).collect()
}
