//! What the relay says about itself.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::Condition;

/// Joins what is known from several places into one [`Condition`].
#[derive(Debug)]
pub(super) struct Health {
    to: watch::Sender<Condition>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    holding: Option<String>,
    set_aside: i64,
}

impl Health {
    pub(super) fn new(to: watch::Sender<Condition>) -> Self {
        Self {
            to,
            known: Mutex::default(),
        }
    }

    /// Nothing is published for now, and why.
    pub(super) fn holding(&self, reason: String) {
        self.update(|known| known.holding = Some(reason));
    }

    /// The last step succeeded.
    pub(super) fn working(&self) {
        self.update(|known| known.holding = None);
    }

    /// Another replica does the work.
    pub(super) fn standing_by(&self) {
        self.update(|known| *known = Known::default());
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
        match (&self.holding, self.set_aside) {
            (Some(reason), _) => Condition::Degraded(reason.clone()),
            (None, 1..) => Condition::Degraded(format!(
                "{} outbox rows are set aside and block their aggregates; see `outbox list`",
                self.set_aside
            )),
            (None, _) => Condition::Up,
        }
    }
}
