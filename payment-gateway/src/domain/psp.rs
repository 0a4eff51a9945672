//! What a PSP says about a payment or a refund, in our words and units.

use schemas::ids::{PaymentNo, RefundNo};
use schemas::money::Money;
use schemas::payment::FailureCode;

/// The names under which the PSP knows a payment. Empty until its answer is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PspObjects {
    /// The object that carries the charge.
    pub intent: Option<String>,
    /// The hosted page, where the customer chooses how to pay.
    pub session: Option<String>,
    /// Where the hosted page is.
    pub payment_url: Option<String>,
}

/// A payment as the PSP holds it at one moment, which may be past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PspPayment {
    /// Its names there.
    pub objects: PspObjects,
    /// The payment that it says it is for.
    pub payment_no: Option<PaymentNo>,
    /// What it charges.
    pub amount: Money,
    /// How far it is.
    pub status: PspStatus,
}

/// How far a payment is at the PSP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PspStatus {
    /// Nobody has paid; the last attempt, if there was one, failed for that reason. Final where we named the payment
    /// method; on a hosted page the customer may try again.
    Unpaid(Option<FailureCode>),
    /// Under way.
    Processing,
    /// The customer has to authenticate there.
    RequiresAction {
        /// Where.
        redirect_url: String,
    },
    /// Charged. Final.
    Succeeded,
    /// Nobody will be charged any more. Final.
    Cancelled,
}

impl PspStatus {
    /// One word for the record of a conflict.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unpaid(_) => "unpaid",
            Self::Processing => "processing",
            Self::RequiresAction { .. } => "requires_action",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A refund as the PSP holds it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PspRefund {
    /// Its name there.
    pub id: String,
    /// The refund that it says it is for.
    pub refund_no: Option<RefundNo>,
    /// What it pays back.
    pub amount: Money,
    /// How far it is.
    pub status: PspRefundStatus,
}

/// How far a refund is at the PSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PspRefundStatus {
    /// Under way.
    Pending,
    /// Paid back.
    Succeeded,
    /// Refused.
    Failed(FailureCode),
}

impl PspRefundStatus {
    /// One word for the record of a conflict.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
        }
    }
}

/// A contradiction between the PSP and what we hold as final: recorded and alarmed, neither applied nor dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What kind of contradiction.
    pub kind: ConflictKind,
    /// The PSP's object.
    pub psp_reference: String,
    /// Our status when it was seen.
    pub our_status: &'static str,
    /// Theirs.
    pub psp_status: &'static str,
    /// Their amount.
    pub amount: Money,
}

/// Kinds of contradiction, as staff see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictKind {
    /// Charged, but we hold the payment as failed, cancelled or expired.
    LateSuccess,
    /// A second object charged for a payment that has one.
    SecondCharge,
    /// Cancelled there, but we hold it as charged.
    ContradictedSuccess,
    /// Amount or currency is not what we asked for.
    WrongAmount,
    /// The object says that it is for something else.
    WrongPayment,
    /// A refund's outcome changed after it was final.
    RefundContradicted,
}

impl ConflictKind {
    /// The word in the database, in JSON and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::LateSuccess => "late_success",
            Self::SecondCharge => "second_charge",
            Self::ContradictedSuccess => "contradicted_success",
            Self::WrongAmount => "wrong_amount",
            Self::WrongPayment => "wrong_payment",
            Self::RefundContradicted => "refund_contradicted",
        }
    }
}
