//! First answers to requests that carried an `Idempotency-Key`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use schemas::ids::MerchantId;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::StoreError;
use crate::domain::text::IdempotencyKey;

/// What a key is valid for: the same key of another merchant, or on another path, is another one.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Who sent it.
    pub merchant_id: MerchantId,
    /// With which method.
    pub method: &'static str,
    /// To which path, as it was sent.
    pub path: String,
    /// The key.
    pub key: IdempotencyKey,
}

/// What is known of a key.
#[derive(Debug)]
pub struct Record {
    /// SHA-256 of the request that came with it first.
    pub request_hash: Vec<u8>,
    /// What that request created.
    pub resource_id: Uuid,
    /// Somebody works on the answer until then.
    pub claimed_until: Timestamp,
    /// The answer, once it is known.
    pub answer: Option<Answer>,
}

/// An answer as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// Looks a key up.
pub async fn find(db: impl PgExecutor<'_>, scope: &Scope) -> Result<Option<Record>, StoreError> {
    let row = sqlx::query!(
        "select request_hash, resource_id, claimed_until, answer_status, answer_body
         from idempotency_keys where merchant_id = $1 and method = $2 and path = $3 and key = $4",
        scope.merchant_id.uuid(),
        scope.method,
        scope.path,
        scope.key.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Record {
        request_hash: row.request_hash,
        resource_id: row.resource_id,
        claimed_until: row.claimed_until.to_jiff(),
        answer: row
            .answer_status
            .zip(row.answer_body)
            .map(|(status, body)| Answer {
                status: u16::try_from(status).unwrap_or(500),
                body,
            }),
    }))
}

/// Notes a key in the transaction that creates the resource; false if the key is known already.
pub async fn insert(
    db: impl PgExecutor<'_>,
    scope: &Scope,
    request_hash: &[u8],
    resource_id: Uuid,
    now: Timestamp,
    claimed_until: Timestamp,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query!(
        "insert into idempotency_keys (merchant_id, method, path, key, request_hash, resource_id, claimed_until, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict on constraint idempotency_keys_pkey do nothing",
        scope.merchant_id.uuid(),
        scope.method,
        scope.path,
        scope.key.as_str(),
        request_hash,
        resource_id,
        claimed_until.to_sqlx(),
        now.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Takes over from somebody who is gone; false if another one was faster, or the answer is there.
pub async fn take_over(
    db: impl PgExecutor<'_>,
    scope: &Scope,
    now: Timestamp,
    claimed_until: Timestamp,
) -> Result<bool, StoreError> {
    let taken = sqlx::query!(
        "update idempotency_keys set claimed_until = $6
         where merchant_id = $1 and method = $2 and path = $3 and key = $4
           and answer_status is null and claimed_until <= $5",
        scope.merchant_id.uuid(),
        scope.method,
        scope.path,
        scope.key.as_str(),
        now.to_sqlx(),
        claimed_until.to_sqlx(),
    )
    .execute(db)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Keeps the first answer; a later one changes nothing.
pub async fn answer(db: impl PgExecutor<'_>, scope: &Scope, answer: &Answer) -> Result<(), StoreError> {
    sqlx::query!(
        "update idempotency_keys set answer_status = $5, answer_body = $6
         where merchant_id = $1 and method = $2 and path = $3 and key = $4 and answer_status is null",
        scope.merchant_id.uuid(),
        scope.method,
        scope.path,
        scope.key.as_str(),
        i16::try_from(answer.status).unwrap_or(500),
        answer.body,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets keys from before, at most `rows` of them; tells how many.
pub async fn prune(db: impl PgExecutor<'_>, before: Timestamp, rows: i64) -> Result<u64, StoreError> {
    let pruned = sqlx::query!(
        "delete from idempotency_keys where ctid in (
             select ctid from idempotency_keys where created_at < $1 limit $2
         )",
        before.to_sqlx(),
        rows,
    )
    .execute(db)
    .await?;
    Ok(pruned.rows_affected())
}
