use jiff::Timestamp;
use serde::Serialize;
use sqlx::PgConnection;

use super::super::id::LetterId;
use super::super::letter::{Letter, printable};
use crate::consumer::envelope;

/// A record that no consumer group wrote.
const UNKNOWN: &str = "unknown";

/// What the index keeps of a letter. The names are those of the columns.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) letter_partition: i32,
    pub(super) letter_offset: i64,
    died_at: Timestamp,
    first_failed_at: Option<Timestamp>,
    source_topic: Option<String>,
    source_partition: Option<i32>,
    source_offset: Option<i64>,
    key: String,
    sequence: Option<i64>,
    event_type: Option<String>,
    error_class: String,
    fingerprint: String,
    message: String,
    attempts: Option<u32>,
    job_id: Option<uuid::Uuid>,
    earlier_partition: Option<i32>,
    earlier_offset: Option<i64>,
    pub(super) life: Option<String>,
}

impl Row {
    pub(super) fn new(letter: &Letter) -> Self {
        let envelope = letter.envelope.as_ref();
        let origin = envelope.map(|envelope| &envelope.origin);
        let replay = envelope.and_then(|envelope| envelope.replay.as_ref());
        let earlier = replay.and_then(|replay| replay.letter.parse::<LetterId>().ok());
        let error_class = match letter.text(envelope::ERROR_CLASS) {
            "" => UNKNOWN,
            class => class,
        };
        Self {
            letter_partition: letter.id.partition,
            letter_offset: letter.id.offset,
            died_at: letter.record.recorded_at,
            first_failed_at: envelope.and_then(|envelope| envelope.first_failed_at),
            source_topic: origin.map(|origin| origin.topic.to_string()),
            source_partition: origin.map(|origin| origin.partition),
            source_offset: origin.map(|origin| origin.offset),
            key: letter.shown_key(),
            sequence: letter.text("ce_sequence").parse().ok(),
            event_type: Some(printable(letter.text("ce_type"))).filter(|name| !name.is_empty()),
            error_class: printable(error_class),
            fingerprint: printable(letter.fingerprint()),
            message: printable(letter.text(envelope::MESSAGE)),
            attempts: envelope.map(|envelope| envelope.attempts),
            job_id: replay.map(|replay| replay.job),
            earlier_partition: earlier.map(|letter| letter.partition),
            earlier_offset: earlier.map(|letter| letter.offset),
            life: envelope.map(envelope::Envelope::life),
        }
    }
}

pub(super) async fn insert(tx: &mut PgConnection, group: &str, rows: &[Row]) -> Result<(), sqlx::Error> {
    let rows = serde_json::to_value(rows).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sqlx::query!(
        "insert into eventing.dead_letters (consumer_group, letter_partition, letter_offset, died_at, first_failed_at,
             source_topic, source_partition, source_offset, key, sequence, event_type, error_class, fingerprint, message,
             attempts, job_id, earlier_partition, earlier_offset, life)
         select $1, r.letter_partition, r.letter_offset, r.died_at, r.first_failed_at,
             r.source_topic, r.source_partition, r.source_offset, r.key, r.sequence, r.event_type, r.error_class,
             r.fingerprint, r.message, r.attempts, r.job_id, r.earlier_partition, r.earlier_offset, r.life
         from jsonb_to_recordset($2) as r (letter_partition integer, letter_offset bigint, died_at timestamptz,
             first_failed_at timestamptz, source_topic text, source_partition integer, source_offset bigint, key text,
             sequence bigint, event_type text, error_class text, fingerprint text, message text, attempts integer,
             job_id uuid, earlier_partition integer, earlier_offset bigint, life text)
         on conflict on constraint dead_letters_pkey do nothing",
        group,
        rows,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Of the letters about one failure, the one to which something was done counts, or else the first.
pub(super) async fn mark_copies(
    tx: &mut PgConnection,
    group: &str,
    lives: &[String],
) -> Result<(), sqlx::Error> {
    let lives = repeated(&mut *tx, group, lives).await?;
    if lives.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with counts as (
             select distinct on (d.life) d.life, d.letter_partition, d.letter_offset
             from eventing.dead_letters d
             left join eventing.dead_letter_states s
                 on s.consumer_group = d.consumer_group and s.letter_partition = d.letter_partition
                    and s.letter_offset = d.letter_offset
             where d.consumer_group = $1 and d.life = any($2)
             order by d.life, (s.state is null), d.died_at, d.letter_partition, d.letter_offset
         ), copies as (
             select d.letter_partition, d.letter_offset,
                 case when (d.letter_partition, d.letter_offset) <> (c.letter_partition, c.letter_offset)
                     then c.letter_partition end as copy_of_partition,
                 case when (d.letter_partition, d.letter_offset) <> (c.letter_partition, c.letter_offset)
                     then c.letter_offset end as copy_of_offset
             from eventing.dead_letters d
             join counts c on c.life = d.life
             where d.consumer_group = $1 and d.life = any($2)
         )
         update eventing.dead_letters d
         set copy_of_partition = c.copy_of_partition, copy_of_offset = c.copy_of_offset
         from copies c
         where d.consumer_group = $1 and d.letter_partition = c.letter_partition and d.letter_offset = c.letter_offset
           and (d.copy_of_partition, d.copy_of_offset) is distinct from (c.copy_of_partition, c.copy_of_offset)",
        group,
        &lives,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Those about which there is more than one letter: hardly ever any.
///
/// Each is looked up by itself (`lateral … offset 0`): a join planned while the index was small would go on scanning it when it has
/// grown.
async fn repeated(tx: &mut PgConnection, group: &str, lives: &[String]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct l.life as "life!" from unnest($2::text[]) as l (life)
           cross join lateral (
               select letter_offset from eventing.dead_letters
               where consumer_group = $1 and life = l.life
               offset 1 limit 1
           ) second"#,
        group,
        lives,
    )
    .fetch_all(tx)
    .await
}
