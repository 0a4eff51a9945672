//! The time since the run began, and what happened when.

use std::sync::{Arc, Mutex, PoisonError};

use eventing::Clock;
use jiff::Timestamp;

use super::model::{Happening, Millis};

/// Cloning is cheap, and all clones share what happened.
#[derive(Debug, Clone)]
pub struct Timeline {
    began: Timestamp,
    happenings: Arc<Mutex<Vec<Happening>>>,
}

impl Timeline {
    /// A run that began at this moment.
    pub fn since(began: Timestamp) -> Self {
        Self {
            began,
            happenings: Arc::default(),
        }
    }

    /// Milliseconds since the run began.
    pub fn now(&self) -> Millis {
        self.at(Clock::system().now())
    }

    /// The same, of another moment.
    pub fn at(&self, moment: Timestamp) -> Millis {
        moment.as_millisecond() - self.began.as_millisecond()
    }

    /// When the run began.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Notes that something happened, and says so.
    pub fn note(&self, what: impl Into<String>) {
        let happening = Happening {
            at: self.now(),
            what: what.into(),
        };
        println!("{}  {}", seconds(happening.at), happening.what);
        self.lock().push(happening);
    }

    /// All that happened.
    pub fn happenings(&self) -> Vec<Happening> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Happening>> {
        self.happenings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds as seconds, for people.
pub fn seconds(at: Millis) -> String {
    format!("{:>5}.{:03} s", at / 1000, at.rem_euclid(1000))
}
