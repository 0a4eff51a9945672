//! What can come of a call instead of an answer.

use std::time::Duration;

use axum::http::StatusCode;

use super::address::Forbidden;
use crate::breaker;

/// A client could not be made: TLS failed to initialise.
#[derive(Debug, thiserror::Error)]
#[error("the http client cannot be set up")]
pub struct ClientError(#[from] reqwest::Error);

/// There is no usable answer. The two kinds are told apart because only the first proves that nothing happened.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Proof that the other side received nothing.
    #[error("not sent: {0}")]
    NotSent(#[source] NotSent),
    /// The request may have been carried out.
    #[error("outcome unknown: {0}")]
    Unknown(#[source] Unknown),
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// The destination failed too often lately.
    #[error(transparent)]
    BreakerOpen(#[from] breaker::Open),
    /// No connection: refused, unreachable, name unknown, TLS, or too slow.
    #[error("no connection")]
    Connect(#[source] reqwest::Error),
    /// The address is one that must not be called.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The request itself could not be made of its parts.
    #[error("the request cannot be built: {0}")]
    Request(String),
}

/// Why the outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// No whole answer within the deadline.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// The connection failed after the request may have left.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// The answer is longer than is read.
    #[error("the answer with status {status} is longer than {limit} bytes")]
    TooLong {
        /// Its status.
        status: StatusCode,
        /// The bound.
        limit: usize,
    },
    /// An answer came that this side cannot read.
    #[error("the answer with status {status} is not what was expected: {reason}")]
    Unreadable {
        /// Its status.
        status: StatusCode,
        /// What is wrong with it, without its contents.
        reason: String,
    },
}

impl CallError {
    /// Whether it is proven that the other side received nothing.
    pub fn is_not_sent(&self) -> bool {
        matches!(self, Self::NotSent(_))
    }

    /// When the breaker is open, how long it stays so.
    pub fn breaker_retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotSent(NotSent::BreakerOpen(open)) => Some(open.retry_after),
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }
}
