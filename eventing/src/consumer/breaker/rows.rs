//! The rows that all members of a group share. Their times are the database's, so that the members' clocks need not agree.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) fingerprint: String,
    pub(super) event_types: Vec<String>,
    pub(super) class: String,
    pub(super) message: String,
    pub(super) opened_at: Timestamp,
    /// A record may be tried now.
    pub(super) due: bool,
}

/// The group's open breakers.
pub(super) async fn load(pool: &PgPool, group: &str) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select fingerprint, event_types, class, message, opened_at, probe_due_at <= clock_timestamp() as "due!"
           from eventing.breakers where consumer_group = $1 order by opened_at, fingerprint"#,
        group,
    )
    .fetch_all(pool)
    .await?;
    let rows = rows.into_iter().map(|row| Row {
        fingerprint: row.fingerprint,
        event_types: row.event_types,
        class: row.class,
        message: row.message,
        opened_at: row.opened_at.into(),
        due: row.due,
    });
    Ok(rows.collect())
}

/// What opens a breaker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause<'a> {
    pub(super) group: &'a str,
    pub(super) fingerprint: &'a str,
    pub(super) event_types: &'a [String],
    pub(super) class: &'a str,
    pub(super) message: &'a str,
}

/// Opens a breaker, or lets one that is open hold these event types as well. `true` when it was not open.
pub(super) async fn open(
    pool: &PgPool,
    cause: Cause<'_>,
    probe_after: Duration,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"insert into eventing.breakers as breaker
               (consumer_group, fingerprint, event_types, class, message, opened_at, probe_due_at)
           values ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + make_interval(secs => $6))
           on conflict on constraint breakers_pkey do update
           set event_types = array(
               select distinct held from unnest(breaker.event_types || excluded.event_types) held order by held
           )
           returning xmax = 0 as "opened!""#,
        cause.group,
        cause.fingerprint,
        cause.event_types,
        cause.class,
        cause.message,
        probe_after.as_secs_f64(),
    )
    .fetch_one(pool)
    .await
}

/// Who may try a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(super) fingerprint: String,
    token: Uuid,
}

/// Takes the right to try a record, for as long as that may take; `None` when someone else has it, or it is not due.
pub(super) async fn claim(
    pool: &PgPool,
    group: &str,
    fingerprint: &str,
    lease: Duration,
) -> Result<Option<Probe>, sqlx::Error> {
    let token = Uuid::now_v7();
    let claimed = sqlx::query!(
        "update eventing.breakers
         set probe = $3, probe_due_at = clock_timestamp() + make_interval(secs => $4)
         where consumer_group = $1 and fingerprint = $2 and probe_due_at <= clock_timestamp()",
        group,
        fingerprint,
        token,
        lease.as_secs_f64(),
    )
    .execute(pool)
    .await?;
    Ok((claimed.rows_affected() == 1).then(|| Probe {
        fingerprint: fingerprint.to_owned(),
        token,
    }))
}

/// The record that was tried failed: the next one may be tried after a pause, which doubles up to `longest`.
pub(super) async fn postpone(
    pool: &PgPool,
    group: &str,
    probe: &Probe,
    first: Duration,
    longest: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.breakers
         set probe = null,
             failed_probes = failed_probes + 1,
             probe_due_at = clock_timestamp()
                 + make_interval(secs => least($5::float8, $4::float8 * 2 ^ least(failed_probes + 1, 30)))
         where consumer_group = $1 and fingerprint = $2 and probe = $3",
        group,
        probe.fingerprint,
        probe.token,
        first.as_secs_f64(),
        longest.as_secs_f64(),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The record that was tried proved nothing: another may be tried now.
pub(super) async fn release(pool: &PgPool, group: &str, probe: &Probe) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update eventing.breakers set probe = null, probe_due_at = clock_timestamp()
         where consumer_group = $1 and fingerprint = $2 and probe = $3",
        group,
        probe.fingerprint,
        probe.token,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Closes the breakers that hold an event type of which a record was applied, and answers their fingerprints.
pub(super) async fn close(pool: &PgPool, group: &str, event_type: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "delete from eventing.breakers where consumer_group = $1 and $2 = any(event_types) returning fingerprint",
        group,
        event_type,
    )
    .fetch_all(pool)
    .await
}
