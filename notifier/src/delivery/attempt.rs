//! One claim, from the question for the contact to the outcome.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use lettre::Address;
use platform::problem::Chain;
use url::Url;

use super::Courier;
use super::holds::{Hold, Scope};
use crate::clients::smtp::Letter;
use crate::clients::webhooks::{self, NotNow, Slot};
use crate::domain::addressing::{Addressing, address};
use crate::domain::contact::Contact;
use crate::domain::mask;
use crate::domain::notice::State;
use crate::domain::outcome::{Outcome, later};
use crate::domain::reason::Reason;
use crate::domain::signature::WebhookSecret;
use crate::letters;
use crate::store::StoreError;
use crate::store::claims::{self, Claim};

/// How long a notice waits that could not be tried for a reason which is not its own.
const POSTPONED_FOR: Duration = Duration::from_secs(2);
/// A merchant whose contact the gateway fails to give is asked for again after as long as it has waited, and at least this often.
const ASKED_AGAIN_WITHIN: Duration = Duration::from_mins(1);

impl Courier {
    /// Does with a claimed notice what can be done now. Returns what to leave alone for a while.
    pub(super) async fn deliver(&self, claim: &Claim) -> Result<Option<Hold>, StoreError> {
        if claim.is_last_attempt_open && self.schedule.is_exhausted(claim.round_attempts) {
            self.settle(
                claim,
                &State::Failed {
                    reason: Reason::WorkerLost,
                },
            )
            .await?;
            return Ok(None);
        }
        match self
            .contacts
            .find(claim.merchant_id, claim.facts.payment_no())
            .await
        {
            Ok(Some(contact)) => self.deliver_to(claim, &contact).await,
            Ok(None) => self.refuse(claim, Reason::ContactUnknown).await,
            Err(error) if error.is_about_this_question() => {
                tracing::warn!(merchant_id = %claim.merchant_id, error = %Chain(&error), "the gateway fails to give a contact");
                let waited = self.clock.now().duration_since(claim.queued_at).unsigned_abs();
                let wait = waited.clamp(POSTPONED_FOR, ASKED_AGAIN_WITHIN);
                let merchant = Scope::Merchant(claim.merchant_id);
                self.leave_alone(claim, merchant, wait, Reason::ContactUnavailable)
                    .await
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "deliveries wait for the gateway's contacts");
                self.postpone(claim, Scope::Channel, POSTPONED_FOR).await
            }
        }
    }

    async fn deliver_to(&self, claim: &Claim, contact: &Contact) -> Result<Option<Hold>, StoreError> {
        match address(claim.recipient, claim.channel, contact, &self.approvers) {
            Addressing::Mail(to) => match to.parse() {
                Ok(to) => self.mail(claim, contact, &to).await,
                Err(_) => self.refuse(claim, Reason::InvalidAddress).await,
            },
            Addressing::Webhook { url, secret } => self.webhook(claim, url, &secret).await,
            Addressing::Nobody(reason) => {
                self.settle(claim, &State::Suppressed { reason }).await?;
                Ok(None)
            }
            Addressing::Unusable(reason) => self.refuse(claim, reason).await,
        }
    }

    async fn mail(&self, claim: &Claim, contact: &Contact, to: &Address) -> Result<Option<Hold>, StoreError> {
        if let Err(open) = self.mailer.is_open() {
            return self
                .leave_alone(claim, Scope::Channel, open.retry_after, Reason::BreakerOpen)
                .await;
        }
        let mail = letters::Mail {
            notification_no: claim.notification_no,
            created_at: claim.created_at,
            notice_type: claim.notice_type,
            recipient: claim.recipient,
            facts: &claim.facts,
            contact,
            from: self.sender(),
            to,
        };
        let message = match letters::compose(&mail) {
            Ok(message) => message,
            Err(error) => return self.cannot_render(claim, &error).await,
        };
        let masked = mask::mail_address(to.as_ref());
        self.attempt(claim, &masked, async |_| {
            self.mailer
                .send(Letter {
                    to,
                    message: &message,
                })
                .await
        })
        .await
    }

    async fn webhook(
        &self,
        claim: &Claim,
        url: Url,
        secret: &WebhookSecret,
    ) -> Result<Option<Hold>, StoreError> {
        let merchant = Scope::Merchant(claim.merchant_id);
        let slot = match self.webhooks.slot(claim.merchant_id, &url) {
            Ok(slot) => slot,
            Err(NotNow::Open(open)) => {
                return self
                    .leave_alone(claim, merchant, open.retry_after, Reason::BreakerOpen)
                    .await;
            }
            Err(NotNow::Busy { retry_after }) => return self.postpone(claim, merchant, retry_after).await,
        };
        let body = letters::body(
            claim.notice_type,
            &claim.event_type,
            claim.event_id,
            claim.occurred_at,
            claim.merchant_id,
            &claim.facts,
        );
        let body = match body {
            Ok(body) => body,
            Err(error) => return self.cannot_render(claim, &error).await,
        };
        let masked = mask::endpoint(&url);
        self.attempt(claim, &masked, async |now| {
            post(&slot, claim, url, secret, body, now).await
        })
        .await
    }

    /// Sends, between writing down that it begins and writing down what came of it.
    async fn attempt(
        &self,
        claim: &Claim,
        masked_recipient: &str,
        send: impl AsyncFnOnce(Timestamp) -> Outcome,
    ) -> Result<Option<Hold>, StoreError> {
        let now = self.clock.now();
        if later(now, self.send_timeout) > claim.lease_ends_at {
            return self.postpone(claim, Scope::Channel, Duration::ZERO).await;
        }
        let Some(attempt) = claims::begin_attempt(&self.pool, claim, now).await? else {
            return Ok(None);
        };
        let started = tokio::time::Instant::now();
        eventing::crash_point("notifier.send.before");
        let outcome = send(now).await;
        eventing::crash_point("notifier.send.after");
        self.meters
            .took(claim.channel, outcome.as_str(), started.elapsed());
        self.record(claim, attempt, &outcome, masked_recipient).await;
        Ok(None)
    }

    /// Ends a notice that cannot be sent as things are.
    async fn refuse(&self, claim: &Claim, reason: Reason) -> Result<Option<Hold>, StoreError> {
        let now = self.clock.now();
        if let Some(attempt) = claims::begin_attempt(&self.pool, claim, now).await? {
            self.record(
                claim,
                attempt,
                &Outcome::Refused { reason, code: None },
                UNKNOWN_RECIPIENT,
            )
            .await;
        }
        Ok(None)
    }

    async fn cannot_render(
        &self,
        claim: &Claim,
        error: &(dyn Error + Send + Sync + 'static),
    ) -> Result<Option<Hold>, StoreError> {
        let notification_no = claim.notification_no;
        tracing::error!(%notification_no, error = %Chain(error), "a notification cannot be rendered");
        self.refuse(claim, Reason::Unrenderable).await
    }

    /// Lets a notice wait for what is left alone, unless it has waited for longer than its schedule lasts: then it has failed
    /// for `reason`.
    async fn leave_alone(
        &self,
        claim: &Claim,
        scope: Scope,
        wait: Duration,
        reason: Reason,
    ) -> Result<Option<Hold>, StoreError> {
        if later(claim.queued_at, self.schedule.total()) < self.clock.now() {
            self.settle(claim, &State::Failed { reason }).await?;
            // What else has waited for too long need not wait for this one.
            return Ok(None);
        }
        self.postpone(claim, scope, wait).await
    }

    /// Lets a notice wait without counting an attempt.
    async fn postpone(
        &self,
        claim: &Claim,
        scope: Scope,
        wait: Duration,
    ) -> Result<Option<Hold>, StoreError> {
        self.meters.count(claim.channel, "postponed");
        let until = later(self.clock.now(), wait);
        claims::release(&self.pool, claim, until).await?;
        Ok(Some(Hold { scope, until }))
    }
}

/// Nothing is known that could be masked.
const UNKNOWN_RECIPIENT: &str = "***";

async fn post(
    slot: &Slot<'_>,
    claim: &Claim,
    url: Url,
    secret: &WebhookSecret,
    body: Vec<u8>,
    now: Timestamp,
) -> Outcome {
    let id = claim.notification_no.to_string();
    let timestamp_seconds = now.as_second();
    let signature = secret.sign(&id, timestamp_seconds, &body);
    slot.send(webhooks::Delivery {
        url,
        id,
        timestamp_seconds,
        signature,
        body: body.into(),
    })
    .await
}
