//! Payments, one at a time.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{MerchantId, PaymentNo};
use sqlx::{PgConnection, PgExecutor, PgTransaction};

use super::StoreError;
use super::payment_row::{PaymentRow, select_payments};
use crate::domain::payment::CHANNEL;
use crate::domain::work::Attempts;
use crate::domain::{Closing, OrderNo, Payment, PaymentMethod, PaymentState};

/// A payment whose row is held until the transaction ends.
#[derive(Debug)]
pub struct Locked {
    /// The payment.
    pub payment: Payment,
    /// What was asked of the PSP so far.
    pub attempts: Attempts,
}

/// Adds a payment, unless the merchant has one with this order number: then nothing happens, and the answer is false.
pub async fn insert(
    tx: &mut PgTransaction<'_>,
    payment: &Payment,
    request_hash: &[u8],
    next_check_at: Timestamp,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into payments (id, merchant_id, order_no, customer_id, channel, amount, currency, payment_method,
                               description, metadata, notify_url, request_hash, status, sequence, psp_attempts,
                               psp_posted_at, next_check_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, $15, $16, $15, $15)
         on conflict on constraint payments_order_no_once do nothing",
        payment.payment_no.uuid(),
        payment.merchant_id.uuid(),
        payment.order_no.as_str(),
        payment.customer_ref.uuid(),
        CHANNEL,
        payment.amount.minor,
        payment.amount.currency.code(),
        payment.payment_method.as_ref().map(PaymentMethod::as_str),
        payment.details.description.as_deref(),
        sqlx::types::Json(&payment.details.metadata) as _,
        payment.details.notify_url.as_deref(),
        request_hash,
        payment.status().as_str(),
        payment.sequence,
        payment.created_at.to_sqlx(),
        next_check_at.to_sqlx(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Holds the payment's row until the transaction ends, and reads it.
pub async fn lock(tx: &mut PgTransaction<'_>, payment_no: PaymentNo) -> Result<Option<Locked>, StoreError> {
    let row = select_payments!("where id = $1 for update", payment_no.uuid())
        .fetch_optional(&mut **tx)
        .await?;
    row.map(locked).transpose()
}

/// As [`lock`], and only if it is the merchant's.
pub async fn lock_of(
    tx: &mut PgTransaction<'_>,
    merchant_id: MerchantId,
    payment_no: PaymentNo,
) -> Result<Option<Locked>, StoreError> {
    let row = select_payments!(
        "where id = $1 and merchant_id = $2 for update",
        payment_no.uuid(),
        merchant_id.uuid()
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(locked).transpose()
}

fn locked(row: PaymentRow) -> Result<Locked, StoreError> {
    let attempts = row.attempts();
    Ok(Locked {
        payment: Payment::try_from(row)?,
        attempts,
    })
}

/// Writes a payment whose row is held, and which had `old_sequence` when it was read. `next_check_at` is when to ask the PSP
/// again, as long as the payment is open.
pub async fn update(
    tx: &mut PgTransaction<'_>,
    payment: &Payment,
    old_sequence: i64,
    next_check_at: Timestamp,
) -> Result<(), StoreError> {
    let columns = StateColumns::of(payment);
    let next_check_at = payment.is_open().then_some(next_check_at);
    let updated = sqlx::query!(
        "update payments
         set status = $3, psp_intent = $4, psp_session = $5, payment_url = $6, redirect_url = $7, failure_code = $8,
             closing = $9, paid_at = $10, amount_refunded = $11, amount_reserved = $12, sequence = $13,
             next_check_at = $14, updated_at = $15
         where id = $1 and sequence = $2",
        payment.payment_no.uuid(),
        old_sequence,
        payment.status().as_str(),
        payment.psp.intent.as_deref(),
        payment.psp.session.as_deref(),
        payment.psp.payment_url.as_deref(),
        columns.redirect_url,
        columns.failure_code,
        payment.closing.map(closing_word),
        columns.paid_at.map(ToSqlx::to_sqlx) as _,
        columns.amount_refunded,
        columns.amount_reserved,
        payment.sequence,
        next_check_at.map(ToSqlx::to_sqlx) as _,
        payment.updated_at.to_sqlx(),
    )
    .execute(&mut **tx)
    .await?;
    match updated.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::Overtaken(payment.payment_no)),
    }
}

/// The columns that only some states have.
#[derive(Default)]
struct StateColumns<'a> {
    redirect_url: Option<&'a str>,
    failure_code: Option<&'static str>,
    paid_at: Option<Timestamp>,
    amount_refunded: i64,
    amount_reserved: i64,
}

impl<'a> StateColumns<'a> {
    fn of(payment: &'a Payment) -> Self {
        match &payment.state {
            PaymentState::Pending
            | PaymentState::Processing
            | PaymentState::Cancelled
            | PaymentState::Expired => Self::default(),
            PaymentState::RequiresAction { redirect_url } => Self {
                redirect_url: Some(redirect_url),
                ..Self::default()
            },
            PaymentState::Success(charge) => Self {
                paid_at: Some(charge.paid_at),
                amount_refunded: charge.refunded,
                amount_reserved: charge.reserved,
                ..Self::default()
            },
            PaymentState::Failed { code } => Self {
                failure_code: Some(code.as_str()),
                ..Self::default()
            },
        }
    }
}

fn closing_word(closing: Closing) -> &'static str {
    match closing {
        Closing::Cancel => "cancel",
        Closing::Expire => "expire",
    }
}

/// Reads a payment.
pub async fn get(db: impl PgExecutor<'_>, payment_no: PaymentNo) -> Result<Option<Payment>, StoreError> {
    let row = select_payments!("where id = $1", payment_no.uuid())
        .fetch_optional(db)
        .await?;
    row.map(Payment::try_from).transpose()
}

/// Reads a payment together with what was asked of the PSP so far.
pub async fn get_with_attempts(
    db: impl PgExecutor<'_>,
    payment_no: PaymentNo,
) -> Result<Option<Locked>, StoreError> {
    let row = select_payments!("where id = $1", payment_no.uuid())
        .fetch_optional(db)
        .await?;
    row.map(locked).transpose()
}

/// The payment of an order, and the hash of the request that made it.
pub async fn find_order(
    db: &mut PgConnection,
    merchant_id: MerchantId,
    order_no: &OrderNo,
) -> Result<Option<(Payment, Vec<u8>)>, StoreError> {
    let row = select_payments!(
        "where merchant_id = $1 and order_no = $2",
        merchant_id.uuid(),
        order_no.as_str()
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(payment) = row.map(Payment::try_from).transpose()? else {
        return Ok(None);
    };
    let hash = sqlx::query_scalar!(
        "select request_hash from payments where id = $1",
        payment.payment_no.uuid()
    )
    .fetch_one(db)
    .await?;
    Ok(Some((payment, hash)))
}

/// The payment that this object of the PSP pays for.
pub async fn find_by_intent(db: impl PgExecutor<'_>, intent: &str) -> Result<Option<PaymentNo>, StoreError> {
    let id = sqlx::query_scalar!("select id from payments where psp_intent = $1", intent)
        .fetch_optional(db)
        .await?;
    Ok(id.map(PaymentNo::from_uuid))
}
