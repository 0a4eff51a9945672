//! What the bank says about a payout, and how that can contradict us.

use jiff::Timestamp;
use schemas::{money::Money, withdrawal::WithdrawalFailureCode};

/// What the bank says about a payout: in a webhook, or when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name for it.
    pub payout_id: PayoutId,
    /// How much it pays.
    pub amount: Money,
    /// Where it stands there.
    pub status: PayoutStatus,
}

/// Where a payout stands at the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayoutStatus {
    /// Accepted, not yet paid.
    Processing,
    /// Paid.
    Completed,
    /// Not paid, and will not be.
    Failed(WithdrawalFailureCode),
    /// Paid, and came back.
    Returned(WithdrawalFailureCode),
}

/// A contradiction between the bank and us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Which.
    pub kind: ConflictKind,
    /// When it was first seen.
    pub at: Timestamp,
}

/// How the bank contradicts us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConflictKind {
    /// It pays something else than ordered.
    #[error("the bank reports another amount or currency")]
    OtherAmount,
    /// It knows the withdrawal under two names: it may pay twice.
    #[error("the bank reports another payout for the same withdrawal")]
    OtherPayout,
    /// It knows of a payout that was never ordered.
    #[error("the bank reports a payout that was never ordered")]
    NeverOrdered,
    /// It paid, or took back, what it had said it would not pay.
    #[error("the bank reports a payout as completed or returned after it had failed")]
    PaidAfterFailing,
    /// It did not pay what it had said it paid.
    #[error("the bank reports a payout as failed after it had completed or come back")]
    FailedAfterPaying,
}

impl ConflictKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::OtherAmount,
        Self::OtherPayout,
        Self::NeverOrdered,
        Self::PaidAfterFailing,
        Self::FailedAfterPaying,
    ];

    /// Its name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtherAmount => "other_amount",
            Self::OtherPayout => "other_payout",
            Self::NeverOrdered => "never_ordered",
            Self::PaidAfterFailing => "paid_after_failing",
            Self::FailedAfterPaying => "failed_after_paying",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The bank's name for a payout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutId(String);

/// The text is no payout's id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a payout's id has 1 to {max} visible ASCII characters", max = PayoutId::MAX_LENGTH)]
pub struct PayoutIdError;

impl PayoutId {
    /// The longest id that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 128;

    /// Checks what the bank sent.
    pub fn parse(text: &str) -> Result<Self, PayoutIdError> {
        let fits =
            (1..=Self::MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(PayoutIdError)
        }
    }

    /// As the bank wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
