//! A payment service provider with Stripe's HTTP shapes.
//!
//! What it promises: the objects, errors, idempotency and webhooks that a client of Stripe meets, and books that say
//! what was really charged, whatever the client was told. What it leaves out: customers, capture, disputes, minimum
//! amounts. A newcomer easily takes a dropped answer for a failed charge: the charge was made.

pub(crate) mod amounts;
pub(crate) mod behaviour;
mod books;
mod checkout_session;
mod desk;
mod endpoint;
mod error;
mod expand;
mod form;
mod ids;
mod list;
mod method;
mod pages;
mod payment_intent;
mod refund;
mod search;
mod settle;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use self::behaviour::Behaviours;
use self::books::Books;
use self::desk::{Desk, Request};
use self::settle::Due;
use crate::courier::{Courier, Livery, Parcel, Target};
use crate::ground::{Ground, OpenError};
use crate::idempotency::Idempotency;
use crate::journal::{Journal, Restored};
use crate::timetable::Timetable;

/// Larger requests are refused; Stripe's largest, a session with many items, has a few kilobytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

const LIVERY: Livery = Livery {
    journal_kind: "psp_webhook",
    signature_header: "stripe-signature",
    user_agent: "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
};

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where hosted pages are reachable, without a slash at the end.
    pub(crate) public_url: String,
    pub(crate) secret_key: String,
    pub(crate) delayed_payment_ms: i64,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Psp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    books: Mutex<Books>,
    behaviours: Mutex<Behaviours>,
    idempotency: Idempotency,
    courier: Courier,
    journal: Arc<Journal>,
    timetable: Timetable<Due>,
    tasks: TaskTracker,
}

impl Psp {
    /// Opens the PSP with what an earlier run left, and goes on with what was under way.
    pub(crate) fn open(
        settings: Settings,
        target: Target,
        restored: &mut Restored,
        ground: &Ground,
    ) -> Result<Self, OpenError> {
        let Ground {
            journal,
            tasks,
            shutdown,
        } = ground.clone();
        let courier = Courier::new(
            LIVERY,
            target,
            Arc::clone(&journal),
            tasks.clone(),
            shutdown.clone(),
        )?;
        let undelivered = restored.take::<Parcel>(LIVERY.journal_kind)?;
        let psp = Self(Arc::new(Inner {
            settings,
            books: Mutex::new(Books::restore(restored)?),
            behaviours: Mutex::new(Behaviours::new()),
            idempotency: Idempotency::restore("psp_idempotency", restored, Arc::clone(&journal))?,
            courier,
            journal,
            timetable: Timetable::new(),
            tasks: tasks.clone(),
        }));
        psp.0.courier.resume(undelivered);
        psp.schedule(settle::unfinished(&psp.books()));
        let runner = psp.clone();
        tasks.spawn(async move { runner.0.timetable.run(&shutdown, |due| runner.happen(&due)).await });
        Ok(psp)
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .merge(payment_intent::routes())
            .merge(checkout_session::routes())
            .merge(refund::routes())
            .merge(pages::routes())
            .fallback(endpoint::no_such_route)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self.clone())
    }

    pub(crate) fn courier(&self) -> &Courier {
        &self.0.courier
    }

    pub(crate) fn behaviours(&self) -> MutexGuard<'_, Behaviours> {
        self.0.behaviours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `GET /control/books/psp`.
    pub(crate) fn report(&self) -> Value {
        self.books().report()
    }

    /// Runs one change of the books. Its events are handed over before the books are unlocked, so that they leave in
    /// the order of the changes.
    fn transact<R>(&self, request: Option<Request>, work: impl FnOnce(&mut Desk<'_>) -> R) -> (R, Vec<Sent>) {
        let mut books = self.books();
        let mut behaviours = self.behaviours();
        let mut desk = Desk::new(
            &mut books,
            &mut behaviours,
            &self.0.journal,
            &self.0.settings,
            request,
        );
        let result = work(&mut desk);
        let Desk { events, due, .. } = desk;
        let sent = events
            .iter()
            .map(|event| Sent {
                key: event.key.clone(),
                id: event.id.clone(),
            })
            .collect();
        self.0.courier.send(events);
        self.schedule(due);
        (result, sent)
    }

    fn schedule(&self, due: Vec<Due>) {
        for due in due {
            self.0.timetable.add(due.at_ms(), due);
        }
    }

    fn happen(&self, due: &Due) {
        self.transact(None, |desk| settle::happen(desk, due));
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that was handed over for delivery.
struct Sent {
    key: String,
    id: String,
}
