//! What is kept, in SQL.

pub mod claims;
pub mod notices;
pub mod planned;
pub mod queue;

use std::str::FromStr;

use crate::domain::notice::UnknownWord;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or is away.
    #[error("the database did not answer as expected")]
    Database(#[from] sqlx::Error),
    /// A row holds what this version cannot read.
    #[error("a row cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<UnknownWord> for StoreError {
    fn from(word: UnknownWord) -> Self {
        Self::Unreadable(Box::new(word))
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(Box::new(error))
    }
}

fn read<T: FromStr<Err = UnknownWord>>(word: &str) -> Result<T, StoreError> {
    Ok(word.parse()?)
}

/// A count from a column that the table's checks keep non-negative.
fn count(value: i32) -> u32 {
    u32::try_from(value).unwrap_or_default()
}
