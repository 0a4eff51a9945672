//! The registry's answers, kept in the service's database.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;

use super::RegistryError;
use super::http::Registered;

pub(super) async fn definition(pool: &PgPool, id: u32) -> Result<Option<String>, sqlx::Error> {
    // An id that PostgreSQL cannot hold was never stored.
    let Ok(id) = i32::try_from(id) else {
        return Ok(None);
    };
    sqlx::query_scalar!("select definition from eventing.schemas where id = $1", id)
        .fetch_optional(pool)
        .await
}

pub(super) async fn keep(
    pool: &PgPool,
    id: u32,
    definition: &str,
    now: Timestamp,
) -> Result<(), RegistryError> {
    let id = column_id(id)?;
    sqlx::query!(
        "insert into eventing.schemas (id, definition, fetched_at) values ($1, $2, $3) on conflict do nothing",
        id,
        definition,
        now.to_sqlx() as _,
    )
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn id_of(
    pool: &PgPool,
    subject: &str,
    definition: &str,
) -> Result<Option<u32>, sqlx::Error> {
    let id = sqlx::query_scalar!(
        "select schema_id from eventing.subject_schemas where subject = $1 and definition_sha256 = $2",
        subject,
        &Sha256::digest(definition)[..],
    )
    .fetch_optional(pool)
    .await?;
    Ok(id.and_then(|id| u32::try_from(id).ok()))
}

pub(super) async fn keep_id(
    pool: &PgPool,
    subject: &str,
    definition: &str,
    registered: &Registered,
    now: Timestamp,
) -> Result<(), RegistryError> {
    keep(pool, registered.id, &registered.schema, now).await?;
    sqlx::query!(
        "insert into eventing.subject_schemas (subject, definition_sha256, schema_id) values ($1, $2, $3)
         on conflict on constraint subject_schemas_pkey do nothing",
        subject,
        &Sha256::digest(definition)[..],
        column_id(registered.id)?,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Registries count up from 1; one that answers otherwise is not one that we can use.
fn column_id(id: u32) -> Result<i32, RegistryError> {
    i32::try_from(id)
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| RegistryError::Unreachable {
            url: format!("schema id {id}"),
            cause: "the id is out of range".to_owned(),
        })
}
