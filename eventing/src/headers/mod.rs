//! The headers of a record: CloudEvents in binary mode, and `traceparent`.
//!
//! A record can be routed, deduplicated and traced by them, without decoding its value.

mod cloud_event;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf as _, BufMut as _};
use rdkafka::message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders};

pub(crate) use cloud_event::TYPE as CE_TYPE;
pub use cloud_event::{CloudEvent, CloudEventError};

/// `traceparent`: the context in which the event was created (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";

/// Room for a name and a value as ours are, with their lengths.
const USUAL_BYTES: usize = 64;

/// Says in place of a value's length that there is no value, which is something else than an empty one.
const NO_VALUE: usize = usize::MAX;

/// The headers of one record, in their order. A name may occur more than once.
///
/// All of them lie in one piece, because every record that is read has some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordHeaders {
    /// The lengths of name and value of each, the name, and the value.
    bytes: Vec<u8>,
}

/// Why headers cannot be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeadersError {
    /// Stored bytes end in the middle of a header.
    #[error("stored headers end in the middle of a header")]
    Truncated,
    /// A name is not UTF-8.
    #[error("the name of header {0} is not utf-8")]
    Name(usize),
    /// A name or value does not fit in its length field.
    #[error("header {0} is too long to be stored")]
    TooLong(String),
}

impl RecordHeaders {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a header.
    pub fn push(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        self.append(name.as_ref(), Some(value.as_ref()));
    }

    /// Appends a header, replacing all of the same name.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes all headers of a name.
    pub fn remove(&mut self, name: &str) {
        if self.raw().any(|(present, _)| present == name.as_bytes()) {
            *self = self.iter().filter(|(present, _)| *present != name).collect();
        }
    }

    /// The value of the last header of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.raw()
            .filter(|(present, _)| *present == name.as_bytes())
            .last()?
            .1
    }

    /// The value of the last header of that name, when it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// All headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        // A name was text when it came.
        self.raw()
            .map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// How much memory they take.
    pub(crate) fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    fn raw(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let name_length = take_length(&mut rest)?;
            let value_length = take_length(&mut rest)?;
            let name = rest.split_off(..name_length)?;
            let value = (value_length != NO_VALUE).then(|| rest.split_off(..value_length));
            Some((name, value.flatten()))
        })
    }

    fn append(&mut self, name: &str, value: Option<&[u8]>) {
        let value_length = value.map_or(NO_VALUE, <[u8]>::len);
        self.bytes.extend_from_slice(&name.len().to_ne_bytes());
        self.bytes.extend_from_slice(&value_length.to_ne_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    /// Copies the headers of a record that was consumed.
    pub fn from_kafka(headers: Option<&BorrowedHeaders>) -> Result<Self, HeadersError> {
        let Some(headers) = headers else {
            return Ok(Self::new());
        };
        let count = headers.count();
        let mut copied = Self {
            bytes: Vec::with_capacity(count * USUAL_BYTES),
        };
        for index in 0..count {
            // rdkafka panics on a name that is not UTF-8, and a producer elsewhere must not be able to stop us.
            let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index)));
            let header = header.ok().flatten().ok_or(HeadersError::Name(index))?;
            copied.append(header.key, header.value);
        }
        Ok(copied)
    }

    /// The headers as a producer takes them.
    pub fn to_kafka(&self) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(self.raw().count());
        self.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header { key, value })
        })
    }

    /// The form in which headers are stored in PostgreSQL: per header the name's length (u16), the name, the value's length
    /// (i32, −1 for none), the value; big-endian.
    pub fn to_bytes(&self) -> Result<Vec<u8>, HeadersError> {
        let mut bytes = Vec::with_capacity(512);
        for (name, value) in self.iter() {
            let too_long = || HeadersError::TooLong(name.to_owned());
            bytes.put_u16(u16::try_from(name.len()).map_err(|_| too_long())?);
            bytes.put_slice(name.as_bytes());
            match value {
                None => bytes.put_i32(-1),
                Some(value) => {
                    bytes.put_i32(i32::try_from(value.len()).map_err(|_| too_long())?);
                    bytes.put_slice(value);
                }
            }
        }
        Ok(bytes)
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadersError> {
        stored(bytes).collect()
    }
}

