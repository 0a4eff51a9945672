//! One transaction: lock, take in what was found, write, append the event.

use eventing::outbox::Appended;
use jiff::Timestamp;
use schemas::ids::{PaymentNo, RefundNo};
use schemas::payment::{FailureCode, PaymentEvent};
use sqlx::PgTransaction;

use super::{Charging, ChargingError, conflict};
use crate::domain::observation::Outcome;
use crate::domain::payment::Transition;
use crate::domain::psp::{PspObjects, PspPayment, PspRefund};
use crate::domain::work::{Absence, pause_after};
use crate::domain::{Closing, Payment, PaymentState, Refund};
use crate::store;
use crate::store::payments::Locked;
use crate::store::psp_events::PspEvent;
use crate::store::refunds::Known;

/// What was found out about a payment.
#[derive(Debug)]
pub enum Finding {
    /// The PSP holds these; usually one.
    Seen(Vec<PspPayment>),
    /// The PSP refused the post, and holds nothing.
    Declined(FailureCode),
    /// The post was provably not sent.
    NotSent,
    /// Nothing was found out.
    Unknown,
    /// The PSP does not have it and never will.
    Absent,
}

/// What was found out about a refund.
#[derive(Debug)]
pub enum RefundFinding {
    /// The PSP holds this.
    Seen(PspRefund),
    /// The PSP refused the post, and holds nothing.
    Declined(FailureCode),
    /// Nothing was found out.
    Unknown,
    /// The PSP does not have it and never will.
    Absent,
}

impl Charging {
    /// Takes in what was found out about a payment, and gives the payment as it is then. `heard` is the webhook that told of
    /// it, if one did.
    pub async fn apply(
        &self,
        payment_no: PaymentNo,
        finding: &Finding,
        heard: Option<&PspEvent>,
    ) -> Result<Payment, ChargingError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        let locked = store::payments::lock(&mut tx, payment_no).await?;
        let Locked { payment, attempts } =
            locked.ok_or_else(|| ChargingError::Missing(payment_no.to_string()))?;
        let old_sequence = payment.sequence;
        // Somebody may have posted since it was found to be absent: what counts is what holds now, under the lock.
        let finding = match finding {
            Finding::Absent if !matches!(payment.absence(attempts, now), Absence::Final) => &Finding::Unknown,
            finding => finding,
        };
        let (payment, outcomes) = take_in(payment, attempts.count, finding, now);
        store::payments::update(&mut tx, &payment, old_sequence, now + pause_after(attempts.count)).await?;
        let appended = self.tell(&mut tx, payment_no, None, outcomes, now).await?;
        if let Some(event) = heard {
            store::psp_events::insert(&mut *tx, event, payment_no, now).await?;
        }
        tx.commit().await?;
        self.outbox.committed(appended);
        Ok(payment)
    }

    /// Takes in what was found out about a refund, and gives the refund as it is then.
    pub async fn apply_refund(
        &self,
        payment_no: PaymentNo,
        refund_no: RefundNo,
        finding: &RefundFinding,
        heard: Option<&PspEvent>,
    ) -> Result<Refund, ChargingError> {
        let now = self.clock.now();
        let missing = || ChargingError::Missing(refund_no.to_string());
        let mut tx = self.pool.begin().await?;
        let Locked { payment, .. } = store::payments::lock(&mut tx, payment_no)
            .await?
            .ok_or_else(missing)?;
        let Known { refund, attempts } = store::refunds::get(&mut *tx, refund_no)
            .await?
            .ok_or_else(missing)?;
        let old_sequence = payment.sequence;
        let finding = match finding {
            RefundFinding::Absent if !matches!(refund.absence(attempts, now), Absence::Final) => {
                &RefundFinding::Unknown
            }
            finding => finding,
        };
        let (payment, refund, outcome) = take_in_refund(payment, refund, finding, now);
        store::refunds::update(&mut tx, &refund, now + pause_after(attempts.count)).await?;
        if payment.sequence != old_sequence {
            store::payments::update(&mut tx, &payment, old_sequence, now).await?;
        }
        let appended = self
            .tell(&mut tx, payment_no, Some(refund_no), vec![outcome], now)
            .await?;
        if let Some(event) = heard {
            store::psp_events::insert(&mut *tx, event, payment_no, now).await?;
        }
        tx.commit().await?;
        self.outbox.committed(appended);
        Ok(refund)
    }

    /// Appends events and records conflicts.
    async fn tell(
        &self,
        tx: &mut PgTransaction<'_>,
        payment_no: PaymentNo,
        refund_no: Option<RefundNo>,
        outcomes: Vec<Outcome>,
        now: Timestamp,
    ) -> Result<Appended, ChargingError> {
        let mut appended = Appended::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Noted => {}
                Outcome::Changed(event) => {
                    appended = appended.and(self.outbox.append(tx, &*event).await?);
                }
                Outcome::Conflict(found) => {
                    if store::conflicts::insert(&mut **tx, payment_no, refund_no, &found, now).await? {
                        conflict::alarm(payment_no, refund_no, &found);
                    }
                }
            }
        }
        Ok(appended)
    }
}

