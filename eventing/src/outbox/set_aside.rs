//! Rows that cannot be published, and what an operator can do about one.
//!
//! The row and those of its aggregate that come after it wait in `eventing.outbox_blocked`, and go back to the outbox together,
//! under their old numbers: `retry` lets the relay try the row again, `discard` puts a `withheld` record in its place, so that
//! the aggregate's sequence stays dense for everyone.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::codec::{self, CodecError};
use schemas::{DomainEvent, Event};
use sqlx::{PgPool, PgTransaction};

use crate::SchemaRegistry;
use crate::headers::{HeadersError, RecordHeaders};
use crate::registry::RegistryError;

/// A row that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The outbox row, by which commands name it.
    pub seq: i64,
    /// Where it was to go.
    pub topic: String,
    /// The aggregate that it blocks.
    pub key: String,
    /// Its number among the aggregate's events.
    pub sequence: i64,
    /// What happened to the aggregate, if the row's headers can be read.
    pub event_type: Option<String>,
    /// The size of its value.
    pub bytes: i32,
    /// Why it cannot be published.
    pub reason: String,
    /// Since when.
    pub set_aside_at: Timestamp,
    /// How many later events of the aggregate wait for it.
    pub waiting: i64,
}

/// Who does something to a row, when and why.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    /// Who decided.
    pub operator: &'a str,
    /// Why; a discard has to say.
    pub reason: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// Why a row was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum SetAsideError {
    /// Nothing is set aside under that number; somebody else may have been faster.
    #[error("outbox row {0} is not set aside; `outbox list` shows those that are")]
    NotSetAside(i64),
    /// The row has to be decoded to be withheld.
    #[error("outbox row {seq} cannot be decoded, so nothing can be published in its place")]
    Undecodable {
        /// The row.
        seq: i64,
        /// What is wrong with it.
        source: CodecError,
    },
    /// The row's headers cannot be read.
    #[error("the headers of outbox row {seq} cannot be read")]
    Headers {
        /// The row.
        seq: i64,
        /// What is wrong with them.
        source: HeadersError,
    },
    /// The row's schema could not be had.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The most rows that [`list`] returns.
pub const LIST_BOUND: i64 = 1_000;

/// Rows that are set aside, the oldest first, at most [`LIST_BOUND`].
pub async fn list(pool: &PgPool) -> Result<Vec<SetAside>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select row.seq, row.topic, row.key, row.sequence, row.headers, aside.reason, aside.set_aside_at,
                  octet_length(row.payload) as "bytes!",
                  (select count(*) from eventing.outbox_blocked as later
                   where later.topic = row.topic and later.key = row.key and later.seq > row.seq) as "waiting!"
           from eventing.outbox_set_aside as aside
           join eventing.outbox_blocked as row using (seq)
           order by row.seq
           limit $1"#,
        LIST_BOUND,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| SetAside {
            seq: row.seq,
            topic: row.topic,
            key: row.key,
            sequence: row.sequence,
            event_type: event_type(&row.headers),
            bytes: row.bytes,
            reason: row.reason,
            set_aside_at: row.set_aside_at.to_jiff(),
            waiting: row.waiting,
        })
        .collect())
}

/// Lets the relay try a row again, after its cause was removed.
pub async fn retry(pool: &PgPool, seq: i64, decision: &Decision<'_>) -> Result<(), SetAsideError> {
    let mut tx = pool.begin().await?;
    audit(&mut tx, seq, "retry", decision).await?;
    release(&mut tx, seq).await?;
    tx.commit().await?;
    Ok(())
}

/// Puts a `withheld` record with the same key and sequence in a row's place, which the relay then publishes.
///
/// The audit row commits together with the replacement, so it is there before the record can be on its topic.
pub async fn discard(
    pool: &PgPool,
    registry: &SchemaRegistry,
    seq: i64,
    decision: &Decision<'_>,
) -> Result<(), SetAsideError> {
    let row = sqlx::query!(
        "select row.topic, row.payload, row.headers
         from eventing.outbox_set_aside join eventing.outbox_blocked as row using (seq)
         where seq = $1",
        seq,
    )
    .fetch_optional(pool)
    .await?
    .ok_or(SetAsideError::NotSetAside(seq))?;
    let undecodable = |source| SetAsideError::Undecodable { seq, source };
    let (schema_id, body) = codec::unframe(&row.payload).map_err(undecodable)?;
    let schema = registry.schema(schema_id).await?;
    let event = codec::decode(&row.topic, &schema, body).map_err(undecodable)?;
    let (event_type, body) = withheld(&event).map_err(undecodable)?;
    let headers = RecordHeaders::from_bytes(&row.headers).and_then(|mut headers| {
        headers.set("ce_type", event_type);
        headers.to_bytes()
    });
    let headers = headers.map_err(|source| SetAsideError::Headers { seq, source })?;

    let mut tx = pool.begin().await?;
    audit(&mut tx, seq, "discard", decision).await?;
    sqlx::query!(
        "update eventing.outbox_blocked set payload = $2, headers = $3 where seq = $1",
        seq,
        codec::frame(schema_id, &body),
        headers,
    )
    .execute(&mut *tx)
    .await?;
    release(&mut tx, seq).await?;
    tx.commit().await?;
    Ok(())
}

/// The type and the Avro body of what is published in an event's place.
fn withheld(event: &Event) -> Result<(&'static str, Vec<u8>), CodecError> {
    fn of<E: DomainEvent>(event: &E) -> Result<(&'static str, Vec<u8>), CodecError> {
        let withheld = event.withheld();
        Ok((withheld.event_type(), codec::encode(&withheld)?))
    }
    match event {
        Event::Payment(event) => of(&**event),
        Event::Settlement(event) => of(&**event),
        Event::Withdrawal(event) => of(&**event),
    }
}

/// Locks the row's mark and writes down what is done to it.
async fn audit(
    tx: &mut PgTransaction<'_>,
    seq: i64,
    action: &str,
    decision: &Decision<'_>,
) -> Result<(), SetAsideError> {
    let row = sqlx::query!(
        "select row.topic, row.key, row.sequence, row.headers, aside.reason
         from eventing.outbox_set_aside as aside join eventing.outbox_blocked as row using (seq)
         where seq = $1
         for update of aside",
        seq,
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(SetAsideError::NotSetAside(seq))?;
    sqlx::query!(
        "insert into eventing.outbox_audit
             (at, action, operator, reason, seq, topic, key, sequence, event_type, set_aside_reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        decision.at.to_sqlx() as _,
        action,
        decision.operator,
        decision.reason,
        seq,
        row.topic,
        row.key,
        row.sequence,
        event_type(&row.headers),
        row.reason,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Unblocks the row's aggregate: all its rows go back to the outbox at once.
async fn release(tx: &mut PgTransaction<'_>, seq: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with unblocked as (
             delete from eventing.outbox_set_aside where seq = $1 returning topic, key
         ), released as (
             delete from eventing.outbox_blocked as row using unblocked
             where row.topic = unblocked.topic and row.key = unblocked.key
             returning row.*
         ), counted as (
             update eventing.outbox_lanes as lanes set releases = releases + 1
             where lanes.lane in (select lane from released)
         )
         insert into eventing.outbox (lane, seq, topic, key, sequence, payload, headers, created_at)
         select lane, seq, topic, key, sequence, payload, headers, created_at from released",
        seq,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn event_type(headers: &[u8]) -> Option<String> {
    RecordHeaders::from_bytes(headers)
        .ok()?
        .text("ce_type")
        .map(str::to_owned)
}
