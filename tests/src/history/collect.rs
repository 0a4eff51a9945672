//! Gathers a history: from the databases, the topics and the journals.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use schemas::catalogue::PAYMENTS;
use sqlx::PgPool;
use uuid::Uuid;

use super::model::{Applied, Commit, Group, History, Kind, Letter, Published, Stray};
use super::stage::{Stage, WRITERS, database_of};
use super::strays;
use super::timeline::Timeline;
use crate::topics::{self, Record};

/// All of it.
pub async fn history(stage: &Stage) -> Result<History> {
    let mut history = History {
        seed: stage.seed(),
        commits: commits(&stage.pool(WRITERS).await?, &stage.timeline).await?,
        happenings: stage.timeline.happenings(),
        ..History::default()
    };
    journals(stage, &mut history)?;
    (history.topic, history.strays) = topic(stage.brokers()).await?;
    for kind in Kind::BOTH {
        let pool = stage.pool(database_of(kind)).await?;
        history.groups.push(Group {
            kind,
            applied: applied(&pool, &stage.timeline).await?,
            letters: letters(stage.brokers(), kind).await?,
            totals: sqlx::query_as("select key, events from totals")
                .fetch_all(&pool)
                .await?,
        });
    }
    Ok(history)
}

async fn commits(pool: &PgPool, timeline: &Timeline) -> Result<Vec<Commit>> {
    type Row = (String, i64, Uuid, String, jiff_sqlx::Timestamp);
    let rows: Vec<Row> = sqlx::query_as(
        "select key, sequence, event_id, transaction, at from committed order by key, sequence",
    )
    .fetch_all(pool)
    .await?;
    let commits = rows
        .into_iter()
        .map(|(key, sequence, event_id, transaction, at)| Commit {
            key,
            sequence,
            event_id,
            transaction,
            at: timeline.at(at.to_jiff()),
        });
    Ok(commits.collect())
}

async fn applied(pool: &PgPool, timeline: &Timeline) -> Result<Vec<Applied>> {
    type Row = (String, i64, Uuid, i64, i32, bool, String, jiff_sqlx::Timestamp);
    let rows: Vec<Row> = sqlx::query_as(
        "select key, sequence, event_id, position, attempt, replayed, member, at from applied order by position",
    )
    .fetch_all(pool)
    .await?;
    let applied = rows.into_iter().map(
        |(key, sequence, event_id, position, attempt, replayed, member, at)| Applied {
            key,
            sequence,
            event_id,
            position,
            attempt: attempt.unsigned_abs(),
            replayed,
            member,
            at: timeline.at(at.to_jiff()),
        },
    );
    Ok(applied.collect())
}

fn journals(stage: &Stage, history: &mut History) -> Result<()> {
    for entry in std::fs::read_dir(stage.journals())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "journal") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        for line in text.lines() {
            // The last line of a process that was killed may be cut.
            let Some((outcome, events)) = line.split_once(' ') else {
                continue;
            };
            let events = events.split(',').filter_map(|event| event.parse::<Uuid>().ok());
            let set: &mut BTreeSet<Uuid> = match outcome {
                "committed" | "unknown-committed" => &mut history.acknowledged,
                "rolled-back" | "unknown-rolled-back" => &mut history.rolled_back,
                _ => continue,
            };
            set.extend(events);
        }
    }
    Ok(())
}

/// Reads a topic, and keeps what `each` makes of the records.
async fn read<T: Send + 'static>(
    brokers: &str,
    topic: &str,
    each: impl Fn(Record) -> T + Send + Sync + 'static,
) -> Result<Vec<T>> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        topics::read_from(&brokers, &topic, &std::collections::BTreeMap::new(), |record| {
            all.push(each(record));
        })?;
        Ok(all)
    })
    .await?
}

/// What relays have written, and what else lies there.
async fn topic(brokers: &str) -> Result<(Vec<Published>, Vec<Stray>)> {
    let records = read(brokers, PAYMENTS.name, |record| {
        match strays::recognise(&record) {
            Some(stray) => Ok(Err(stray)),
            None => published(&record).map(Ok),
        }
    });
    let (mut events, mut strays) = (Vec::new(), Vec::new());
    for record in records.await? {
        match record? {
            Ok(event) => events.push(event),
            Err(stray) => strays.push(stray),
        }
    }
    events.sort_by_key(|record: &Published| (record.partition, record.offset));
    strays.sort_by_key(|record: &Stray| (record.partition, record.offset));
    Ok((events, strays))
}

fn published(record: &Record) -> Result<Published> {
    let header = |name: &str| {
        let value = record.headers.get(name);
        value.with_context(|| {
            format!(
                "a record at {}-{} without {name}",
                record.partition, record.offset
            )
        })
    };
    Ok(Published {
        key: String::from_utf8(record.key.clone())?,
        sequence: header("ce_sequence")?.parse()?,
        event_id: header("ce_id")?.parse()?,
        partition: record.partition,
        offset: record.offset,
    })
}

/// How many announcements of records that are no events are still missing, of all groups together.
pub async fn unannounced(brokers: &str) -> Result<usize> {
    let (_, strays) = topic(brokers).await?;
    let mut missing = 0;
    for kind in Kind::BOTH {
        let letters = letters(brokers, kind).await?;
        let announced: BTreeSet<_> = letters.iter().map(|letter| letter.source).collect();
        let is_open = |stray: &&Stray| !announced.contains(&(stray.partition, stray.offset));
        missing += strays.iter().filter(is_open).count();
    }
    Ok(missing)
}

/// A group's dead letters so far.
pub async fn letters(brokers: &str, kind: Kind) -> Result<Vec<Letter>> {
    let topic = super::consumer::group(kind).dead_letter_topic();
    let mut letters = read(brokers, &topic, |record| letter(&record)).await?;
    letters.sort_by_key(|letter| (letter.partition, letter.offset));
    Ok(letters)
}

fn letter(record: &Record) -> Letter {
    fn number<T: std::str::FromStr + Default>(record: &Record, name: &str) -> T {
        let text = record.headers.get(name);
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }
    let class = record.headers.get("eventing-error-class");
    Letter {
        key: String::from_utf8_lossy(&record.key).into_owned(),
        sequence: number(record, "ce_sequence"),
        partition: record.partition,
        offset: record.offset,
        class: class.cloned().unwrap_or_default(),
        source: (
            number(record, "eventing-original-partition"),
            number(record, "eventing-original-offset"),
        ),
        attempts: number(record, "eventing-attempt"),
    }
}
