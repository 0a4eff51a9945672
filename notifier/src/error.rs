//! The one place where what goes wrong becomes an answer.

use axum::http::StatusCode;
use platform::problem::Problem;

use crate::domain::resend::ResendRefused;
use crate::store::StoreError;

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such notification, or not for this caller.
    #[error("no such notification")]
    NotFound,
    /// It is not sent again.
    #[error(transparent)]
    Resend(#[from] ResendRefused),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Resend(refused) => resend_refused(refused),
            Error::Store(StoreError::Database(error)) => error.into(),
            Error::Store(error @ StoreError::Unreadable(_)) => Self::internal(&error),
        }
    }
}

fn resend_refused(refused: ResendRefused) -> Problem {
    let (status, slug, title) = match refused {
        ResendRefused::Pending => (
            StatusCode::CONFLICT,
            "notification-pending",
            "The notification is still pending",
        ),
        ResendRefused::CustomerWasTold => (
            StatusCode::FORBIDDEN,
            "resend-not-allowed",
            "This notification is not for you to send again",
        ),
    };
    Problem::new(status, slug, title).detail(refused.to_string())
}
