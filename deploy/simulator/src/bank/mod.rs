//! A bank that pays withdrawals out: JSON, `Idempotency-Key`, signed webhooks, and books of what it really paid.
//!
//! A payout is `processing` until the money has arrived (`completed`) or could not be sent (`failed`); money that
//! arrived may still come back (`returned`).

mod answer;
pub(crate) mod behaviour;
mod payout;
mod payouts;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::behaviour::{Behaviours, Fate};
use self::payout::{Payout, PayoutStatus};
use crate::clock;
use crate::courier::{Courier, Livery, Parcel, Target};
use crate::ground::{Ground, OpenError};
use crate::idempotency::Idempotency;
use crate::journal::{Journal, Restored};
use crate::shelf::Shelf;
use crate::timetable::Timetable;

const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_PAYOUTS: usize = 200_000;
const PAYOUTS: &str = "payout";

const LIVERY: Livery = Livery {
    journal_kind: "bank_webhook",
    signature_header: "bank-signature",
    user_agent: "SimulatedBank/1.0",
};

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) api_key: String,
    /// How long a payout is `processing`, and how long a completed one takes to come back.
    pub(crate) answer_ms: i64,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bank(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    payouts: Mutex<Shelf<Payout>>,
    behaviours: Mutex<Behaviours>,
    idempotency: Idempotency,
    courier: Courier,
    journal: Arc<Journal>,
    timetable: Timetable<String>,
    tasks: TaskTracker,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReturnError {
    #[error("no payout of withdrawal {0} is known")]
    Unknown(String),
    #[error("the payout of withdrawal {withdrawal_no} is {status}; only a completed one can come back")]
    NotCompleted {
        withdrawal_no: String,
        status: &'static str,
    },
}

impl Bank {
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
        let mut payouts = Shelf::new(MAX_PAYOUTS);
        let mut unfinished = Vec::new();
        for payout in restored.take::<Payout>(PAYOUTS)? {
            unfinished.extend(payout.next_change_ms().map(|at_ms| (at_ms, payout.id.clone())));
            let id = payout.id.clone();
            payouts.put(&id, payout);
        }
        let bank = Self(Arc::new(Inner {
            settings,
            payouts: Mutex::new(payouts),
            behaviours: Mutex::new(Behaviours::new()),
            idempotency: Idempotency::restore("bank_idempotency", restored, Arc::clone(&journal))?,
            courier,
            journal,
            timetable: Timetable::new(),
            tasks: tasks.clone(),
        }));
        bank.0.courier.resume(undelivered);
        for (at_ms, id) in unfinished {
            bank.0.timetable.add(at_ms, id);
        }
        let runner = bank.clone();
        tasks.spawn(async move { runner.0.timetable.run(&shutdown, |id| runner.come_due(&id)).await });
        Ok(bank)
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/v1/payouts", post(payouts::create).get(payouts::list))
            .route("/v1/payouts/{id}", get(payouts::get))
            .fallback(answer::no_such_route)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self.clone())
    }

    pub(crate) fn courier(&self) -> &Courier {
        &self.0.courier
    }

    pub(crate) fn behaviours(&self) -> MutexGuard<'_, Behaviours> {
        self.0.behaviours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `GET /control/books/bank`.
    pub(crate) fn report(&self) -> Value {
        let payouts = self.payouts();
        let lines: Vec<Value> = payouts
            .iter()
            .map(|payout| {
                json!({
                    "withdrawal_no": payout.withdrawal_no(),
                    "id": payout.id,
                    "amount": payout.amount,
                    "currency": payout.currency,
                    "status": payout.status.word(),
                })
            })
            .collect();
        json!({ "payouts": lines, "forgotten": payouts.forgotten() })
    }

    /// The money of a completed payout comes back, now.
    pub(crate) fn return_payout(&self, withdrawal_no: &str) -> Result<Value, ReturnError> {
        let mut payouts = self.payouts();
        let newest = payouts
            .iter()
            .rev()
            .find(|payout| payout.withdrawal_no() == Some(withdrawal_no))
            .cloned();
        let Some(mut payout) = newest else {
            return Err(ReturnError::Unknown(withdrawal_no.to_owned()));
        };
        if !matches!(payout.status, PayoutStatus::Completed { .. }) {
            let withdrawal_no = withdrawal_no.to_owned();
            return Err(ReturnError::NotCompleted {
                withdrawal_no,
                status: payout.status.word(),
            });
        }
        payout.status = PayoutStatus::Returned;
        let rendered = payout.render();
        self.change(&mut payouts, payout);
        Ok(rendered)
    }

    /// Whose time has come moves on by one step.
    fn come_due(&self, id: &str) {
        let mut payouts = self.payouts();
        let Some(mut payout) = payouts.get(id).cloned() else {
            return;
        };
        let now_ms = clock::unix_millis();
        if payout.next_change_ms().is_none_or(|at_ms| at_ms > now_ms) {
            return;
        }
        payout.status = match payout.status {
            PayoutStatus::Processing { fate: Fate::Fail, .. } => PayoutStatus::Failed,
            PayoutStatus::Processing {
                fate: Fate::Complete, ..
            } => PayoutStatus::Completed { returns_at_ms: None },
            PayoutStatus::Processing {
                fate: Fate::Return, ..
            } => PayoutStatus::Completed {
                returns_at_ms: Some(now_ms.saturating_add(self.0.settings.answer_ms)),
            },
            PayoutStatus::Completed { .. } => PayoutStatus::Returned,
            PayoutStatus::Failed | PayoutStatus::Returned => return,
        };
        self.change(&mut payouts, payout);
    }

    /// Saves a payout's new status, tells its owner, and notes when it changes next.
    fn change(&self, payouts: &mut Shelf<Payout>, payout: Payout) {
        let id = format!("bev_{}", Uuid::now_v7().simple());
        let event = json!({
            "id": id,
            "type": format!("payout.{}", payout.status.word()),
            "created": clock::unix_seconds(),
            "data": { "payout": payout.render() },
        });
        let body = serde_json::to_string_pretty(&event).unwrap_or_default();
        self.0.courier.send(vec![Parcel {
            id,
            key: payout.id.clone(),
            body,
        }]);
        self.save(payouts, payout);
    }

    fn save(&self, payouts: &mut Shelf<Payout>, payout: Payout) {
        if let Some(at_ms) = payout.next_change_ms() {
            self.0.timetable.add(at_ms, payout.id.clone());
        }
        self.0.journal.keep(PAYOUTS, &payout.id, &payout);
        let id = payout.id.clone();
        payouts.put(&id, payout);
        for forgotten in payouts.drain_forgotten() {
            self.0.journal.forget(PAYOUTS, &forgotten);
        }
    }

    fn payouts(&self) -> MutexGuard<'_, Shelf<Payout>> {
        self.0.payouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
