//! What the relay says about itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::Condition;
use crate::outbox::Lane;

/// Joins what is known from several places into one [`Condition`].
#[derive(Debug)]
pub(super) struct Health {
    to: watch::Sender<Condition>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    without_leases: Option<String>,
    holding: BTreeMap<Lane, String>,
    set_aside: i64,
}

impl Health {
    pub(super) fn new(to: watch::Sender<Condition>) -> Self {
        Self {
            to,
            known: Mutex::default(),
        }
    }

    /// Leases can be neither renewed nor taken, and why; `None` once they can.
    pub(super) fn without_leases(&self, reason: Option<String>) {
        self.update(|known| known.without_leases = reason);
    }

    /// Nothing of a lane is published for now, and why.
    pub(super) fn holding(&self, lane: Lane, reason: String) {
        self.update(|known| drop(known.holding.insert(lane, reason)));
    }

    /// The lane's last step succeeded, or it is not ours any more.
    pub(super) fn working(&self, lane: Lane) {
        self.update(|known| drop(known.holding.remove(&lane)));
    }

    /// How many rows are set aside.
    pub(super) fn set_aside(&self, rows: i64) {
        self.update(|known| known.set_aside = rows);
    }

    fn update(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        known.condition().publish(&self.to);
    }
}

impl Known {
    fn condition(&self) -> Condition {
        let reason = self.without_leases.as_ref().or(self.holding.values().next());
        match (reason, self.set_aside) {
            (Some(reason), _) => Condition::Degraded(reason.clone()),
            (None, 1..) => Condition::Degraded(format!(
                "{} outbox rows are set aside and block their aggregates; see `outbox list`",
                self.set_aside
            )),
            (None, _) => Condition::Up,
        }
    }
}
