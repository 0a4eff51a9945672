//! Giving money back, and asking what became of it.

use platform::breaker::Permit;
use platform::client::CallError;
use schemas::ids::RefundNo;
use schemas::payment::FailureCode;

use super::objects::{List, Refund as StripeRefund};
use super::reply::{self, Reply};
use super::{IDEMPOTENCY_KEY, Stripe, amounts, send};
use crate::domain::Refund;
use crate::domain::psp::PspRefund;

/// Stripe's largest page. A payment has fewer refunds than this ([`crate::http::payments::refunds::MAX_REFUNDS`]), so one page
/// has them all.
const PAGE: &str = "100";

impl Stripe {
    /// Refunds a part of the charge `intent`. The same refund is never paid twice by this, as long as Stripe remembers the
    /// key.
    pub async fn post_refund(
        &self,
        refund: &Refund,
        intent: &str,
        permit: Option<Permit>,
    ) -> Reply<PspRefund> {
        let Ok(amount) = amounts::to_stripe(refund.amount) else {
            return Reply::Declined(FailureCode::Rejected);
        };
        let refund_no = refund.refund_no.to_string();
        let fields = [
            ("payment_intent", intent.to_owned()),
            ("amount", amount.to_string()),
            ("metadata[refund_no]", refund_no.clone()),
            ("metadata[payment_no]", refund.payment_no.to_string()),
        ];
        match self.post(&["refunds"]) {
            Ok(request) => {
                let request = request.header(IDEMPOTENCY_KEY, refund_no).form(fields);
                let sent = send(request, permit).await;
                reply::read::<StripeRefund>(sent).and_then(PspRefund::try_from)
            }
            Err(error) => Reply::NotSent(error.into()),
        }
    }

    /// Looks a refund up.
    pub async fn ask_refund(&self, id: &str) -> Reply<PspRefund> {
        match self.get(&["refunds", id]) {
            Ok(request) => reply::read::<StripeRefund>(request.send().await).and_then(PspRefund::try_from),
            Err(error) => Reply::NotSent(error.into()),
        }
    }

    /// Finds the refund of the charge `intent` that says it is this one.
    pub async fn find_refund(&self, intent: &str, refund_no: RefundNo) -> Reply<Option<PspRefund>> {
        let request = match self.get(&["refunds"]) {
            Ok(request) => request.query("payment_intent", intent).query("limit", PAGE),
            Err(error) => return Reply::NotSent(error.into()),
        };
        reply::read::<List<StripeRefund>>(request.send().await).and_then(|list| find(list, refund_no))
    }
}

fn find(list: List<StripeRefund>, refund_no: RefundNo) -> Result<Option<PspRefund>, reply::Cause> {
    for refund in list.data {
        let refund = PspRefund::try_from(refund)?;
        if refund.refund_no == Some(refund_no) {
            return Ok(Some(refund));
        }
    }
    if list.has_more {
        // Not on this page proves nothing.
        let reason = "more refunds than a page has".to_owned();
        return Err(CallError::Unknown(platform::client::Unknown::Unreadable {
            status: axum::http::StatusCode::OK,
            reason,
        })
        .into());
    }
    Ok(None)
}
