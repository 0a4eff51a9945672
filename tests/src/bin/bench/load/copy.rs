//! PostgreSQL's binary COPY format, as far as it is needed here.

use anyhow::Result;

const SIGNATURE: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Rows in the format.
#[derive(Debug)]
pub(crate) struct Rows(Vec<u8>);

impl Rows {
    /// The beginning of a copy.
    pub(crate) fn beginning() -> Self {
        Self(SIGNATURE.to_vec())
    }

    /// More of one that was begun.
    pub(crate) fn more() -> Self {
        Self(Vec::new())
    }

    /// Begins a row of so many columns.
    pub(crate) fn row(&mut self, columns: i16) -> &mut Self {
        self.0.extend_from_slice(&columns.to_be_bytes());
        self
    }

    /// A column's value in its type's binary form.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> Result<&mut Self> {
        self.0
            .extend_from_slice(&i32::try_from(value.len())?.to_be_bytes());
        self.0.extend_from_slice(value);
        Ok(self)
    }

    /// A `bigint`.
    pub(crate) fn number(&mut self, value: i64) -> Result<&mut Self> {
        self.bytes(&value.to_be_bytes())
    }

    /// The end of the copy.
    pub(crate) fn end(&mut self) {
        self.0.extend_from_slice(&(-1_i16).to_be_bytes());
    }

    /// What to send.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}
