//! The database: what of the domain is kept, and how it is found again.
//!
//! Functions take a connection and neither begin nor commit: the use case decides what belongs together. Where two writers
//! can meet, the function's name says which lock it takes.

pub mod balances;
pub mod ledger;
pub mod lines;
pub mod payout_queue;
pub mod settlements;
pub mod terms;
pub mod withdrawals;

use schemas::withdrawal::WithdrawalFailureCode;

/// What can go wrong between the domain and the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or is away.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
    /// A row that this version cannot read.
    #[error("{table} has a row that cannot be read: {what}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// Somebody wrote the row without its lock.
    #[error("a row of {table} was not at the sequence that was read under its lock")]
    Stale {
        /// Where.
        table: &'static str,
    },
}

fn corrupt(table: &'static str, what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        table,
        what: what.to_string(),
    }
}

fn failure_code(name: &str) -> Option<WithdrawalFailureCode> {
    WithdrawalFailureCode::ALL
        .iter()
        .copied()
        .find(|code| code.as_str() == name)
}
