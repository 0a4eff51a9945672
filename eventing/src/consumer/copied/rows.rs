use jiff::Timestamp;
use uuid::Uuid;

const SIGNATURE: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: i16 = -1;
const NULL: i32 = -1;

/// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;

/// Rows in PostgreSQL's binary COPY format: row after row, and in each value after value in the order of the columns.
#[derive(Clone, Debug)]
pub struct CopiedRows {
    bytes: Vec<u8>,
}

/// A value is longer than PostgreSQL takes.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a value of {0} bytes is too long to be copied")]
pub struct TooLong(usize);

impl Default for CopiedRows {
    fn default() -> Self {
        Self {
            bytes: SIGNATURE.to_vec(),
        }
    }
}

impl CopiedRows {
    /// Begins a row of so many values.
    pub fn row(&mut self, values: i16) -> &mut Self {
        self.put(&values.to_be_bytes())
    }

    /// A value in its type's binary form.
    pub fn bytes(&mut self, value: &[u8]) -> Result<&mut Self, TooLong> {
        let length = i32::try_from(value.len()).map_err(|_| TooLong(value.len()))?;
        Ok(self.put(&length.to_be_bytes()).put(value))
    }

    /// A `text`.
    pub fn text(&mut self, value: &str) -> Result<&mut Self, TooLong> {
        self.bytes(value.as_bytes())
    }

    /// A `bigint`.
    pub fn number(&mut self, value: i64) -> &mut Self {
        self.put(&8_i32.to_be_bytes()).put(&value.to_be_bytes())
    }

    /// A `uuid`.
    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.put(&16_i32.to_be_bytes()).put(value.as_bytes())
    }

    /// A `timestamptz`, cut to microseconds.
    pub fn time(&mut self, value: Timestamp) -> &mut Self {
        self.number(value.as_microsecond() - EPOCH_US)
    }

    /// No value.
    pub fn null(&mut self) -> &mut Self {
        self.put(&NULL.to_be_bytes())
    }

    /// What COPY takes.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.put(&END.to_be_bytes());
        self.bytes
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }
}
