//! Events as bytes: Avro's binary encoding behind the Confluent wire format (0x00, schema id, body).
//!
//! Decoding uses the writer's schema, whose fields a newer writer may have added to; unknown fields are skipped, unknown
//! symbols become `Unknown`. What a newcomer gets wrong: the schema id in a frame is the registry's, so it differs between
//! environments, and only the body is comparable.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::de::DeserializeOwned;

use crate::catalogue::{PAYMENTS, SETTLEMENTS, Topic, WITHDRAWALS};
use crate::event::{DomainEvent, Event};

/// First byte of the Confluent wire format.
const MAGIC: u8 = 0;
/// Bytes before the body: the magic byte and the schema id, big-endian.
pub const FRAME_BYTES: usize = 5;

/// Why bytes are no event, or an event has no bytes.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Shorter than a frame, or another first byte than 0.
    #[error(
        "expected the Confluent wire format (0x00 and a 4-byte schema id), got {bytes} bytes starting with {first:?}"
    )]
    NotFramed {
        /// How many bytes came.
        bytes: usize,
        /// The first of them.
        first: Option<u8>,
    },
    /// The topic carries no events of ours.
    #[error("topic {0:?} is not in the catalogue")]
    UnknownTopic(String),
    /// The bytes contradict the schema, or the schema the type.
    #[error("avro: {0}")]
    Avro(#[from] Box<apache_avro::Error>),
    /// The body is longer than its schema says.
    #[error("{0} bytes left behind the record")]
    TrailingBytes(usize),
}

impl From<apache_avro::Error> for CodecError {
    fn from(error: apache_avro::Error) -> Self {
        Self::Avro(Box::new(error))
    }
}

/// The event's Avro body, under the schema of this version.
pub fn encode<E: DomainEvent>(event: &E) -> Result<Vec<u8>, CodecError> {
    let writer = GenericDatumWriter::builder(E::topic().avro())
        .human_readable(true)
        .build()?;
    Ok(writer.write_ser_to_vec(event)?)
}

/// The event in an Avro body of `topic` that was written with `writer_schema`.
pub fn decode(topic: &str, writer_schema: &Schema, body: &[u8]) -> Result<Event, CodecError> {
    Decoder::new(writer_schema)?.decode(topic, body)
}

/// The event of a known type in an Avro body that was written with `writer_schema`.
pub fn decode_as<E: DeserializeOwned>(writer_schema: &Schema, body: &[u8]) -> Result<E, CodecError> {
    Decoder::new(writer_schema)?.decode_as(body)
}

/// Decodes bodies that were written with the same schema: what there is to find out about that costs as much as an event.
pub struct Decoder<'s>(GenericDatumReader<'s>);

impl<'s> Decoder<'s> {
    /// For bodies that were written with this schema.
    pub fn new(writer_schema: &'s Schema) -> Result<Self, CodecError> {
        let reader = GenericDatumReader::builder(writer_schema)
            .human_readable(true)
            .build()?;
        Ok(Self(reader))
    }

    /// The event in a body of `topic`.
    pub fn decode(&self, topic: &str, body: &[u8]) -> Result<Event, CodecError> {
        let carries = |candidate: &Topic| candidate.name == topic;
        if carries(&PAYMENTS) {
            Ok(Event::Payment(Box::new(self.decode_as(body)?)))
        } else if carries(&SETTLEMENTS) {
            Ok(Event::Settlement(Box::new(self.decode_as(body)?)))
        } else if carries(&WITHDRAWALS) {
            Ok(Event::Withdrawal(Box::new(self.decode_as(body)?)))
        } else {
            Err(CodecError::UnknownTopic(topic.chars().take(255).collect()))
        }
    }

    /// The event of a known type in a body.
    pub fn decode_as<E: DeserializeOwned>(&self, mut body: &[u8]) -> Result<E, CodecError> {
        let event = self.0.read_deser(&mut body)?;
        if body.is_empty() {
            Ok(event)
        } else {
            Err(CodecError::TrailingBytes(body.len()))
        }
    }
}

/// The body behind the header of the Confluent wire format.
pub fn frame(schema_id: u32, body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(FRAME_BYTES + body.len());
    framed.push(MAGIC);
    framed.extend_from_slice(&schema_id.to_be_bytes());
    framed.extend_from_slice(body);
    framed
}

/// The schema id and the body.
pub fn unframe(framed: &[u8]) -> Result<(u32, &[u8]), CodecError> {
    match framed.split_at_checked(FRAME_BYTES) {
        Some(([MAGIC, a, b, c, d], body)) => Ok((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        _ => Err(CodecError::NotFramed {
            bytes: framed.len(),
            first: framed.first().copied(),
        }),
    }
}
