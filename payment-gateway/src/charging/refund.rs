//! Calls about a refund.

use eventing::crash_point;
use platform::breaker::Permit;
use schemas::ids::RefundNo;

use super::{Charging, ChargingError, Leave, RefundFinding};
use crate::clients::stripe::{Cause, Reply};
use crate::domain::work::Absence;
use crate::domain::{PaymentState, Refund};
use crate::store;
use crate::store::refunds::Known;

impl Charging {
    /// The first call for a refund that was just reserved. `intent` is the charge.
    pub async fn pay_back(
        &self,
        refund: Refund,
        intent: String,
        leave: Leave,
    ) -> Result<Refund, ChargingError> {
        let Leave { room: _room, permit } = leave;
        let finding = self.post_refund(&refund, &intent, Some(permit)).await;
        self.apply_refund(refund.payment_no, refund.refund_no, &finding, None)
            .await
    }

    /// Asks the PSP whatever is to be asked next about an open refund, and takes the answer in.
    pub async fn pursue_refund(&self, refund_no: RefundNo) -> Result<Refund, ChargingError> {
        let missing = || ChargingError::Missing(refund_no.to_string());
        let known = store::refunds::get(&self.pool, refund_no)
            .await?
            .ok_or_else(missing)?;
        let payment_no = known.refund.payment_no;
        let payment = store::payments::get(&self.pool, payment_no)
            .await?
            .ok_or_else(missing)?;
        let PaymentState::Success(charge) = payment.state else {
            return Err(missing());
        };
        if !known.refund.is_open() {
            return Ok(known.refund);
        }
        let finding = match &known.refund.psp_refund {
            Some(id) => asked(&known.refund, self.stripe.ask_refund(id).await),
            None => self.find_refund(&known, &charge.intent).await?,
        };
        self.apply_refund(payment_no, refund_no, &finding, None).await
    }

    /// The merchant has waited long enough: says that the refund is under way. The call goes on, and keeps its claim.
    pub async fn defer_refund(&self, refund: &Refund) -> Result<Refund, ChargingError> {
        let missing = || ChargingError::Missing(refund.refund_no.to_string());
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        store::payments::lock(&mut tx, refund.payment_no)
            .await?
            .ok_or_else(missing)?;
        let known = store::refunds::get(&mut *tx, refund.refund_no)
            .await?
            .ok_or_else(missing)?;
        let refund = known.refund.process(now);
        store::refunds::update(&mut tx, &refund, self.claimed_until(now)).await?;
        tx.commit().await?;
        Ok(refund)
    }

    async fn find_refund(&self, known: &Known, intent: &str) -> Result<RefundFinding, ChargingError> {
        let refund = &known.refund;
        match self.stripe.find_refund(intent, refund.refund_no).await {
            Reply::Answered(Some(seen)) => return Ok(RefundFinding::Seen(seen)),
            Reply::Answered(None) => {}
            Reply::Declined(_) => return Ok(RefundFinding::Unknown),
            Reply::NotSent(cause) | Reply::Unknown(cause) => return Ok(nothing(refund, &cause)),
        }
        let now = self.clock.now();
        match refund.absence(known.attempts, now) {
            Absence::Post => {
                if !store::work::posting_refund(&self.pool, refund.refund_no, now).await? {
                    return Ok(RefundFinding::Unknown);
                }
                Ok(self.post_refund(refund, intent, None).await)
            }
            Absence::Wait => Ok(RefundFinding::Unknown),
            Absence::Final => Ok(RefundFinding::Absent),
        }
    }

    async fn post_refund(&self, refund: &Refund, intent: &str, permit: Option<Permit>) -> RefundFinding {
        crash_point("gateway.psp.before");
        let reply = self.stripe.post_refund(refund, intent, permit).await;
        crash_point("gateway.psp.after");
        match reply {
            Reply::Answered(seen) => RefundFinding::Seen(seen),
            Reply::Declined(code) => RefundFinding::Declined(code),
            // Nobody waits at a till for a refund: it stays reserved, and is sent once the PSP can be reached.
            Reply::NotSent(cause) | Reply::Unknown(cause) => nothing(refund, &cause),
        }
    }
}

fn asked(refund: &Refund, reply: Reply<crate::domain::psp::PspRefund>) -> RefundFinding {
    match reply {
        Reply::Answered(seen) => RefundFinding::Seen(seen),
        Reply::Declined(_) => {
            tracing::warn!(refund_no = %refund.refund_no, "the psp refuses to tell of a refund that it knew");
            RefundFinding::Unknown
        }
        Reply::NotSent(cause) | Reply::Unknown(cause) => nothing(refund, &cause),
    }
}

fn nothing(refund: &Refund, cause: &Cause) -> RefundFinding {
    tracing::warn!(refund_no = %refund.refund_no, error = %platform::problem::Chain(cause), "no answer from the psp");
    RefundFinding::Unknown
}
