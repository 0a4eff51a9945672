//! The keys that sign merchants' tokens.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgExecutor};

use super::StoreError;

/// A key that signs.
#[derive(Debug)]
pub struct StoredSigningKey {
    /// Its `kid`.
    pub id: String,
    /// PKCS#8, sealed for `id`.
    pub private_key: Vec<u8>,
}

/// The newest key that may sign.
pub async fn current(db: impl PgExecutor<'_>) -> Result<Option<StoredSigningKey>, StoreError> {
    let row = sqlx::query!(
        "select id, private_key from signing_keys where verify_until is null order by created_at desc, id desc limit 1"
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| StoredSigningKey {
        id: row.id,
        private_key: row.private_key,
    }))
}

/// Lets one replica at a time look whether a first key is missing; held until the transaction ends.
pub async fn lock(tx: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("lock table signing_keys in share row exclusive mode")
        .execute(tx)
        .await?;
    Ok(())
}

/// Adds a key.
pub async fn insert(
    db: impl PgExecutor<'_>,
    id: &str,
    private_key: &[u8],
    public_jwk: &serde_json::Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into signing_keys (id, algorithm, private_key, public_jwk, created_at) values ($1, 'ES256', $2, $3, $4)",
        id,
        private_key,
        public_jwk,
        now.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The public halves of all keys whose tokens may still be in use.
pub async fn published(
    db: impl PgExecutor<'_>,
    now: Timestamp,
) -> Result<Vec<serde_json::Value>, StoreError> {
    let keys = sqlx::query_scalar!(
        "select public_jwk from signing_keys where verify_until is null or verify_until > $1 order by created_at desc",
        now.to_sqlx() as _,
    )
    .fetch_all(db)
    .await?;
    Ok(keys)
}
