//! Sessions of the dashboard and tickets of its socket, by the hash of what the browser holds.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::MerchantId;
use sqlx::PgPool;

use crate::domain::scope::Scope;

/// Keeps a session until `expires_at`, and drops those that have expired.
pub async fn open_session(
    pool: &PgPool,
    hash: &[u8],
    scope: Scope,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from sessions where expires_at <= $1", now.to_sqlx() as _)
        .execute(pool)
        .await?;
    sqlx::query!(
        "insert into sessions (token_hash, merchant_id, expires_at) values ($1, $2, $3)",
        hash,
        scope.merchant().map(MerchantId::uuid),
        expires_at.to_sqlx() as _,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Whose session this is; none if there is no such session, or no longer.
pub async fn session(pool: &PgPool, hash: &[u8], now: Timestamp) -> Result<Option<Scope>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select merchant_id as "merchant_id: MerchantId" from sessions where token_hash = $1 and expires_at > $2"#,
        hash,
        now.to_sqlx() as _,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| scope(row.merchant_id)))
}

/// Ends a session.
pub async fn close_session(pool: &PgPool, hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from sessions where token_hash = $1", hash)
        .execute(pool)
        .await?;
    Ok(())
}

/// Keeps a ticket until `expires_at`, and drops those that have expired.
pub async fn issue_ticket(
    pool: &PgPool,
    hash: &[u8],
    scope: Scope,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from tickets where expires_at <= $1", now.to_sqlx() as _)
        .execute(pool)
        .await?;
    sqlx::query!(
        "insert into tickets (token_hash, merchant_id, expires_at) values ($1, $2, $3)",
        hash,
        scope.merchant().map(MerchantId::uuid),
        expires_at.to_sqlx() as _,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Takes a ticket: the second taker gets none, also on another replica.
pub async fn take_ticket(pool: &PgPool, hash: &[u8], now: Timestamp) -> Result<Option<Scope>, sqlx::Error> {
    let row = sqlx::query!(
        r#"delete from tickets where token_hash = $1 and expires_at > $2
           returning merchant_id as "merchant_id: MerchantId""#,
        hash,
        now.to_sqlx() as _,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| scope(row.merchant_id)))
}

fn scope(merchant: Option<MerchantId>) -> Scope {
    merchant.map_or(Scope::All, Scope::Merchant)
}
