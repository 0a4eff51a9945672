//! Sends signed webhooks: at least once, each object's events in order, retried until the receiver answers 2xx.
//!
//! Events with the same key form a lane; a lane delivers one event at a time and different lanes deliver side by
//! side. A lane exists while it has events, and owns one task. What misbehaves on demand is the mode, and it acts
//! at delivery: an event that was created before `held` was ordered is held too.

mod lane;
mod parcel;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

pub(crate) use self::parcel::Parcel;
use self::state::State;
use crate::journal::Journal;
use crate::{clock, http_client};

/// So many deliveries are under way at once to one receiver.
const MAX_IN_FLIGHT: usize = 16;
/// One attempt, from connecting to the end of the answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a misbehaving mode the answer to the request should overtake the webhook, as it usually does in reality.
const LAG: Duration = Duration::from_millis(50);

/// How webhooks are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Once, in order, soon after the answer.
    #[default]
    Normal,
    /// Each event twice, with the same id.
    Duplicate,
    /// Events of one object are collected until none came for a while, then sent newest first.
    Reversed,
    /// Nothing is sent until released.
    Held,
    /// The answer to the request waits until the webhook was accepted.
    BeforeAnswer,
}

/// In which order held events are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReleaseOrder {
    #[default]
    Kept,
    Reversed,
}

/// Where webhooks go; no URL means that none are sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    pub(crate) url: Option<Url>,
    pub(crate) secrets: Vec<String>,
}

/// What distinguishes the PSP's courier from the bank's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Livery {
    /// Under which kind undelivered events are kept in the journal.
    pub(crate) journal_kind: &'static str,
    pub(crate) signature_header: &'static str,
    pub(crate) user_agent: &'static str,
}

/// Cheap to clone; all clones share the lanes.
#[derive(Debug, Clone)]
pub(crate) struct Courier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    livery: Livery,
    client: reqwest::Client,
    journal: Arc<Journal>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    in_flight: Semaphore,
    state: Mutex<State>,
    mode_changed: watch::Sender<()>,
    delivered: watch::Sender<()>,
}

impl Courier {
    pub(crate) fn new(
        livery: Livery,
        target: Target,
        journal: Arc<Journal>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self(Arc::new(Inner {
            livery,
            client: http_client::build(ATTEMPT_TIMEOUT)?,
            journal,
            tasks,
            shutdown,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            state: Mutex::new(State::new(target)),
            mode_changed: watch::Sender::new(()),
            delivered: watch::Sender::new(()),
        })))
    }

    /// Takes parcels over for delivery. Callers hold the lock of their books, so that the order of parcels is the
    /// order of changes.
    pub(crate) fn send(&self, parcels: Vec<Parcel>) {
        for parcel in parcels {
            if self.state().target.url.is_none() {
                continue;
            }
            self.0
                .journal
                .keep(self.0.livery.journal_kind, &parcel.id, &parcel);
            self.enqueue(parcel);
        }
    }

    /// Takes over what an earlier run did not deliver.
    pub(crate) fn resume(&self, parcels: Vec<Parcel>) {
        for parcel in parcels {
            self.enqueue(parcel);
        }
    }

    fn enqueue(&self, parcel: Parcel) {
        let key = parcel.key.clone();
        let mut state = self.state();
        let lag = if state.mode == Mode::Normal {
            LAG
        } else {
            Duration::ZERO
        };
        if state.push(parcel, clock::unix_millis(), lag) == state::Pushed::NewLane {
            self.0.tasks.spawn(lane::run(self.clone(), key));
        }
    }

    /// Waits until the parcels are delivered, at most `limit`; tells whether they were.
    pub(crate) async fn wait_until_delivered(&self, key: &str, ids: &[String], limit: Duration) -> bool {
        let mut delivered = self.0.delivered.subscribe();
        let wait = async {
            loop {
                delivered.borrow_and_update();
                if !self.state().holds_any(key, ids) {
                    break;
                }
                if delivered.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    pub(crate) fn mode(&self) -> Mode {
        self.state().mode
    }

    pub(crate) fn set_mode(&self, mode: Mode, window: Duration) {
        let mut state = self.state();
        state.mode = mode;
        state.window = window;
        drop(state);
        self.0.mode_changed.send_replace(());
    }

    /// Back to normal; tells how many events are on their way now.
    pub(crate) fn release(&self, order: ReleaseOrder) -> usize {
        let mut state = self.state();
        state.mode = Mode::Normal;
        if order == ReleaseOrder::Reversed {
            state.reverse_lanes();
        }
        let released = state.pending();
        drop(state);
        self.0.mode_changed.send_replace(());
        released
    }

    pub(crate) fn set_target(&self, target: Target) {
        self.state().target = target;
        self.0.mode_changed.send_replace(());
    }

    pub(crate) fn secrets(&self) -> Vec<String> {
        self.state().target.secrets.clone()
    }

    /// For `GET` in the control API.
    pub(crate) fn describe(&self) -> Value {
        let state = self.state();
        json!({
            "mode": state.mode,
            "url": state.target.url.as_ref().map(Url::as_str),
            "pending": state.pending(),
            "delivered": state.delivered,
            "abandoned": state.abandoned,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