fn take_in(payment: Payment, attempts: i32, finding: &Finding, now: Timestamp) -> (Payment, Vec<Outcome>) {
    match finding {
        Finding::Seen(seen) => {
            let mut outcomes = Vec::with_capacity(seen.len());
            let mut payment = payment;
            for seen in seen {
                let (after, outcome) = payment.observe(seen, now);
                payment = after;
                outcomes.push(outcome);
            }
            (payment, outcomes)
        }
        Finding::Declined(code) => changed(payment, |payment| payment.fail(*code, now)),
        // Proof for this call only: it settles the payment if there never was another one.
        Finding::NotSent if attempts == 1 && is_untouched(&payment) => {
            changed(payment, |payment| payment.fail(FailureCode::ProcessingError, now))
        }
        Finding::NotSent | Finding::Unknown if payment.psp == PspObjects::default() => {
            changed(payment, |payment| payment.process(now))
        }
        Finding::NotSent | Finding::Unknown => (payment, Vec::new()),
        Finding::Absent => changed(payment.ask_to_close(Closing::Expire), |payment| {
            payment.close(now)
        }),
    }
}

/// Nothing was heard of it at the PSP yet, and nobody waits for anything.
fn is_untouched(payment: &Payment) -> bool {
    payment.state == PaymentState::Pending && payment.psp == PspObjects::default()
}

/// The transition, unless somebody else was faster.
fn changed(payment: Payment, transition: impl FnOnce(Payment) -> Transition) -> (Payment, Vec<Outcome>) {
    let before = payment.clone();
    match transition(payment) {
        Ok((payment, event)) => (payment, vec![Outcome::Changed(Box::new(event))]),
        Err(_) => (before, Vec::new()),
    }
}

fn take_in_refund(
    payment: Payment,
    refund: Refund,
    finding: &RefundFinding,
    now: Timestamp,
) -> (Payment, Refund, Outcome) {
    match finding {
        RefundFinding::Seen(seen) => payment.observe_refund(refund, seen, now),
        RefundFinding::Declined(code) => failed(payment, refund, *code, now),
        RefundFinding::Unknown => (payment, refund.process(now), Outcome::Noted),
        RefundFinding::Absent => failed(payment, refund, FailureCode::ProcessingError, now),
    }
}

fn failed(payment: Payment, refund: Refund, code: FailureCode, now: Timestamp) -> (Payment, Refund, Outcome) {
    let before = (payment.clone(), refund.clone());
    match payment.refund_failed(refund, code, now) {
        Ok((payment, refund, event)) => {
            let event: Box<PaymentEvent> = Box::new(event);
            (payment, refund, Outcome::Changed(event))
        }
        Err(_) => (before.0, before.1, Outcome::Noted),
    }
}
