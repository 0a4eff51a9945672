//! Merchants.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{CustomerRef, MerchantId, PaymentNo};
use sqlx::{PgConnection, PgExecutor};

use super::StoreError;
use crate::domain::merchant::MerchantStatus;

/// A merchant as it is stored.
#[derive(Debug, Clone)]
pub struct StoredMerchant {
    /// Its id.
    pub merchant_id: MerchantId,
    /// What people call it.
    pub name: String,
    /// Where its notices go.
    pub email: String,
    /// Where its webhooks go, unless a payment says otherwise.
    pub notify_url: Option<String>,
    /// Whether it may ask for anything.
    pub status: MerchantStatus,
    /// The webhooks' secret, sealed for `merchant_id`.
    pub webhook_secret: Vec<u8>,
    /// When it joined.
    pub created_at: Timestamp,
}

/// Adds a merchant.
pub async fn insert(db: impl PgExecutor<'_>, merchant: &StoredMerchant) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into merchants (id, name, email, notify_url, status, webhook_secret, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)",
        merchant.merchant_id.uuid(),
        merchant.name,
        merchant.email,
        merchant.notify_url,
        merchant.status.as_str(),
        merchant.webhook_secret,
        merchant.created_at.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The merchant.
pub async fn get(
    db: impl PgExecutor<'_>,
    merchant_id: MerchantId,
) -> Result<Option<StoredMerchant>, StoreError> {
    let row = sqlx::query!(
        r#"select name, email, notify_url, status, webhook_secret, created_at from merchants where id = $1"#,
        merchant_id.uuid(),
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(StoredMerchant {
        merchant_id,
        name: row.name,
        email: row.email,
        notify_url: row.notify_url,
        status: status(merchant_id, &row.status)?,
        webhook_secret: row.webhook_secret,
        created_at: row.created_at.to_jiff(),
    }))
}

/// Sets the status; false if there is no such merchant.
pub async fn set_status(
    db: impl PgExecutor<'_>,
    merchant_id: MerchantId,
    status: MerchantStatus,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let updated = sqlx::query!(
        "update merchants set status = $2, updated_at = $3 where id = $1",
        merchant_id.uuid(),
        status.as_str(),
        now.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Holds the merchant's row until the transaction ends, so that its keys are counted by one request at a time; false if
/// there is no such merchant.
pub async fn lock(tx: &mut PgConnection, merchant_id: MerchantId) -> Result<bool, StoreError> {
    let row = sqlx::query_scalar!(
        "select id from merchants where id = $1 for no key update",
        merchant_id.uuid()
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.is_some())
}

/// What the contact endpoint tells of one payment.
#[derive(Debug)]
pub struct PaymentContact {
    /// The merchant's order number.
    pub order_no: String,
    /// Where this payment's webhooks go.
    pub notify_url: Option<String>,
    /// The merchant's own words.
    pub description: Option<String>,
    /// Who paid.
    pub customer: Option<SealedContact>,
}

/// A customer's addresses, sealed.
#[derive(Debug)]
pub struct SealedContact {
    /// The reference.
    pub customer_ref: CustomerRef,
    /// Sealed for `customer_ref`; none once erased.
    pub email: Option<Vec<u8>>,
    /// Sealed for `customer_ref`.
    pub phone: Option<Vec<u8>>,
}

/// The contact of one of the merchant's payments.
pub async fn payment_contact(
    db: impl PgExecutor<'_>,
    merchant_id: MerchantId,
    payment_no: PaymentNo,
) -> Result<Option<PaymentContact>, StoreError> {
    let row = sqlx::query!(
        r#"select p.order_no, p.notify_url, p.description, c.id as "customer_ref?: CustomerRef", c.email as "email?",
                  c.phone as "phone?"
           from payments p left join customers c on c.id = p.customer_id
           where p.id = $1 and p.merchant_id = $2"#,
        payment_no.uuid(),
        merchant_id.uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| PaymentContact {
        order_no: row.order_no,
        notify_url: row.notify_url,
        description: row.description,
        customer: row.customer_ref.map(|customer_ref| SealedContact {
            customer_ref,
            email: row.email,
            phone: row.phone,
        }),
    }))
}

pub(super) fn status(merchant_id: MerchantId, text: &str) -> Result<MerchantStatus, StoreError> {
    MerchantStatus::parse(text).ok_or_else(|| StoreError::Corrupt {
        id: merchant_id.to_string(),
        column: "status",
    })
}
