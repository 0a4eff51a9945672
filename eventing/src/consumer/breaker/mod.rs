//! Holds what would only fail, while something that the handler depends on is down.
//!
//! A run of failures that are alike (see [`Suspects`] for when that proves anything) opens a breaker for the group and the
//! failure's fingerprint. It holds the records of the event types that failed so, from the domain topics, from the retry tiers and
//! parked ones alike, where they are: nothing goes to a topic, no attempt counts, order is kept. One record at a time is tried,
//! after a pause that grows. If it is applied, the breaker closes and everything goes on.
//!
//! - Only first attempts prove anything: what comes back through a tier was selected by having failed.
//! - Only failures that may go right later count: `retry`, and what took too long. `dead` is a verdict about the record
//!   itself (undecodable, of an unknown type, a panic), and waiting makes none of them right.
//! - A record that was tried in vain goes on, so that the next one is another: one that is broken in itself could otherwise hold
//!   the breaker open for ever. It goes to the tier that it came from, not to the next one, so no record dies of being tried.
//! - Events of other types go on. But a worker that holds a record is not free for its other keys, and a partition's
//!   position stays below a held record; so the whole group stands soon, paused by its usual bounds.
//! - The breaker is a row in the group's database that all members share, so a restart finds it open.

mod judge;
mod rows;
mod suspects;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::{KeyValue, global};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::envelope::{Envelope, Verdict};
use super::group::ConsumerGroup;
use super::holds::{Holds, Stopped};
use super::metrics::Metrics;
use super::record::Record;
use super::runtime::End;
use rows::{Cause, Probe, Row};
use suspects::Suspects;

/// How soon a member sees what another one opened or closed, and that a record may be tried.
const INTERVAL: Duration = Duration::from_secs(1);

/// What trying a record may take beside the two steps of its handler.
const PROBE_ROOM: Duration = Duration::from_secs(15);

/// When a breaker opens, and how often it lets a record be tried.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// How many different keys have to fail alike in a row, with no event of their types applied in between. 20 by default: more
    /// than twice the workers, so that one bad moment of all of them is not enough; and as many records go to the first
    /// tier before the breaker opens.
    pub keys: usize,
    /// How long ago each of them may have failed. 10 minutes by default: a quiet topic needs long for so many keys.
    pub window: Duration,
    /// How long it waits before the first record is tried; after each that failed, twice as long. 5 seconds by default, which
    /// a restart of what is down may take.
    pub first_pause: Duration,
    /// The longest it waits before a record is tried, and hence how late it is noticed that all is well. A minute by default.
    pub longest_pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            keys: 20,
            window: Duration::from_mins(10),
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_mins(1),
        }
    }
}

/// The breakers of a group, as one member sees them.
#[derive(Debug)]
pub(crate) struct Breakers {
    group: String,
    settings: BreakerSettings,
    /// How long a member may take to try a record.
    lease: Duration,
    pool: PgPool,
    suspects: Mutex<Suspects>,
    /// There are suspects, which every applied event may clear.
    suspecting: AtomicBool,
    open: Arc<watch::Sender<Open>>,
    /// Whoever changes the rows, or reads them all, also changes `open` before the next one does.
    changing: tokio::sync::Mutex<()>,
    holds: Arc<Holds>,
    metrics: Metrics,
}

/// The open breakers, as far as this member knows.
#[derive(Debug, Default)]
struct Open {
    /// They were read at least once: before that, anything might be held.
    known: bool,
    rows: Vec<Row>,
}

/// On what terms a record is worked on.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Nothing holds it.
    Free,
    /// It is tried, to find out whether what was down is back.
    Probe(Probe),
}

/// What follows from how work on a record went.
#[derive(Debug)]
pub(crate) enum Judged {
    Ended(End),
    /// It is held, and to be tried again once it is admitted.
    Held,
}

/// What an open breaker means for a record.
enum Held {
    No,
    /// It may be the one that is tried.
    Due(String),
    Yes,
}

impl Open {
    fn held(&self, event_type: &str) -> Held {
        if !self.known {
            return Held::Yes;
        }
        let mut holding = self
            .rows
            .iter()
            .filter(|row| row.event_types.iter().any(|held| held == event_type));
        let Some(first) = holding.next() else {
            return Held::No;
        };
        std::iter::once(first)
            .chain(holding)
            .find(|row| row.due)
            .map_or(Held::Yes, |row| Held::Due(row.fingerprint.clone()))
    }

    fn reason(&self) -> Option<String> {
        let Row {
            fingerprint,
            class,
            message,
            opened_at,
            ..
        } = self.rows.first()?;
        Some(format!(
            "breaker {fingerprint} is open since {opened_at}, because events fail alike: {class}: {message}"
        ))
    }
}

impl Breakers {
    pub(crate) fn new(group: &ConsumerGroup, pool: PgPool, holds: Arc<Holds>, metrics: Metrics) -> Self {
        let settings = group.breaker.clone();
        let open = Arc::<watch::Sender<Open>>::default();
        observe(&group.name, &open);
        Self {
            group: group.name.clone(),
            lease: group.handler_deadline * 2 + PROBE_ROOM,
            suspects: Mutex::new(Suspects::new(settings.keys, settings.window)),
            suspecting: AtomicBool::new(false),
            settings,
            pool,
            open,
            changing: tokio::sync::Mutex::new(()),
            holds,
            metrics,
        }
    }

