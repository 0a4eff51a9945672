use std::panic::{AssertUnwindSafe, catch_unwind};

use apache_avro::util::max_allocation_bytes;
use schemas::{Event, codec};

use super::bounds::{self, BoundsError};
use super::failure::Failure;
use super::record::Record;
use crate::SchemaRegistry;
use crate::registry::RegistryError;

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
    let (schema_id, body) = codec::unframe(payload).map_err(|error| Failure::dead("not_framed", error))?;
    let schema = registry.schema(schema_id).await.map_err(|error| match error {
        RegistryError::NotFound(_) => Failure::dead("schema_unknown", error),
        RegistryError::Invalid { .. } => Failure::dead("schema_invalid", error),
        other => Failure::infrastructure(other),
    })?;
    if registry.nests(schema_id) {
        bounds::check(&schema, body, bounds.items).map_err(|error| match error {
            BoundsError::Malformed => Failure::dead("undecodable", error),
            BoundsError::TooManyItems(_) | BoundsError::TooDeep => Failure::dead("oversized", error),
        })?;
    }
    max_allocation_bytes(bounds::MAX_VALUE_BYTES);
    // The decoder is not ours and its input is anyone's: should it panic, that is the record's fault as well.
    let event = catch_unwind(AssertUnwindSafe(|| codec::decode(topic, &schema, body)))
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
