use std::panic::{AssertUnwindSafe, catch_unwind};

use apache_avro::util::max_allocation_bytes;
use schemas::Event;
use schemas::codec::{self, Decoder};

use super::bounds::{self, BoundsError};
use super::failure::Failure;
use super::record::Record;
use crate::SchemaRegistry;
use crate::registry::{Parsed, RegistryError};

/// What a record may hold at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of the value.
    pub(crate) bytes: usize,
    /// Items of all its arrays and maps.
    pub(crate) items: usize,
}

impl Bounds {
    /// For who only looks at a record that was kept.
    pub(crate) const LOOSE: Self = Self {
        bytes: usize::MAX,
        items: 1_000_000,
    };
}

/// The event in a record of a domain topic.
///
/// A failure is `dead` only when the bytes contradict the wire format or a schema that was obtained, or when the registry itself
/// says that it has no such schema. Everything else is infrastructure.
pub(crate) async fn decode(
    record: &Record,
    topic: &str,
    registry: &SchemaRegistry,
    bounds: Bounds,
) -> Result<Event, Failure> {
    let (schema_id, body) = unframe(record, bounds)?;
    let schema = registry.parsed(schema_id).await.map_err(|error| match error {
        RegistryError::NotFound(_) => Failure::dead("schema_unknown", error),
        RegistryError::Invalid { .. } => Failure::dead("schema_invalid", error),
        other => Failure::infrastructure(other),
    })?;
    let decoder = Decoder::new(&schema.schema).map_err(|error| Failure::dead("undecodable", error))?;
    decode_body(record, topic, &schema, &decoder, body, bounds)
}

/// The same for records of a topic, without a wait: those with the first one's schema, if that is known. What fails is left to
/// [`decode`], which says why.
pub(crate) fn decode_alike<'a>(
    records: impl Iterator<Item = (&'a Record, &'a mut Option<Event>)>,
    topic: &str,
    registry: &SchemaRegistry,
    bounds: Bounds,
) {
    let mut framed = records
        .filter_map(|(record, event)| Some((unframe(record, bounds).ok()?, record, event)))
        .peekable();
    let Some(((schema_id, _), ..)) = framed.peek() else {
        return;
    };
    let schema_id = *schema_id;
    let Some(schema) = registry.known(schema_id) else {
        return;
    };
    let Ok(decoder) = Decoder::new(&schema.schema) else {
        return;
    };
    for ((id, body), record, event) in framed {
        if id == schema_id {
            *event = decode_body(record, topic, &schema, &decoder, body, bounds).ok();
        }
    }
}

fn unframe(record: &Record, bounds: Bounds) -> Result<(u32, &[u8]), Failure> {
    if let Some(error) = &record.headers.unreadable {
        return Err(Failure::dead("headers_unreadable", error.to_string()));
    }
    let payload = record
        .payload
        .as_deref()
        .ok_or_else(|| Failure::dead("no_value", "the record has no value"))?;
    if payload.len() > bounds.bytes {
        let message = format!(
            "the value has {} bytes, more than {}",
            payload.len(),
            bounds.bytes
        );
        return Err(Failure::dead("oversized", message));
    }
    codec::unframe(payload).map_err(|error| Failure::dead("not_framed", error))
}

fn decode_body(
    record: &Record,
    topic: &str,
    Parsed { schema, nests }: &Parsed,
    decoder: &Decoder<'_>,
    body: &[u8],
    bounds: Bounds,
) -> Result<Event, Failure> {
    if *nests {
        bounds::check(schema, body, bounds.items).map_err(|error| match error {
            BoundsError::Malformed => Failure::dead("undecodable", error),
            BoundsError::TooManyItems(_) | BoundsError::TooDeep => Failure::dead("oversized", error),
        })?;
    }
    max_allocation_bytes(bounds::MAX_VALUE_BYTES);
    // The decoder is not ours and its input is anyone's: should it panic, that is the record's fault as well.
    let event = catch_unwind(AssertUnwindSafe(|| decoder.decode(topic, body)))
        .map_err(|_| Failure::dead("undecodable", "the decoder panicked"))?
        .map_err(|error| Failure::dead("undecodable", error))?;
    checked(record, event)
}

/// An event belongs under its aggregate's key, and has a place in the aggregate's order.
fn checked(record: &Record, event: Event) -> Result<Event, Failure> {
    match record.key_text() {
        None => Err(Failure::dead(
            "no_key",
            "the record's key is missing or not utf-8",
        )),
        Some(key) if key != event.aggregate_key() => Err(Failure::dead(
            "wrong_key",
            "the record's key is not its aggregate's",
        )),
        Some(_) if event.sequence() < 1 => Err(Failure::dead(
            "no_sequence",
            format!("the sequence is {}, not at least 1", event.sequence()),
        )),
        Some(_) => Ok(event),
    }
}