impl<'h> FromIterator<(&'h str, Option<&'h [u8]>)> for RecordHeaders {
    fn from_iter<I: IntoIterator<Item = (&'h str, Option<&'h [u8]>)>>(headers: I) -> Self {
        let mut collected = Self::new();
        for (name, value) in headers {
            collected.append(name, value);
        }
        collected
    }
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(usize::from_ne_bytes(*length))
}

/// Turns the stored form into what a producer takes, without copying names and values on the way.
pub(crate) fn stored_to_kafka(bytes: &[u8]) -> Result<OwnedHeaders, HeadersError> {
    stored(bytes).try_fold(OwnedHeaders::new_with_capacity(12), |headers, header| {
        let (key, value) = header?;
        Ok(headers.insert(Header { key, value }))
    })
}

/// Walks over the stored form.
fn stored(mut bytes: &[u8]) -> impl Iterator<Item = Result<(&str, Option<&[u8]>), HeadersError>> {
    let mut index = 0;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let header = take_header(&mut bytes, index);
        index += 1;
        if header.is_err() {
            bytes = &[];
        }
        Some(header)
    })
}

fn take_header<'a>(bytes: &mut &'a [u8], index: usize) -> Result<(&'a str, Option<&'a [u8]>), HeadersError> {
    let name_length = bytes.try_get_u16().map_err(|_| HeadersError::Truncated)?;
    let name = bytes
        .split_off(..usize::from(name_length))
        .ok_or(HeadersError::Truncated)?;
    let name = std::str::from_utf8(name).map_err(|_| HeadersError::Name(index))?;
    let value_length = bytes.try_get_i32().map_err(|_| HeadersError::Truncated)?;
    // −1, and whatever else is negative, means that there is no value.
    let Ok(value_length) = usize::try_from(value_length) else {
        return Ok((name, None));
    };
    let value = bytes.split_off(..value_length).ok_or(HeadersError::Truncated)?;
    Ok((name, Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> RecordHeaders {
        let mut headers = RecordHeaders::new();
        headers.push("ce_id", "1");
        headers.push("empty", "");
        headers.append("null", None);
        headers.push("ce_id", vec![0xff, 0x00]);
        headers
    }

    #[test]
    fn the_stored_form_keeps_order_repetition_and_null() {
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(RecordHeaders::from_bytes(&bytes).unwrap(), sample());
        let kafka = stored_to_kafka(&bytes).unwrap();
        assert_eq!(
            RecordHeaders::from_kafka(Some(kafka.as_borrowed())).unwrap(),
            sample()
        );
        let kafka = sample().to_kafka();
        assert_eq!(
            RecordHeaders::from_kafka(Some(kafka.as_borrowed())).unwrap(),
            sample()
        );
    }

    #[test]
    fn truncated_bytes_are_refused_wherever_they_end() {
        let bytes = sample().to_bytes().unwrap();
        let ends: Vec<usize> = (1..bytes.len())
            .filter(|end| RecordHeaders::from_bytes(&bytes[..*end]).is_ok())
            .collect();
        // Only an end between two headers looks whole.
        assert_eq!(ends, [12, 23, 33]);
    }

    #[test]
    fn set_replaces_and_get_answers_the_last() {
        let mut headers = sample();
        assert_eq!(headers.get("ce_id"), Some(&[0xff, 0x00][..]));
        assert_eq!(headers.text("ce_id"), None);
        headers.set("ce_id", "2");
        assert_eq!(headers.text("ce_id"), Some("2"));
        assert_eq!(headers.iter().count(), 3);
    }
}
