//! A refund as merchants see it.

use jiff::Timestamp;
use schemas::ids::{PaymentNo, RefundNo};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Refund, RefundState};
use crate::http::payments::document::Failure;

/// A refund.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundDocument {
    #[schema(value_type = String, example = "ref_01h455vb4pex5vsknk084sn02q")]
    refund_no: RefundNo,
    #[schema(value_type = String)]
    payment_no: PaymentNo,
    /// Minor units.
    amount: i64,
    #[schema(value_type = String)]
    currency: &'static str,
    /// `pending`, `processing`, `succeeded` or `failed`.
    #[schema(value_type = String)]
    status: &'static str,
    reason: Option<String>,
    failure: Option<Failure>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Refund> for RefundDocument {
    fn from(refund: Refund) -> Self {
        Self {
            refund_no: refund.refund_no,
            payment_no: refund.payment_no,
            amount: refund.amount.minor,
            currency: refund.amount.currency.code(),
            status: refund.status().as_str(),
            failure: match refund.state {
                RefundState::Failed { code } => Some(code.into()),
                RefundState::Pending | RefundState::Processing | RefundState::Succeeded => None,
            },
            reason: refund.reason,
            created_at: refund.created_at,
            updated_at: refund.updated_at,
        }
    }
}
