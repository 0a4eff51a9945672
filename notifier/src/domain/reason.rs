//! Why an attempt, or a notice, ended as it did: a closed list of stable words, because the other side's own text may
//! hold personal data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::notice::UnknownWord;

/// A stable word for what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The customer was erased; nobody is left to tell.
    CustomerErased,
    /// The recipient has no mail address.
    NoAddress,
    /// Neither the payment nor the merchant names an endpoint.
    NoNotifyUrl,
    /// The configured list of approvers has become shorter.
    NoLongerApprover,

    /// The gateway knows no such merchant or payment.
    ContactUnknown,
    /// The gateway kept answering with an error when it was asked for the contact.
    ContactUnavailable,
    /// The mail address does not parse.
    InvalidAddress,
    /// The endpoint is no `http` or `https` URL with a host.
    InvalidUrl,
    /// The merchant's webhook secret is not one that can sign.
    InvalidSecret,
    /// What it says cannot be put into a message.
    Unrenderable,
    /// The endpoint's address is not a public one, and not on the allow-list.
    AddressRefused,
    /// The endpoint said that it is gone for good (410).
    EndpointGone,
    /// The destination answered with something else than success.
    AnswerRefused,

    /// The destination's breaker is open after many failures: it was not called.
    BreakerOpen,
    /// No connection came about.
    ConnectionFailed,
    /// The connection ended before the answer.
    ConnectionLost,
    /// No answer in time.
    TimedOut,
    /// The worker stopped between sending and recording.
    WorkerLost,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 18] = [
        Self::CustomerErased,
        Self::NoAddress,
        Self::NoNotifyUrl,
        Self::NoLongerApprover,
        Self::ContactUnknown,
        Self::ContactUnavailable,
        Self::InvalidAddress,
        Self::InvalidUrl,
        Self::InvalidSecret,
        Self::Unrenderable,
        Self::AddressRefused,
        Self::EndpointGone,
        Self::AnswerRefused,
        Self::BreakerOpen,
        Self::ConnectionFailed,
        Self::ConnectionLost,
        Self::TimedOut,
        Self::WorkerLost,
    ];

    /// The word in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomerErased => "customer_erased",
            Self::NoAddress => "no_address",
            Self::NoNotifyUrl => "no_notify_url",
            Self::NoLongerApprover => "no_longer_approver",
            Self::ContactUnknown => "contact_unknown",
            Self::ContactUnavailable => "contact_unavailable",
            Self::InvalidAddress => "invalid_address",
            Self::InvalidUrl => "invalid_url",
            Self::InvalidSecret => "invalid_secret",
            Self::Unrenderable => "unrenderable",
            Self::AddressRefused => "address_refused",
            Self::EndpointGone => "endpoint_gone",
            Self::AnswerRefused => "answer_refused",
            Self::BreakerOpen => "breaker_open",
            Self::ConnectionFailed => "connection_failed",
            Self::ConnectionLost => "connection_lost",
            Self::TimedOut => "timed_out",
            Self::WorkerLost => "worker_lost",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == word)
            .ok_or_else(|| UnknownWord::new("reason", word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_json_and_sql() {
        for it in Reason::ALL {
            assert_eq!(it.as_str().parse::<Reason>().unwrap(), it);
            assert_eq!(serde_json::to_value(it).unwrap(), it.as_str());
        }
    }
}
