//! Listing letters, and showing one.

use std::io::Write;

use schemas::Event;
use serde_json::{Value, json};

use super::chosen::Selection;
use super::id::LetterId;
use super::jobs::{self, Done, NEW};
use super::letter::{Letter, Summary};
use super::{Error, table, topic};
use crate::consumer::{ConsumerGroup, Resources};

/// The newest letters that match, newest first.
pub(crate) async fn list(
    group: &ConsumerGroup,
    resources: &Resources,
    filter: &Selection,
    state: Option<&str>,
    limit: usize,
) -> Result<Vec<Summary>, Error> {
    let done = jobs::last_done(&resources.pool, &group.name).await?;
    let mut newest: Vec<Summary> = Vec::new();
    let mut records = topic::records(&resources.kafka, &group.dead_letter_topic());
    while let Some(record) = records.recv().await.transpose()? {
        let letter = Letter::new(record);
        let is = done.get(&letter.id).map_or(NEW, |done| done.state);
        if filter.matches(&letter) && state.is_none_or(|state| state == is) {
            newest.push(letter.summary(is));
        }
        if newest.len() >= limit.saturating_mul(2).max(1_000) {
            keep_newest(&mut newest, limit);
        }
    }
    keep_newest(&mut newest, limit);
    Ok(newest)
}

fn keep_newest(letters: &mut Vec<Summary>, limit: usize) {
    letters.sort_by(|one, other| {
        other
            .died_at
            .cmp(&one.died_at)
            .then_with(|| other.id.cmp(&one.id))
    });
    letters.truncate(limit);
}

pub(crate) fn write_list(letters: &[Summary], json: bool, out: &mut impl Write) -> Result<(), Error> {
    if json {
        return write_json(&json!(letters), out);
    }
    let rows: Vec<[String; 9]> = letters
        .iter()
        .map(|letter| {
            let letter = letter.clone();
            [
                letter.id,
                letter.state.to_owned(),
                letter.died_at.to_string(),
                letter.source,
                letter.key,
                letter
                    .sequence
                    .map_or_else(|| "-".to_owned(), |sequence| sequence.to_string()),
                letter.error_class,
                letter.fingerprint,
                letter.message,
            ]
        })
        .collect();
    let headings = [
        "ID",
        "STATE",
        "DIED AT",
        "SOURCE",
        "KEY",
        "SEQUENCE",
        "ERROR CLASS",
        "FINGERPRINT",
        "MESSAGE",
    ];
    Ok(table::write(out, headings, &rows)?)
}

/// One letter with all that is known about it.
pub(crate) async fn show(
    group: &ConsumerGroup,
    resources: &Resources,
    id: LetterId,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Error> {
    let record = topic::record(
        &resources.kafka,
        &group.dead_letter_topic(),
        id.partition,
        id.offset,
    )
    .await?;
    let letter = record.map(Letter::new);
    let letter =
        letter.ok_or_else(|| Error::Refused(format!("group {} has no dead letter {id}", group.name)))?;
    let done = jobs::last_done(&resources.pool, &group.name).await?.remove(&id);
    let event = letter.event(&resources.registry).await;
    let shown = describe(&letter, done.as_ref(), event);
    if json {
        return write_json(&shown, out);
    }
    write_sections(&shown, out)
}

fn describe(letter: &Letter, done: Option<&Done>, event: Result<Event, String>) -> Value {
    let headers: Vec<Value> = letter
        .record
        .headers
        .readable
        .iter()
        .map(|(name, value)| {
            json!([
                name,
                value.map(|value| String::from_utf8_lossy(value).escape_debug().to_string())
            ])
        })
        .collect();
    let (event, undecodable) = match event {
        Ok(event) => (of_event(&event), Value::Null),
        Err(reason) => (Value::Null, json!(reason)),
    };
    let envelope = letter.envelope.as_ref();
    json!({
        "letter": letter.summary(done.map_or(NEW, |done| done.state)),
        "done": done,
        "earlier_letters": envelope.map(|envelope| envelope.earlier_letters.clone()).unwrap_or_default(),
        "attempts": envelope.map(|envelope| envelope.history.attempts().to_vec()).unwrap_or_default(),
        "event": event,
        "undecodable": undecodable,
        "value_bytes": letter.record.payload.as_ref().map(Vec::len),
        "headers": headers,
    })
}

fn of_event(event: &Event) -> Value {
    let value = match event {
        Event::Payment(event) => serde_json::to_value(event),
        Event::Settlement(event) => serde_json::to_value(event),
        Event::Withdrawal(event) => serde_json::to_value(event),
    };
    value.unwrap_or_else(|error| json!(error.to_string()))
}

fn write_sections(shown: &Value, out: &mut impl Write) -> Result<(), Error> {
    for name in [
        "letter",
        "done",
        "earlier_letters",
        "attempts",
        "undecodable",
        "event",
        "headers",
    ] {
        let Some(section) = shown.get(name) else { continue };
        match section {
            Value::Null => {}
            Value::Array(entries) if entries.is_empty() => {}
            Value::Object(fields) => {
                writeln!(out, "{name}:")?;
                for (field, value) in fields {
                    writeln!(out, "  {field}: {}", plain(value))?;
                }
            }
            Value::Array(entries) => {
                writeln!(out, "{name}:")?;
                for entry in entries {
                    writeln!(out, "  {}", plain(entry))?;
                }
            }
            other => writeln!(out, "{name}: {}", plain(other))?,
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(plain).collect::<Vec<_>>().join(": "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

pub(crate) fn write_json(value: &Value, out: &mut impl Write) -> Result<(), Error> {
    writeln!(out, "{value:#}")?;
    Ok(())
}
