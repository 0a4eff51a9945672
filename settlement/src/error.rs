//! What can go wrong while a request is answered, and the one place that says how it looks to the client.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use eventing::outbox::AppendError;
use platform::Problem;
use platform::auth::AuthError;
use platform::signature::SignatureError;
use schemas::money::Currency;
use schemas::settlement::SettlementStatus;

use crate::clients::bank::NoticeError;
use crate::domain::ledger::LedgerError;
use crate::domain::period::PeriodError;
use crate::domain::settlement::{Action, SettlementError};
use crate::domain::terms::TermsError;
use crate::domain::text::TextError;
use crate::domain::withdrawal::ConflictKind;
use crate::payouts::PayoutError;
use crate::store::StoreError;

/// Why a request is not answered as wished.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing, or it is another merchant's.
    #[error("there is no such thing")]
    NotFound,
    /// Refused where it was read.
    #[error("the request cannot be read")]
    Unreadable(Box<Problem>),
    /// The caller may not.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A text is not acceptable.
    #[error("{field}: {error}")]
    Text {
        /// Which field.
        field: &'static str,
        /// Why.
        error: TextError,
    },
    /// The currency is none.
    #[error("no such currency")]
    Currency,
    /// The currency has to be named.
    #[error("there are unsettled entries in several currencies")]
    SeveralCurrencies(Vec<Currency>),
    /// The period is none.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// The settlement does not go that way.
    #[error(transparent)]
    Settlement(#[from] SettlementError),
    /// Somebody decides in another person's name.
    #[error("approver_id is not the token's subject")]
    ApproverMismatch,
    /// The terms are impossible.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The terms would change the past.
    #[error("terms cannot begin in the past")]
    TermsInThePast,
    /// An instant is none.
    #[error("{0} is no instant")]
    Instant(&'static str),
    /// Staff have to say whose balances.
    #[error("merchant_id is missing")]
    MerchantMissing,
    /// A webhook without a signature.
    #[error("the signature is missing")]
    Unsigned,
    /// A webhook with a wrong signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A webhook that is signed, and cannot be read.
    #[error(transparent)]
    Notice(#[from] NoticeError),
    /// A webhook that is signed, and is not about what was ordered.
    #[error(transparent)]
    Contradiction(#[from] ConflictKind),
    /// A payout could not be worked on.
    #[error(transparent)]
    Payout(PayoutError),
    /// Reading or writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The amount cannot be booked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<PayoutError> for Refusal {
    fn from(error: PayoutError) -> Self {
        match error {
            PayoutError::NotFound => Self::NotFound,
            PayoutError::Store(error) => Self::Store(error),
            PayoutError::Append(error) => Self::Append(error),
            PayoutError::Ledger(_) | PayoutError::Settlement(_) | PayoutError::NotPending(_) => {
                Self::Payout(error)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into_problem().into_response()
    }
}

impl Refusal {
    /// The problem document that the client gets.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::NotFound => Problem::not_found(),
            Self::Unreadable(problem) => *problem,
            Self::Auth(error) => error.into(),
            Self::Text { field, error } => text(field, error),
            Self::Currency => unprocessable("unknown-currency", "There is no such currency")
                .field_error("currency", "expected an upper-case ISO 4217 code such as EUR"),
            Self::SeveralCurrencies(currencies) => several_currencies(&currencies),
            Self::Period(error) => {
                unprocessable("invalid-period", "The period is not acceptable").detail(error.to_string())
            }
            Self::Settlement(error) => settlement(error),
            Self::ApproverMismatch => {
                forbidden("approver-mismatch", "Nobody decides in another person's name").field_error(
                    "approver_id",
                    "expected the subject of the token that the request carries",
                )
            }
            Self::Terms(error) => {
                unprocessable("invalid-terms", "The terms are not acceptable").detail(error.to_string())
            }
            Self::TermsInThePast => unprocessable("terms-in-the-past", "Terms cannot begin in the past")
                .field_error(
                    "valid_from",
                    "expected now or later, because what was charged stays charged",
                ),
            Self::Instant(field) => Problem::invalid_request()
                .field_error(field, "expected an RFC 3339 instant like 2026-01-31T00:00:00Z"),
            Self::MerchantMissing => unprocessable("merchant-missing", "Staff have to name a merchant")
                .field_error("merchant_id", "expected the id of a merchant"),
            Self::Unsigned => unauthorised("signature-missing", "The signature is missing"),
            Self::Signature(error) => signature(error),
            Self::Notice(error) => {
                tracing::warn!(error = %platform::problem::Chain(&error), "a signed webhook cannot be read");
                unprocessable("event-unreadable", "The event cannot be read")
            }
            Self::Contradiction(kind) => {
                unprocessable("payout-mismatch", "The payout is not the one that was ordered")
                    .detail(kind.to_string())
            }
            Self::Payout(error) => Problem::internal(&error),
            Self::Store(StoreError::Sql(error)) | Self::Append(AppendError::Database(error)) => error.into(),
            Self::Store(error) => Problem::internal(&error),
            Self::Append(error) => Problem::internal(&error),
            Self::Ledger(error) => Problem::internal(&error),
        }
    }
}

fn text(field: &'static str, error: TextError) -> Problem {
    let problem = match error {
        TextError::TooLong { .. } => unprocessable("text-too-long", "A text is too long"),
        TextError::ControlCharacters => unprocessable("control-characters", "A text has control characters"),
        TextError::Empty => Problem::invalid_request(),
    };
    problem.field_error(field, error.to_string())
}

fn several_currencies(currencies: &[Currency]) -> Problem {
    let codes: Vec<&str> = currencies.iter().map(|currency| currency.code()).collect();
    unprocessable(
        "currency-required",
        "There is something to settle in several currencies",
    )
    .field_error("currency", format!("expected one of {}", codes.join(", ")))
}

fn settlement(error: SettlementError) -> Problem {
    match error {
        SettlementError::NotNow { action, status } => not_now(action, status),
        SettlementError::CreatorApproves => forbidden(
            "creator-cannot-approve",
            "A settlement is approved by a second person",
        ),
        SettlementError::Nothing => unprocessable("nothing-to-settle", "There is nothing to settle")
            .detail("no unsettled entry of this merchant and currency is older than end_date"),
        SettlementError::NetNotPositive { net_minor } => {
            unprocessable("net-not-positive", "There is nothing to pay out").detail(format!(
                "the net amount is {net_minor}; the entries are carried over to the next settlement"
            ))
        }
        SettlementError::Overflow(error) => Problem::internal(&error),
    }
}

fn not_now(action: Action, status: SettlementStatus) -> Problem {
    let problem = match action {
        Action::Approve => conflict(
            "settlement-not-pending",
            "The settlement does not wait for an approval",
        ),
        Action::Reject => conflict(
            "settlement-not-rejectable",
            "The settlement can no longer be rejected",
        ),
        Action::Execute => conflict(
            "settlement-not-approved",
            "The settlement is not approved, or was executed before",
        ),
        Action::Complete | Action::Fail => conflict(
            "settlement-not-processing",
            "The settlement is not being paid out",
        ),
    };
    problem.detail(format!("it is {status}"))
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
