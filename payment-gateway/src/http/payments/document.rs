//! A payment as merchants see it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemas::ids::{CustomerRef, MerchantId, PaymentNo};
use schemas::payment::FailureCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::payment::CHANNEL;
use crate::domain::{Payment, PaymentState};

/// A payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentDocument {
    /// Its number.
    #[schema(value_type = String, example = "pay_01h455vb4pex5vsknk084sn02q")]
    payment_no: PaymentNo,
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    /// The merchant's own number for it.
    order_no: String,
    /// Minor units.
    amount: i64,
    #[schema(value_type = String, example = "EUR")]
    currency: &'static str,
    /// `pending`, `processing`, `requires_action`, `success`, `partially_refunded`, `refunded`, `failed`, `cancelled` or
    /// `expired`.
    #[schema(value_type = String)]
    status: &'static str,
    /// Sum of the succeeded refunds, minor units.
    amount_refunded: i64,
    #[schema(value_type = String)]
    customer_ref: CustomerRef,
    #[schema(value_type = String)]
    channel: &'static str,
    payment_method: Option<String>,
    /// Where the customer pays, if there is no payment method; while the payment is open.
    payment_url: Option<String>,
    /// What the customer has to do.
    next_action: Option<NextAction>,
    failure: Option<Failure>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    notify_url: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// What the customer has to do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NextAction {
    /// `redirect`
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// Where to send the customer.
    redirect_url: String,
}

/// Why it failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Failure {
    /// A stable word.
    #[schema(value_type = String)]
    code: &'static str,
    /// The same for people.
    #[schema(value_type = String)]
    message: &'static str,
}

impl From<Payment> for PaymentDocument {
    fn from(payment: Payment) -> Self {
        let status = payment.status().as_str();
        let (is_open, amount_refunded) = (payment.is_open(), payment.amount_refunded());
        let (next_action, failure) = match payment.state {
            PaymentState::RequiresAction { redirect_url } => (
                Some(NextAction {
                    kind: "redirect",
                    redirect_url,
                }),
                None,
            ),
            PaymentState::Failed { code } => (None, Some(Failure::from(code))),
            PaymentState::Pending
            | PaymentState::Processing
            | PaymentState::Success(_)
            | PaymentState::Cancelled
            | PaymentState::Expired => (None, None),
        };
        Self {
            payment_no: payment.payment_no,
            merchant_id: payment.merchant_id,
            order_no: payment.order_no.to_string(),
            amount: payment.amount.minor,
            currency: payment.amount.currency.code(),
            status,
            amount_refunded,
            customer_ref: payment.customer_ref,
            channel: CHANNEL,
            payment_method: payment.payment_method.map(|method| method.to_string()),
            payment_url: payment.psp.payment_url.filter(|_| is_open),
            next_action,
            failure,
            description: payment.details.description,
            metadata: payment.details.metadata,
            notify_url: payment.details.notify_url,
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }
}

impl From<FailureCode> for Failure {
    fn from(code: FailureCode) -> Self {
        let message = match code {
            FailureCode::CardDeclined => "The card was declined.",
            FailureCode::InsufficientFunds => "The card has not enough funds.",
            FailureCode::ExpiredCard => "The card has expired.",
            FailureCode::InvalidCard => "A detail of the card is wrong.",
            FailureCode::AuthenticationFailed => "The customer could not be authenticated.",
            FailureCode::FraudSuspected => "The payment was refused on suspicion of fraud.",
            FailureCode::ProcessingError => "The payment provider could not process it.",
            FailureCode::Rejected => "The payment provider refused the request.",
            FailureCode::Unknown => "It failed for a reason that is not known.",
        };
        Self {
            code: code.as_str(),
            message,
        }
    }
}
