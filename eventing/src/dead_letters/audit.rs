//! What operators decided: written before it is done, in the transaction that makes it so.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::cursor;
use super::views::{AuditEntry, Page};
use super::{Decision, Error};

/// A decision that is to be written down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) group: &'a str,
    pub(crate) action: &'a str,
    pub(crate) by: &'a Decision,
    /// To what, in words.
    pub(crate) subject: &'a str,
    /// How many letters it concerns.
    pub(crate) letters: u64,
    pub(crate) job: Option<Uuid>,
}

/// Writes down a decision.
pub(crate) async fn write(
    tx: &mut PgConnection,
    entry: &Entry<'_>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into eventing.dead_letter_audit (consumer_group, at, action, operator, reason, subject, letters, job_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        entry.group,
        now.to_sqlx() as _,
        entry.action,
        entry.by.operator(),
        entry.by.reason(),
        entry.subject,
        i64::try_from(entry.letters).unwrap_or(i64::MAX),
        entry.job,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Entries, newest first.
pub(crate) async fn list(
    pool: &PgPool,
    group: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<AuditEntry>, Error> {
    let before: Option<i64> = after.map(cursor::number).transpose()?;
    let rows = sqlx::query!(
        "select id, at, action, operator, reason, subject, letters, job_id from eventing.dead_letter_audit
         where consumer_group = $1 and ($2::bigint is null or id < $2)
         order by id desc
         limit $3",
        group,
        before,
        i64::from(limit) + 1,
    )
    .fetch_all(pool)
    .await?;
    let entries = rows.into_iter().map(|row| AuditEntry {
        id: row.id,
        at: row.at.into(),
        action: row.action,
        operator: row.operator,
        reason: row.reason,
        subject: row.subject,
        letters: u64::try_from(row.letters).unwrap_or(0),
        job: row.job_id,
    });
    Ok(cursor::page(entries.collect(), limit, |entry| {
        entry.id.to_string()
    }))
}
