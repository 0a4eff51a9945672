//! Customers: the one place in this database that knows who somebody is, encrypted.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{CustomerRef, MerchantId};
use sqlx::{PgExecutor, PgTransaction};

use super::StoreError;

/// A customer as it is stored.
#[derive(Debug)]
pub struct SealedCustomer<'a> {
    /// The reference to be, if the address is new.
    pub customer_ref: CustomerRef,
    /// Whose customer.
    pub merchant_id: MerchantId,
    /// Keyed digest of the normalised address.
    pub email_digest: &'a [u8],
    /// The address, sealed for `customer_ref`.
    pub email: &'a [u8],
    /// The phone number, sealed for `customer_ref`.
    pub phone: Option<&'a [u8]>,
}

/// The merchant's customer with this address.
pub async fn find(
    db: impl PgExecutor<'_>,
    merchant_id: MerchantId,
    email_digest: &[u8],
) -> Result<Option<CustomerRef>, StoreError> {
    let id = sqlx::query_scalar!(
        "select id from customers where merchant_id = $1 and email_digest = $2",
        merchant_id.uuid(),
        email_digest,
    )
    .fetch_optional(db)
    .await?;
    Ok(id.map(CustomerRef::from_uuid))
}

/// Adds the customer; false if the merchant has one with this address.
pub async fn insert(
    db: impl PgExecutor<'_>,
    customer: &SealedCustomer<'_>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into customers (id, merchant_id, email, phone, email_digest, created_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint customers_one_per_address do nothing",
        customer.customer_ref.uuid(),
        customer.merchant_id.uuid(),
        customer.email,
        customer.phone,
        customer.email_digest,
        now.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Sets the phone number, sealed for the customer.
pub async fn set_phone(
    db: impl PgExecutor<'_>,
    customer_ref: CustomerRef,
    phone: &[u8],
) -> Result<(), StoreError> {
    sqlx::query!(
        "update customers set phone = $2 where id = $1 and erased_at is null",
        customer_ref.uuid(),
        phone,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes the addresses of the merchant's customer, and what the merchant wrote on their payments; false if there is no such
/// customer. Erasing twice changes nothing.
pub async fn erase(
    tx: &mut PgTransaction<'_>,
    merchant_id: MerchantId,
    customer_ref: CustomerRef,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let erased = sqlx::query!(
        "update customers set email = null, phone = null, email_digest = null, erased_at = coalesce(erased_at, $3)
         where id = $1 and merchant_id = $2",
        customer_ref.uuid(),
        merchant_id.uuid(),
        now.to_sqlx(),
    )
    .execute(&mut **tx)
    .await?;
    if erased.rows_affected() == 0 {
        return Ok(false);
    }
    // A first answer repeats what the request said; without it the next one is made of the payment as it is.
    sqlx::query!(
        "update idempotency_keys set answer_status = null, answer_body = null
         where merchant_id = $1 and resource_id in (select id from payments where customer_id = $2)",
        merchant_id.uuid(),
        customer_ref.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update payments set description = null, metadata = '{}' where customer_id = $1",
        customer_ref.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(true)
}
