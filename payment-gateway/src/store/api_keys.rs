//! API keys.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::{ApiKeyId, MerchantId};
use sqlx::PgExecutor;

use super::StoreError;
use super::merchants::status;
use crate::domain::merchant::MerchantStatus;

/// A key as it is stored, with what decides whether it opens anything.
#[derive(Debug)]
pub struct StoredKey {
    /// Whose key.
    pub merchant_id: MerchantId,
    /// The merchant's status.
    pub merchant_status: MerchantStatus,
    /// The HMAC secret, sealed for the key's id.
    pub secret: Vec<u8>,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

/// A key as it is listed.
#[derive(Debug, Clone, Copy)]
pub struct ListedKey {
    /// The public half.
    pub api_key: ApiKeyId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// The key with its merchant.
pub async fn get(db: impl PgExecutor<'_>, api_key: ApiKeyId) -> Result<Option<StoredKey>, StoreError> {
    let row = sqlx::query!(
        r#"select k.merchant_id as "merchant_id: MerchantId", k.secret, k.revoked_at is not null as "is_revoked!", m.status
           from api_keys k join merchants m on m.id = k.merchant_id where k.id = $1"#,
        api_key.uuid(),
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(StoredKey {
        merchant_id: row.merchant_id,
        merchant_status: status(row.merchant_id, &row.status)?,
        secret: row.secret,
        is_revoked: row.is_revoked,
    }))
}

/// Adds a key.
pub async fn insert(
    db: impl PgExecutor<'_>,
    api_key: ApiKeyId,
    merchant_id: MerchantId,
    secret: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into api_keys (id, merchant_id, secret, created_at) values ($1, $2, $3, $4)",
        api_key.uuid(),
        merchant_id.uuid(),
        secret,
        now.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The merchant's keys, newest first, at most 100.
pub async fn list(db: impl PgExecutor<'_>, merchant_id: MerchantId) -> Result<Vec<ListedKey>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "api_key: ApiKeyId", created_at, revoked_at from api_keys
           where merchant_id = $1 order by created_at desc, id desc limit 100"#,
        merchant_id.uuid(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ListedKey {
            api_key: row.api_key,
            created_at: row.created_at.to_jiff(),
            revoked_at: row.revoked_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
        .collect())
}

/// The merchant's live keys; the caller holds the merchant's row.
pub async fn live(db: impl PgExecutor<'_>, merchant_id: MerchantId) -> Result<Vec<ApiKeyId>, StoreError> {
    let keys = sqlx::query_scalar!(
        r#"select id as "id: ApiKeyId" from api_keys where merchant_id = $1 and revoked_at is null"#,
        merchant_id.uuid(),
    )
    .fetch_all(db)
    .await?;
    Ok(keys)
}

/// Revokes a key of the merchant, at once and for ever; false if there is no such key. Revoking twice changes nothing.
pub async fn revoke(
    db: impl PgExecutor<'_>,
    merchant_id: MerchantId,
    api_key: ApiKeyId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let updated = sqlx::query!(
        "update api_keys set revoked_at = coalesce(revoked_at, $3) where id = $1 and merchant_id = $2",
        api_key.uuid(),
        merchant_id.uuid(),
        now.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(updated.rows_affected() == 1)
}
