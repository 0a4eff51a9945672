//! One change of the PSP's books: what a request or a falling due does, while the books are locked.
//!
//! Objects are taken out, changed and saved; events are created beside the change, so that their order is the order
//! of changes.

use serde_json::{Value, json};

use super::behaviour::{Behaviours, Operation};
use super::books::{self, Books};
use super::checkout_session::{self, CheckoutSession};
use super::method::{Decline, GENERIC_DECLINE};
use super::payment_intent::PaymentIntent;
use super::refund::Refund;
use super::{Settings, ids, settle::Due};
use crate::clock;
use crate::courier::Parcel;
use crate::journal::Journal;

/// The API version whose shapes are spoken.
const API_VERSION: &str = "2025-03-31.basil";

pub(super) struct Desk<'a> {
    pub(super) books: &'a mut Books,
    behaviours: &'a mut Behaviours,
    journal: &'a Journal,
    pub(super) settings: &'a Settings,
    pub(super) events: Vec<Parcel>,
    pub(super) due: Vec<Due>,
    /// The request that causes the events; none if they happen by themselves.
    request: Option<Request>,
}

/// How an event names the request that caused it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) idempotency_key: Option<String>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        books: &'a mut Books,
        behaviours: &'a mut Behaviours,
        journal: &'a Journal,
        settings: &'a Settings,
        request: Option<Request>,
    ) -> Self {
        Self {
            books,
            behaviours,
            journal,
            settings,
            events: Vec::new(),
            due: Vec::new(),
            request,
        }
    }

    /// When a delayed payment or refund that begins now will have arrived.
    pub(super) fn settles_at_ms(&self) -> i64 {
        clock::unix_millis().saturating_add(self.settings.delayed_payment_ms)
    }

    /// Whether the next charge or refund is to be declined; consumes the order.
    pub(super) fn ordered_decline(&mut self, operation: Operation) -> Option<Decline> {
        self.behaviours.take_decline(operation).then_some(GENERIC_DECLINE)
    }

    pub(super) fn search_lag_seconds(&self) -> i64 {
        self.behaviours.search_lag_seconds
    }

    pub(super) fn save_intent(&mut self, intent: PaymentIntent) {
        self.journal.keep(books::INTENTS, &intent.id, &intent);
        let id = intent.id.clone();
        self.books.intents.put(&id, intent);
        for forgotten in self.books.intents.drain_forgotten() {
            self.journal.forget(books::INTENTS, &forgotten);
        }
    }

    pub(super) fn save_session(&mut self, session: CheckoutSession) {
        self.journal.keep(books::SESSIONS, &session.id, &session);
        let id = session.id.clone();
        self.books.sessions.put(&id, session);
        for forgotten in self.books.sessions.drain_forgotten() {
            self.journal.forget(books::SESSIONS, &forgotten);
        }
    }

    pub(super) fn save_refund(&mut self, refund: Refund) {
        self.journal.keep(books::REFUNDS, &refund.id, &refund);
        let id = refund.id.clone();
        self.books.refunds.put(&id, refund);
        for forgotten in self.books.refunds.drain_forgotten() {
            self.journal.forget(books::REFUNDS, &forgotten);
        }
    }

    pub(super) fn intent_event(&mut self, kind: &str, intent: &PaymentIntent) {
        let object = intent.render(self.settings);
        self.event(kind, intent.event_key(), object);
    }

    pub(super) fn session_event(&mut self, kind: &str, session: &CheckoutSession) {
        let object = checkout_session::render(session, self.settings);
        self.event(kind, &session.id, object);
    }

    pub(super) fn refund_event(&mut self, kind: &str, refund: &Refund) {
        let key = self
            .books
            .intents
            .get(&refund.payment_intent)
            .map_or(refund.payment_intent.clone(), |intent| {
                intent.event_key().to_owned()
            });
        self.event(kind, &key, refund.render());
    }

    #[expect(clippy::needless_pass_by_value, reason = "the object goes into the event")]
    fn event(&mut self, kind: &str, key: &str, object: Value) {
        let id = ids::next("evt");
        let event = json!({
            "id": id,
            "object": "event",
            "api_version": API_VERSION,
            "created": clock::unix_seconds(),
            "data": { "object": object },
            "livemode": false,
            "pending_webhooks": 1,
            "request": {
                "id": self.request.as_ref().map(|request| &request.id),
                "idempotency_key": self.request.as_ref().and_then(|request| request.idempotency_key.as_ref()),
            },
            "type": kind,
        });
        // Stripe posts indented JSON: whoever verifies a signature over re-encoded JSON finds out here.
        let body = serde_json::to_string_pretty(&event).unwrap_or_default();
        self.events.push(Parcel {
            id,
            key: key.to_owned(),
            body,
        });
    }
}
