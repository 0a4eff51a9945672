//! What can go wrong with a request, and what the client is told of it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use platform::Problem;
use platform::auth::AuthError;

/// Why a request was refused, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such thing, or another tenant's.
    #[error("not found")]
    NotFound,
    /// `end` is not behind `start`.
    #[error("the window is empty")]
    EmptyWindow,
    /// The series would have too many points.
    #[error("the window has too many intervals")]
    TooManyIntervals,
    /// The page that asks is not one of ours.
    #[error("origin refused")]
    Origin,
    /// The ticket was used before, has expired, or never was.
    #[error("ticket refused")]
    Ticket,
    /// As many live sockets as this replica serves are open.
    #[error("too many live sockets")]
    TooManySockets,
    /// The token was refused.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A page could not be rendered.
    #[error(transparent)]
    Render(#[from] askama::Error),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound => Problem::not_found().into_response(),
            Self::EmptyWindow => Problem::invalid_request()
                .field_error("end", "expected an instant behind `start`")
                .into_response(),
            Self::TooManyIntervals => Problem::invalid_request()
                .field_error(
                    "interval",
                    format!(
                        "the window has more than {} of them; choose a wider one",
                        crate::domain::stats::MAX_POINTS
                    ),
                )
                .into_response(),
            Self::Origin => Problem::new(
                StatusCode::FORBIDDEN,
                "origin-not-allowed",
                "This page may not call the dashboard",
            )
            .detail("add its origin to `dashboard.allowed_origins` if it should")
            .into_response(),
            Self::Ticket => Problem::new(
                StatusCode::UNAUTHORIZED,
                "ticket-refused",
                "The ticket opens nothing",
            )
            .detail("a ticket is good for one connection within 30 s; ask for a new one")
            .into_response(),
            Self::TooManySockets => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too-many-sockets",
                "No live socket is free",
            )
            .retry_after(5)
            .into_response(),
            Self::Auth(error) => error.into_response(),
            Self::Database(error) => Problem::unavailable(&error).into_response(),
            Self::Render(error) => Problem::internal(&error).into_response(),
            Self::Random(_) => Problem::internal(&self).into_response(),
        }
    }
}
