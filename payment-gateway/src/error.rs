//! What can go wrong while a request is answered, and the one place that says how it looks to the client.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use eventing::outbox::AppendError;
use platform::Problem;
use platform::auth::AuthError;
use platform::signature::SignatureError;
use schemas::payment::PaymentStatus;

use crate::auth::TokenError;
use crate::auth::credentials::RandomError;
use crate::charging::{ChargingError, Refusing};
use crate::clients::stripe::amounts::AmountError;
use crate::clients::stripe::webhooks::EventError;
use crate::domain::refund::RefundError;
use crate::domain::text::TextError;
use crate::store::StoreError;

/// Why a request is not answered as wished.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing, or it is another merchant's.
    #[error("there is no such thing")]
    NotFound,
    /// Refused where it was read: not JSON, unknown fields, wrong types.
    #[error("the request cannot be read")]
    Unreadable(Box<Problem>),
    /// A text is not acceptable.
    #[error("{field}: {error}")]
    Text {
        /// Which field.
        field: &'static str,
        /// Why.
        error: TextError,
    },
    /// The amount is not acceptable.
    #[error(transparent)]
    Amount(#[from] InvalidAmount),
    /// The currency is none, or none that can be charged.
    #[error("no such currency")]
    Currency,
    /// The channel cannot charge it.
    #[error(transparent)]
    Channel(#[from] AmountError),
    /// Too many entries.
    #[error("{field}: expected at most {max} entries")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// The most.
        max: usize,
    },
    /// The request names another merchant than the caller.
    #[error("the request names another merchant")]
    OtherMerchant,
    /// The merchant used this order number for something else.
    #[error("the order number is in use for other contents")]
    OrderConflict,
    /// The key was used for another request.
    #[error("the idempotency key was used for other contents")]
    KeyReused,
    /// The request that came with this key first is being answered.
    #[error("the first request with this idempotency key is not answered yet")]
    KeyInFlight,
    /// A key is required here.
    #[error("an idempotency key is required")]
    KeyMissing,
    /// The refund is not possible.
    #[error(transparent)]
    Refund(#[from] RefundError),
    /// The payment has as many refunds as it may have.
    #[error("the payment has too many refunds")]
    TooManyRefunds,
    /// It is too late to cancel.
    #[error("a payment that is {0} cannot be cancelled")]
    NotCancellable(PaymentStatus),
    /// The PSP cannot be asked; nothing was created.
    #[error(transparent)]
    PspUnavailable(#[from] Refusing),
    /// No signature where one is needed.
    #[error("the signature is missing")]
    Unsigned,
    /// There is no such API key.
    #[error("the api key is not known")]
    KeyUnknown,
    /// The API key was revoked.
    #[error("the api key was revoked")]
    KeyRevoked,
    /// The merchant may not ask for anything.
    #[error("the merchant is suspended")]
    Suspended,
    /// The merchant has as many live keys as it may have.
    #[error("the merchant has too many live keys")]
    TooManyKeys,
    /// A token was refused.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A token could not be issued.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No secret could be made.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A webhook with a wrong signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A webhook that is signed, and cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A webhook that made us ask the PSP, which did not answer: it should come again.
    #[error("the psp was asked, and did not answer")]
    AskedInVain,
    /// Reading or writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Work at the PSP could not be written down.
    #[error(transparent)]
    Charging(#[from] ChargingError),
    /// A secret does not open, or cannot be sealed.
    #[error(transparent)]
    Cipher(#[from] platform::secrets::CipherError),
    /// An event could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A task of ours panicked.
    #[error("a task ended without its result")]
    Task(#[from] tokio::task::JoinError),
    /// An answer could not be written as JSON.
    #[error("the answer is not json")]
    Json(#[from] serde_json::Error),
}

/// Why an amount is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not a number.
    #[error("expected a number of minor units")]
    NotNumber,
    /// With a fraction, or written as if it had one.
    #[error("expected whole minor units, without a fraction")]
    NotInteger,
    /// Zero or less.
    #[error("expected more than zero")]
    NotPositive,
    /// More than can be counted.
    #[error("expected at most {} minor units", i64::MAX)]
    OutOfRange,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Unreadable(Box::new(problem))
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Refusal {
    /// The problem document that the client gets.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::NotFound => Problem::not_found(),
            Self::Unreadable(problem) => *problem,
            Self::Text { field, error } => text(field, error),
            Self::Amount(error) => amount(error),
            Self::Currency => unprocessable("unknown-currency", "There is no such currency")
                .field_error("currency", "expected an upper-case ISO 4217 code such as EUR"),
            Self::Channel(error) => channel(error),
            Self::TooMany { field, max } => unprocessable("too-many-entries", "There are too many entries")
                .field_error(field, format!("expected at most {max}")),
            Self::OtherMerchant => forbidden(
                "other-merchant",
                "The request names another merchant than its signer",
            ),
            Self::OrderConflict => {
                unprocessable("order-conflict", "The order number is in use for other contents")
                    .detail("send the first request again to get its payment, or use another order_no")
            }
            Self::KeyReused => unprocessable(
                "idempotency-key-reused",
                "The idempotency key came with other contents",
            )
            .detail("use a new key for a new request"),
            Self::KeyInFlight => conflict(
                "idempotency-key-in-flight",
                "The first request with this key is still being answered",
            )
            .retry_after(1),
            Self::KeyMissing => Problem::new(
                StatusCode::BAD_REQUEST,
                "idempotency-key-missing",
                "The request needs an Idempotency-Key",
            ),
            Self::Refund(error) => refund(error),
            Self::TooManyRefunds => unprocessable(
                "too-many-refunds",
                "The payment has as many refunds as it may have",
            ),
            Self::NotCancellable(status) => conflict(
                "payment-not-cancellable",
                "The payment can no longer be cancelled",
            )
            .detail(format!("it is {status}")),
            Self::PspUnavailable(_) => {
                unavailable("psp-unavailable", "The payment provider cannot be reached")
                    .detail("nothing was created")
            }
            Self::Unsigned => unauthorised("signature-missing", "The signature is missing"),
            Self::KeyUnknown => unauthorised("api-key-unknown", "There is no such API key"),
            Self::KeyRevoked => unauthorised("api-key-revoked", "The API key was revoked"),
            Self::Suspended => forbidden("merchant-suspended", "The merchant is suspended"),
            Self::TooManyKeys => conflict("too-many-api-keys", "The merchant has two live keys already")
                .detail("revoke one first"),
            Self::Auth(error) => error.into(),
            Self::Random(error) => Problem::internal(&error),
            Self::Signature(error) => signature(error),
            Self::Event(error) => {
                tracing::warn!(error = %platform::problem::Chain(&error), "a signed webhook cannot be read");
                unprocessable("event-unreadable", "The event cannot be read")
            }
            Self::AskedInVain => unavailable("psp-unavailable", "The payment provider cannot be reached"),
            Self::Store(error)
            | Self::Charging(ChargingError::Store(error))
            | Self::Token(TokenError::Store(error)) => store(&error),
            Self::Charging(ChargingError::Append(error)) | Self::Append(error) => append(error),
            Self::Charging(error @ ChargingError::Missing(_)) => Problem::internal(&error),
            Self::Token(error) => Problem::internal(&error),
            Self::Cipher(error) => Problem::internal(&error),
            Self::Task(error) => Problem::internal(&error),
            Self::Json(error) => Problem::internal(&error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into_problem().into_response()
    }
}

fn text(field: &'static str, error: TextError) -> Problem {
    let problem = match error {
        TextError::TooLong { .. } => unprocessable("text-too-long", "A text is too long"),
        TextError::ControlCharacters => unprocessable("control-characters", "A text has control characters"),
        TextError::Empty | TextError::Form(_) => Problem::invalid_request(),
    };
    problem.field_error(field, error.to_string())
}

fn amount(error: InvalidAmount) -> Problem {
    let problem = match error {
        InvalidAmount::NotNumber => Problem::invalid_request(),
        InvalidAmount::NotInteger => unprocessable("amount-not-integer", "The amount is not a whole number"),
        InvalidAmount::NotPositive => unprocessable("amount-not-positive", "The amount is not above zero"),
        InvalidAmount::OutOfRange => unprocessable("amount-out-of-range", "The amount is too large"),
    };
    problem.field_error("amount", error.to_string())
}

fn channel(error: AmountError) -> Problem {
    let (problem, field) = match error {
        AmountError::Currency(_) => (
            unprocessable("unsupported-currency", "The channel does not take this currency"),
            "currency",
        ),
        AmountError::Precision { .. } => (
            unprocessable(
                "amount-too-precise",
                "The amount is more precise than the channel takes",
            ),
            "amount",
        ),
        AmountError::TooLarge { .. } => (
            unprocessable("amount-out-of-range", "The amount is too large"),
            "amount",
        ),
    };
    problem.field_error(field, error.to_string())
}

fn refund(error: RefundError) -> Problem {
    match error {
        RefundError::NotCharged { .. } => {
            conflict("payment-not-refundable", "The payment cannot be refunded").detail(error.to_string())
        }
        RefundError::AboveRest { .. } => {
            unprocessable("refund-above-rest", "The refund is more than what is left")
                .detail(error.to_string())
        }
        RefundError::NotPositive => amount(InvalidAmount::NotPositive),
    }
}

fn signature(error: SignatureError) -> Problem {
    match error {
        SignatureError::Malformed => unauthorised("signature-malformed", "The signature cannot be read"),
        SignatureError::Stale => {
            unauthorised("signature-stale", "The signature is too old, or from the future")
        }
        SignatureError::Mismatch => unauthorised("signature-mismatch", "The signature does not match"),
    }
}

fn store(error: &StoreError) -> Problem {
    if error.is_unavailable() {
        Problem::unavailable(error)
    } else {
        Problem::internal(error)
    }
}

fn append(error: AppendError) -> Problem {
    match error {
        AppendError::Database(error) => error.into(),
        error => Problem::internal(&error),
    }
}

fn unprocessable(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, title)
}

fn conflict(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, slug, title)
}

fn forbidden(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, slug, title)
}

fn unauthorised(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, slug, title)
}

fn unavailable(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, slug, title).retry_after(1)
}

/// Says in which field a text is not acceptable.
pub(crate) fn in_field(field: &'static str) -> impl Fn(TextError) -> Refusal {
    move |error| Refusal::Text { field, error }
}
