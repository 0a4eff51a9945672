//! Calls about a payment.

use eventing::crash_point;
use platform::breaker::Permit;
use schemas::ids::PaymentNo;

use super::{Charging, ChargingError, Finding, Leave};
use crate::clients::stripe::Reply;
use crate::domain::psp::PspPayment;
use crate::domain::work::{Absence, Attempts, Step};
use crate::domain::{Closing, Payment};
use crate::store;
use crate::store::payments::Locked;

impl Charging {
    /// The first call for a payment that was just created.
    pub async fn charge(&self, payment: Payment, leave: Leave) -> Result<Payment, ChargingError> {
        let Leave { room: _room, permit } = leave;
        let finding = self.post(&payment, Some(permit)).await;
        self.apply(payment.payment_no, &finding, None).await
    }

    /// Asks the PSP whatever is to be asked next about an open payment, and takes the answer in.
    pub async fn pursue(&self, payment_no: PaymentNo) -> Result<Payment, ChargingError> {
        let locked = store::payments::get_with_attempts(&self.pool, payment_no).await?;
        let Locked { payment, attempts } =
            locked.ok_or_else(|| ChargingError::Missing(payment_no.to_string()))?;
        if !payment.is_open() {
            return Ok(payment);
        }
        let payment = self.expire_if_due(payment).await?;
        let finding = match payment.next_step() {
            Step::AskIntent(id) => asked(&payment, self.stripe.ask_intent(&id).await),
            Step::AskSession(id) => asked(&payment, self.stripe.ask_session(&id).await),
            Step::CancelIntent(id) => asked(&payment, self.stripe.cancel_intent(&id).await),
            Step::ExpireSession(id) => asked(&payment, self.stripe.expire_session(&id).await),
            Step::Search => self.search(&payment, attempts).await?,
        };
        self.apply(payment_no, &finding, None).await
    }

    /// Writes down that the payment is to be closed before the PSP is asked to: its confirmation may come by webhook.
    async fn expire_if_due(&self, payment: Payment) -> Result<Payment, ChargingError> {
        let (closing, payment_no) = (payment.closing, payment.payment_no);
        let payment = payment.expire_if_due(self.terms.expire_after, self.clock.now());
        if payment.closing == closing {
            return Ok(payment);
        }
        self.ask_to_close(payment_no, Closing::Expire).await
    }

    /// Writes down that the payment is to be closed, and claims it.
    pub async fn ask_to_close(
        &self,
        payment_no: PaymentNo,
        closing: Closing,
    ) -> Result<Payment, ChargingError> {
        let mut tx = self.pool.begin().await?;
        let locked = store::payments::lock(&mut tx, payment_no).await?;
        let Locked { payment, .. } = locked.ok_or_else(|| ChargingError::Missing(payment_no.to_string()))?;
        let payment = payment.ask_to_close(closing);
        let claimed_until = self.claimed_until(self.clock.now());
        store::payments::update(&mut tx, &payment, payment.sequence, claimed_until).await?;
        tx.commit().await?;
        Ok(payment)
    }

    /// The merchant has waited long enough: says that the payment is under way. The call goes on, and keeps its claim.
    pub async fn defer(&self, payment_no: PaymentNo) -> Result<Payment, ChargingError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        let locked = store::payments::lock(&mut tx, payment_no).await?;
        let Locked { payment, .. } = locked.ok_or_else(|| ChargingError::Missing(payment_no.to_string()))?;
        let (old_sequence, unchanged) = (payment.sequence, payment.clone());
        let Ok((payment, event)) = payment.process(now) else {
            return Ok(unchanged);
        };
        store::payments::update(&mut tx, &payment, old_sequence, self.claimed_until(now)).await?;
        let appended = self.outbox.append(&mut tx, &event).await?;
        tx.commit().await?;
        self.outbox.committed(appended);
        Ok(payment)
    }

    async fn search(&self, payment: &Payment, attempts: Attempts) -> Result<Finding, ChargingError> {
        let found = match self.stripe.search(payment.payment_no).await {
            Reply::Answered(found) => found,
            Reply::Declined(_) => return Ok(Finding::Unknown),
            Reply::NotSent(cause) | Reply::Unknown(cause) => return Ok(nothing(payment, &cause)),
        };
        if !found.is_empty() {
            return Ok(Finding::Seen(found));
        }
        let now = self.clock.now();
        match payment.absence(attempts, now) {
            Absence::Post => {
                if !store::work::posting_payment(&self.pool, payment.payment_no, now).await? {
                    return Ok(Finding::Unknown);
                }
                // That this call did not go out proves nothing about the one before it.
                Ok(match self.post(payment, None).await {
                    Finding::NotSent => Finding::Unknown,
                    finding => finding,
                })
            }
            Absence::Wait => Ok(Finding::Unknown),
            Absence::Final => Ok(Finding::Absent),
        }
    }

    async fn post(&self, payment: &Payment, permit: Option<Permit>) -> Finding {
        crash_point("gateway.psp.before");
        let reply = self.stripe.post_payment(payment, permit).await;
        crash_point("gateway.psp.after");
        match reply {
            Reply::Answered(seen) => Finding::Seen(vec![seen]),
            Reply::Declined(code) => Finding::Declined(code),
            Reply::NotSent(cause) => {
                nothing(payment, &cause);
                Finding::NotSent
            }
            Reply::Unknown(cause) => nothing(payment, &cause),
        }
    }
}

/// What asking found out. That the PSP does not know an id it gave us proves nothing about the charge.
fn asked(payment: &Payment, reply: Reply<PspPayment>) -> Finding {
    match reply {
        Reply::Answered(seen) => Finding::Seen(vec![seen]),
        Reply::Declined(_) => {
            tracing::warn!(payment_no = %payment.payment_no, "the psp refuses to tell of a payment that it knew");
            Finding::Unknown
        }
        Reply::NotSent(cause) | Reply::Unknown(cause) => nothing(payment, &cause),
    }
}

fn nothing(payment: &Payment, cause: &crate::clients::stripe::Cause) -> Finding {
    tracing::warn!(payment_no = %payment.payment_no, error = %platform::problem::Chain(cause), "no answer from the psp");
    Finding::Unknown
}