    /// Whether no record whatever is held now.
    pub(crate) fn are_closed(&self) -> bool {
        let open = self.open.borrow();
        open.known && open.rows.is_empty()
    }

    /// Whether a record like this one is held now: it must not be worked on together with others.
    pub(crate) fn holds(&self, record: &Record) -> bool {
        !matches!(self.open.borrow().held(record.event_type()), Held::No)
    }

    /// Waits until nothing holds the record, or it is the one to be tried.
    pub(crate) async fn admit(
        &self,
        record: &Record,
        stop: &CancellationToken,
    ) -> Result<Admission, Stopped> {
        if !self.holds(record) {
            return Ok(Admission::Free);
        }
        let began = Instant::now();
        let admitted = tokio::select! {
            () = stop.cancelled() => Err(Stopped),
            admission = self.admitted(record.event_type()) => Ok(admission),
        };
        self.metrics.held(began.elapsed());
        admitted
    }

    async fn admitted(&self, event_type: &str) -> Admission {
        let mut open = self.open.subscribe();
        loop {
            let held = open.borrow_and_update().held(event_type);
            match held {
                Held::No => return Admission::Free,
                Held::Due(fingerprint) => {
                    if let Some(probe) = self.claim(&fingerprint).await {
                        return Admission::Probe(probe);
                    }
                }
                // The sender is ours.
                Held::Yes => drop(open.changed().await),
            }
        }
    }

    /// Takes the right to try a record, which one member of the group has at a time, and one of its workers.
    async fn claim(&self, fingerprint: &str) -> Option<Probe> {
        let mine = self.open.send_if_modified(|open| {
            let mut due = open
                .rows
                .iter_mut()
                .filter(|row| row.due && row.fingerprint == fingerprint);
            due.next().is_some_and(|row| {
                row.due = false;
                true
            })
        });
        if !mine {
            return None;
        }
        rows::claim(&self.pool, &self.group, fingerprint, self.lease)
            .await
            .inspect_err(|error| tracing::warn!(%error, "a breaker's probe could not be claimed"))
            .ok()?
    }

    /// An event was applied, so what records of its type need is there.
    pub(crate) fn applied(&self, record: &Record) {
        if self.suspecting.load(Ordering::Relaxed) {
            let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
            suspects.applied(record.event_type());
            self.suspecting.store(!suspects.is_empty(), Ordering::Relaxed);
        }
    }

    /// Which event types are to be held because of this failure: none, unless it is one of a breaker that is open, or the one
    /// that proves that something is down.
    fn to_hold(&self, record: &Record, envelope: &Envelope, verdict: &Verdict) -> Option<Vec<String>> {
        let event_type = record.event_type();
        let is_open = |row: &Row| row.fingerprint == verdict.fingerprint;
        if self.open.borrow().rows.iter().any(is_open) {
            return Some(vec![event_type.to_owned()]);
        }
        // A tier that is full of poison would look like an outage.
        if envelope.attempts > 0 {
            return None;
        }
        let key = record.key.as_deref().unwrap_or_default();
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let run = suspects.failed(&verdict.fingerprint, event_type, key, Instant::now());
        self.suspecting.store(!suspects.is_empty(), Ordering::Relaxed);
        Some(run?.into_iter().collect())
    }

    async fn open(&self, event_types: &[String], verdict: &Verdict) -> Result<(), sqlx::Error> {
        let _changing = self.changing.lock().await;
        let cause = Cause {
            group: &self.group,
            fingerprint: &verdict.fingerprint,
            event_types,
            class: &verdict.class,
            message: &verdict.message,
        };
        if rows::open(&self.pool, cause, self.settings.first_pause).await? {
            let Cause {
                group,
                fingerprint,
                class,
                message,
                ..
            } = cause;
            tracing::error!(
                group,
                fingerprint,
                class,
                message,
                ?event_types,
                "a breaker opens"
            );
        }
        self.publish(rows::load(&self.pool, &self.group).await?);
        Ok(())
    }

    async fn close(&self, event_type: &str) -> Result<(), sqlx::Error> {
        let _changing = self.changing.lock().await;
        for fingerprint in rows::close(&self.pool, &self.group, event_type).await? {
            tracing::info!(group = self.group, fingerprint, "a breaker closes");
        }
        self.publish(rows::load(&self.pool, &self.group).await?);
        Ok(())
    }

    pub(super) async fn refresh(&self) -> Result<(), sqlx::Error> {
        let _changing = self.changing.lock().await;
        self.publish(rows::load(&self.pool, &self.group).await?);
        Ok(())
    }

    fn publish(&self, rows: Vec<Row>) {
        self.open.send_if_modified(|open| {
            let changed = !open.known || open.rows != rows;
            *open = Open { known: true, rows };
            changed
        });
        let reason = self.open.borrow().reason();
        self.holds.breaker(reason);
    }
}

/// Shows the open breakers as a gauge.
fn observe(group: &str, open: &Arc<watch::Sender<Open>>) {
    let (group, open) = (KeyValue::new("group", group.to_owned()), Arc::downgrade(open));
    // The callback outlives the consumer; what it reads does not.
    global::meter("eventing")
        .u64_observable_gauge("eventing_breaker_open")
        .with_description("1 for each failure because of which a group holds its records")
        .with_callback(move |observer| {
            let Some(open) = open.upgrade() else { return };
            for row in &open.borrow().rows {
                let fingerprint = KeyValue::new("fingerprint", row.fingerprint.clone());
                observer.observe(1, &[group.clone(), fingerprint]);
            }
        })
        .build();
}
