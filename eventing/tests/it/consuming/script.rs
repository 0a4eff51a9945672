//! A handler that does what a test tells it, and writes down what it did.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventing::consumer::{Delivery, Failure, Handler};
use sqlx::PgConnection;
use tokio::sync::Semaphore;

/// What the handler does with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Applies it.
    Apply,
    /// Fails in `prepare`, to be tried again.
    RetryPrepare,
    /// Writes, and then fails, to be tried again.
    Retry,
    /// Writes, and then fails for good.
    Dead,
    /// Writes, and then panics.
    Panic,
    /// Writes, and then never returns.
    Hang,
    /// Ignores that one of its statements failed.
    SwallowError,
}

/// By key and sequence; the last one is next.
type Acts = HashMap<(String, i64), Vec<Act>>;

/// Applies events by writing them into the table `applied`, unless a test says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    acts: Arc<Mutex<Acts>>,
    calls: Arc<Mutex<Vec<Delivery>>>,
    /// How many may apply; taken permits do not come back.
    gate: Option<Arc<Semaphore>>,
    work: Duration,
    by_unique_key: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            acts: Arc::default(),
            calls: Arc::default(),
            gate: None,
            work: Duration::ZERO,
            by_unique_key: false,
        }
    }
}

impl Script {
    /// Of an unordered group: the unique key of what it writes tells a repeated event.
    pub(crate) fn by_unique_key() -> Self {
        Self {
            by_unique_key: true,
            ..Self::default()
        }
    }

    /// What to do with an event, attempt by attempt. After that, and with all other events, it applies.
    pub(crate) fn on(&self, key: &impl ToString, sequence: i64, acts: &[Act]) {
        let acts = acts.iter().rev().copied().collect();
        self.acts
            .lock()
            .unwrap()
            .insert((key.to_string(), sequence), acts);
    }

    /// Lets an event be applied only when a permit was added.
    pub(crate) fn gated(mut self) -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        self.gate = Some(Arc::clone(&gate));
        (self, gate)
    }

    /// How long each event takes.
    pub(crate) fn taking(mut self, work: Duration) -> Self {
        self.work = work;
        self
    }

    /// Every call of `apply` so far.
    pub(crate) fn calls(&self) -> Vec<Delivery> {
        self.calls.lock().unwrap().clone()
    }

    fn act(&self, delivery: &Delivery) -> Act {
        let mut acts = self.acts.lock().unwrap();
        acts.get_mut(&(delivery.key.clone(), delivery.sequence))
            .and_then(Vec::pop)
            .unwrap_or(Act::Apply)
    }

    async fn write(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<(), Failure> {
        let statement = if self.by_unique_key {
            "insert into noted (event_id, key, sequence) values ($1, $2, $3) on conflict do nothing"
        } else {
            "insert into applied (event_id, key, sequence) values ($1, $2, $3)"
        };
        sqlx::query(statement)
            .bind(delivery.event.event_id().uuid())
            .bind(&delivery.key)
            .bind(delivery.sequence)
            .execute(tx)
            .await?;
        Ok(())
    }
}

impl Handler for Script {
    type Prepared = Act;
    type Rows = ();

    async fn prepare(&self, delivery: &Delivery) -> Result<Act, Failure> {
        match self.act(delivery) {
            Act::RetryPrepare => Err(Failure::retry("the other service does not answer").class("no_answer")),
            act => Ok(act),
        }
    }

    async fn apply(
        &self,
        tx: &mut PgConnection,
        (): &mut (),
        delivery: &Delivery,
        act: &Act,
    ) -> Result<(), Failure> {
        self.calls.lock().unwrap().push(delivery.clone());
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        if !self.work.is_zero() {
            tokio::time::sleep(self.work).await;
        }
        self.write(tx, delivery).await?;
        match act {
            Act::Apply | Act::RetryPrepare => Ok(()),
            Act::Retry => Err(Failure::retry(format!("not yet, attempt {}", delivery.attempt))),
            Act::Dead => Err(Failure::dead("never", "it will never go right")),
            Act::Panic => panic!("a handler's mistake"),
            Act::Hang => pending().await,
            Act::SwallowError => {
                let failed = sqlx::query("select 1 / 0").execute(&mut *tx).await;
                assert!(failed.is_err());
                Ok(())
            }
        }
    }
}
