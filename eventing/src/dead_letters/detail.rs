//! All that is known about one letter.

use schemas::Event;
use serde_json::Value;

use super::id::LetterId;
use super::letter::Letter;
use super::views::{Attempt, Detail};
use super::{Error, index, jobs, lists, topic};
use crate::consumer::{ConsumerGroup, Resources};

pub(crate) async fn letter(
    group: &ConsumerGroup,
    resources: &Resources,
    id: LetterId,
) -> Result<Detail, Error> {
    let missing = || Error::NotFound(format!("group {} has no dead letter {id}", group.name));
    let topic = group.dead_letter_topic();
    let record = topic::record(&resources.kafka, &topic, id.partition, id.offset).await?;
    let letter = record.map(Letter::new).ok_or_else(missing)?;
    let pool = &resources.pool;
    let mut summary = lists::letter(pool, &group.name, id).await?;
    if summary.is_none() {
        index::catch_up(group, resources).await?;
        summary = lists::letter(pool, &group.name, id).await?;
    }
    let summary = summary.ok_or_else(missing)?;
    let (event, undecodable) = match letter.event(&resources.registry).await {
        Ok(event) => (Some(json(&event)), None),
        Err(reason) => (None, Some(reason)),
    };
    let envelope = letter.envelope.as_ref();
    let attempts = envelope
        .map(|envelope| envelope.history.attempts())
        .unwrap_or_default();
    let earlier = envelope
        .map(|envelope| envelope.earlier_letters.as_slice())
        .unwrap_or_default();
    Ok(Detail {
        letter: summary,
        done: jobs::done_to(pool, &group.name, id).await?,
        earlier_letters: earlier.iter().filter_map(|id| id.parse().ok()).collect(),
        later_letters: lists::later(pool, &group.name, id).await?,
        attempts: attempts
            .iter()
            .map(|attempt| Attempt {
                number: attempt.number,
                at: attempt.at,
                tier: attempt.tier,
                class: attempt.class.clone(),
                fingerprint: attempt.fingerprint.clone(),
            })
            .collect(),
        event,
        undecodable,
        value_bytes: letter.record.payload.as_ref().map(Vec::len),
        headers: headers(&letter),
    })
}

/// The event as an operator reads it.
pub(crate) fn json(event: &Event) -> Value {
    let value = match event {
        Event::Payment(event) => serde_json::to_value(event),
        Event::Settlement(event) => serde_json::to_value(event),
        Event::Withdrawal(event) => serde_json::to_value(event),
    };
    value.unwrap_or_else(|error| Value::String(error.to_string()))
}

fn headers(letter: &Letter) -> Vec<(String, Option<String>)> {
    let shown = |value: &[u8]| String::from_utf8_lossy(value).escape_debug().to_string();
    letter
        .record
        .headers
        .readable
        .iter()
        .map(|(name, value)| (name.escape_debug().to_string(), value.map(shown)))
        .collect()
}
