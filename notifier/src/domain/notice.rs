//! The words of a notice: what it is about, who gets it, over which channel, and how it stands.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reason::Reason;

/// A word that was read (from the database, a query) and is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("{word:?} is no {what}")]
pub struct UnknownWord {
    /// What was expected.
    pub what: &'static str,
    /// What came.
    pub word: String,
}

impl UnknownWord {
    /// A `word` where a `what` was expected.
    pub fn new(what: &'static str, word: &str) -> Self {
        Self {
            what,
            word: word.chars().take(64).collect(),
        }
    }
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeType {
    /// A payment succeeded.
    PaymentSuccess,
    /// A payment failed.
    PaymentFailed,
    /// A refund reached the customer.
    PaymentRefunded,
    /// A settlement waits for an approver.
    SettlementApproval,
    /// A settlement was paid out.
    SettlementComplete,
    /// A settlement could not be paid out.
    SettlementFailed,
    /// The bank paid a withdrawal.
    WithdrawalComplete,
    /// The bank refused a withdrawal, or gave it back later.
    WithdrawalFailed,
}

impl NoticeType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::PaymentSuccess,
        Self::PaymentFailed,
        Self::PaymentRefunded,
        Self::SettlementApproval,
        Self::SettlementComplete,
        Self::SettlementFailed,
        Self::WithdrawalComplete,
        Self::WithdrawalFailed,
    ];

    /// The word in JSON, SQL and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PaymentSuccess => "payment_success",
            Self::PaymentFailed => "payment_failed",
            Self::PaymentRefunded => "payment_refunded",
            Self::SettlementApproval => "settlement_approval",
            Self::SettlementComplete => "settlement_complete",
            Self::SettlementFailed => "settlement_failed",
            Self::WithdrawalComplete => "withdrawal_complete",
            Self::WithdrawalFailed => "withdrawal_failed",
        }
    }

    /// How urgent it is. All that exist so far are about money that moved, or did not.
    pub fn priority(self) -> &'static str {
        "high"
    }

    /// Whether merchants may see such notices, or only staff.
    pub fn is_for_staff_only(self) -> bool {
        self == Self::SettlementApproval
    }
}

impl FromStr for NoticeType {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == word)
            .ok_or_else(|| UnknownWord::new("notice type", word))
    }
}

/// The way a notice takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A mail over SMTP.
    Mail,
    /// A signed HTTP request to the merchant's endpoint.
    Webhook,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 2] = [Self::Mail, Self::Webhook];

    /// The word in JSON, SQL and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

impl FromStr for Channel {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == word)
            .ok_or_else(|| UnknownWord::new("channel", word))
    }
}

/// Who gets it: a role. Which address fills the role is asked at each delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// The payer.
    Customer,
    /// The merchant.
    Merchant,
    /// The approver at this place (from 1) of the configured list.
    Approver(u16),
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer => f.write_str("customer"),
            Self::Merchant => f.write_str("merchant"),
            Self::Approver(place) => write!(f, "approver-{place}"),
        }
    }
}

impl FromStr for Recipient {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord::new("recipient", word);
        match word {
            "customer" => Ok(Self::Customer),
            "merchant" => Ok(Self::Merchant),
            _ => {
                let place = word.strip_prefix("approver-").ok_or_else(unknown)?;
                place.parse().map(Self::Approver).map_err(|_| unknown())
            }
        }
    }
}

/// How a notice stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits for its first or next attempt.
    Pending {
        /// When it may be tried.
        due_at: Timestamp,
    },
    /// The destination took it.
    Sent {
        /// When it did.
        sent_at: Timestamp,
    },
    /// Nobody will try again, unless it is resent.
    Failed {
        /// What the last attempt met.
        reason: Reason,
    },
    /// There was nobody to tell.
    Suppressed {
        /// Why.
        reason: Reason,
    },
}

impl State {
    /// The state's name.
    pub fn status(&self) -> Status {
        match self {
            Self::Pending { .. } => Status::Pending,
            Self::Sent { .. } => Status::Sent,
            Self::Failed { .. } => Status::Failed,
            Self::Suppressed { .. } => Status::Suppressed,
        }
    }
}

/// The name of a [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// See [`State::Pending`].
    Pending,
    /// See [`State::Sent`].
    Sent,
    /// See [`State::Failed`].
    Failed,
    /// See [`State::Suppressed`].
    Suppressed,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Sent, Self::Failed, Self::Suppressed];

    /// The word in JSON, SQL and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
        }
    }
}

impl FromStr for Status {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == word)
            .ok_or_else(|| UnknownWord::new("status", word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for it in NoticeType::ALL {
            assert_eq!(it.as_str().parse::<NoticeType>().unwrap(), it);
        }
        for it in [Recipient::Customer, Recipient::Merchant, Recipient::Approver(12)] {
            assert_eq!(it.to_string().parse::<Recipient>().unwrap(), it);
        }
        for it in Status::ALL {
            assert_eq!(it.as_str().parse::<Status>().unwrap(), it);
        }
        assert!("approver-x".parse::<Recipient>().is_err());
    }
}
