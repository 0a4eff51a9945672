//! What PostgreSQL keeps. Functions, not objects: each runs one statement in the caller's transaction or connection.
//!
//! The rule that everything rests on: whoever changes a payment, or one of its refunds, first holds the payment's row
//! ([`payments::lock`]), and appends to the outbox only after that.

pub mod api_keys;
pub mod conflicts;
pub mod customers;
pub mod idempotency;
pub mod merchants;
pub mod payment_lists;
mod payment_row;
pub mod payments;
pub mod psp_events;
pub mod refunds;
pub mod signing_keys;
pub mod stuck;
pub mod work;

/// A statement failed, or what it read makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL, or the way to it.
    #[error("a database statement failed")]
    Database(#[from] sqlx::Error),
    /// A row holds what no version of this program wrote.
    #[error("row {id} has an impossible {column}")]
    Corrupt {
        /// Which row.
        id: String,
        /// Which column.
        column: &'static str,
    },
    /// The row changed under us, although its lock was held: a caller forgot to take it.
    #[error("payment {0} was changed without its lock")]
    Overtaken(schemas::ids::PaymentNo),
}

impl StoreError {
    /// The failure is the database's, or of the way to it, and may pass.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Database(error) => platform::database::is_unavailable(error),
            Self::Corrupt { .. } | Self::Overtaken(_) => false,
        }
    }
}
