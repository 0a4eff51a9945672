//! Stripe's objects, as far as we read them, and what they mean to us.

use std::collections::BTreeMap;

use schemas::ids::{PaymentNo, RefundNo};
use schemas::payment::FailureCode;
use serde::Deserialize;

use super::{amounts, failures};
use crate::domain::psp::{PspObjects, PspPayment, PspRefund, PspRefundStatus, PspStatus};

/// Metadata key under which our number travels with a payment.
pub(super) const PAYMENT_NO: &str = "payment_no";
/// Metadata key under which our number travels with a refund.
pub(super) const REFUND_NO: &str = "refund_no";

/// An object that says something we have no words for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stripe object {id} has a {field} that is not understood")]
pub struct Unintelligible {
    id: String,
    field: &'static str,
}

type Metadata = BTreeMap<String, String>;

/// `payment_intent`
#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    amount: i64,
    amount_received: Option<i64>,
    currency: String,
    status: String,
    #[serde(default)]
    metadata: Metadata,
    next_action: Option<NextAction>,
    last_payment_error: Option<PaymentError>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    redirect_to_url: Option<RedirectToUrl>,
}

#[derive(Debug, Deserialize)]
struct RedirectToUrl {
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PaymentError {
    code: Option<String>,
    decline_code: Option<String>,
}

/// `checkout.session`
#[derive(Debug, Deserialize)]
pub(super) struct CheckoutSession {
    pub(super) id: String,
    url: Option<String>,
    status: String,
    payment_status: String,
    payment_intent: Option<String>,
    amount_total: Option<i64>,
    currency: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

/// `refund`
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    amount: i64,
    currency: String,
    status: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

/// A page of anything.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

impl TryFrom<PaymentIntent> for PspPayment {
    type Error = Unintelligible;

    fn try_from(intent: PaymentIntent) -> Result<Self, Unintelligible> {
        let unintelligible = |field| Unintelligible {
            id: intent.id.clone(),
            field,
        };
        let status = match intent.status.as_str() {
            "requires_payment_method" => {
                PspStatus::Unpaid(intent.last_payment_error.as_ref().map(PaymentError::code))
            }
            "requires_confirmation" => PspStatus::Unpaid(None),
            "requires_action" => match intent.next_action.and_then(NextAction::url) {
                Some(redirect_url) => PspStatus::RequiresAction { redirect_url },
                // An action that is no redirect is none that the customer could be sent to.
                None => PspStatus::Processing,
            },
            "processing" => PspStatus::Processing,
            "succeeded" => PspStatus::Succeeded,
            "canceled" => PspStatus::Cancelled,
            _ => return Err(unintelligible("status")),
        };
        let amount = match status {
            PspStatus::Succeeded => intent.amount_received.unwrap_or(intent.amount),
            _ => intent.amount,
        };
        Ok(Self {
            amount: amounts::from_stripe(amount, &intent.currency).ok_or_else(|| unintelligible("amount"))?,
            payment_no: payment_no(&intent.metadata),
            objects: PspObjects {
                intent: Some(intent.id),
                session: None,
                payment_url: None,
            },
            status,
        })
    }
}

impl TryFrom<CheckoutSession> for PspPayment {
    type Error = Unintelligible;

    fn try_from(session: CheckoutSession) -> Result<Self, Unintelligible> {
        let unintelligible = |field| Unintelligible {
            id: session.id.clone(),
            field,
        };
        let status = match (session.status.as_str(), session.payment_status.as_str()) {
            ("open", _) => PspStatus::Unpaid(None),
            ("complete", "paid") => PspStatus::Succeeded,
            ("complete", _) => PspStatus::Processing,
            ("expired", _) => PspStatus::Cancelled,
            _ => return Err(unintelligible("status")),
        };
        let amount = session.amount_total.zip(session.currency.as_deref());
        let amount = amount.and_then(|(amount, currency)| amounts::from_stripe(amount, currency));
        Ok(Self {
            amount: amount.ok_or_else(|| unintelligible("amount_total"))?,
            payment_no: payment_no(&session.metadata),
            objects: PspObjects {
                intent: session.payment_intent,
                session: Some(session.id),
                payment_url: session.url,
            },
            status,
        })
    }
}

impl TryFrom<Refund> for PspRefund {
    type Error = Unintelligible;

    fn try_from(refund: Refund) -> Result<Self, Unintelligible> {
        let unintelligible = |field| Unintelligible {
            id: refund.id.clone(),
            field,
        };
        let status = match refund.status.as_deref() {
            Some("pending" | "requires_action") => PspRefundStatus::Pending,
            Some("succeeded") => PspRefundStatus::Succeeded,
            Some("failed") => PspRefundStatus::Failed(FailureCode::ProcessingError),
            Some("canceled") => PspRefundStatus::Failed(FailureCode::Rejected),
            _ => return Err(unintelligible("status")),
        };
        Ok(Self {
            amount: amounts::from_stripe(refund.amount, &refund.currency)
                .ok_or_else(|| unintelligible("amount"))?,
            refund_no: refund
                .metadata
                .get(REFUND_NO)
                .and_then(|text| text.parse::<RefundNo>().ok()),
            id: refund.id,
            status,
        })
    }
}

impl NextAction {
    fn url(self) -> Option<String> {
        self.redirect_to_url?.url
    }
}

impl PaymentError {
    fn code(&self) -> FailureCode {
        failures::decline(self.code.as_deref(), self.decline_code.as_deref())
    }
}

fn payment_no(metadata: &Metadata) -> Option<PaymentNo> {
    metadata.get(PAYMENT_NO)?.parse().ok()
}
