use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Action;

/// Letters of one fingerprint in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFailure {
    /// The fingerprint.
    pub fingerprint: String,
    /// Their class.
    pub error_class: String,
    /// How many of them are in the plan.
    pub letters: u64,
}

/// Letters that match a selection and are not in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Why.
    pub reason: String,
    /// How many.
    pub letters: u64,
}

/// What a job would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// By which it is started.
    pub id: Uuid,
    /// The consumer group.
    pub group: String,
    /// What would be done.
    pub action: Action,
    /// To which letters, in words.
    pub selection: String,
    /// How many letters.
    pub letters: u64,
    /// Of how many keys.
    pub keys: u64,
    /// When the oldest of them became a letter.
    pub oldest: Option<Timestamp>,
    /// When the newest of them became a letter.
    pub newest: Option<Timestamp>,
    /// Them by fingerprint, most first.
    pub failures: Vec<PlannedFailure>,
    /// What matches the selection and is left alone.
    pub left_out: Vec<LeftOut>,
    /// The topic that replayed letters go to.
    pub first_tier: String,
    /// Letters per second; none for a discard.
    pub rate: Option<u32>,
    /// How many letters of each fingerprint go first, alone; 0 for none.
    pub canary: u32,
    /// The version of the handler, on the serving replicas or else here.
    pub handler_version: String,
    /// How many replicas serve the group, and so run jobs.
    pub serving: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// By which it is seen that the letters are others now.
    pub digest: String,
}

/// What came of starting a plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// It runs.
    Started(Box<Job>),
    /// Something changed since it was planned, and nothing was started. The new plan can be started instead.
    Changed {
        /// As things are now.
        plan: Box<Plan>,
        /// What is different, in words.
        changes: Vec<String>,
    },
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// A serving replica works on it, or will.
    Running,
    /// An operator has it wait.
    Paused,
    /// It stopped itself: its canary failed, or it met something that it cannot do.
    Stopped,
    /// An operator ended it.
    Cancelled,
    /// It has done what it was to do.
    Finished,
}

impl JobState {
    /// The word in tables, JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Paused,
            Self::Stopped,
            Self::Cancelled,
            Self::Finished,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// A job, and how far it is.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// The consumer group.
    pub group: String,
    /// What it does.
    pub action: Action,
    /// How far it is.
    pub state: JobState,
    /// Why it is stopped, or what it waits for.
    pub note: Option<String>,
    /// To which letters, in words.
    pub selection: String,
    /// Who asked for it.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// How many letters it has.
    pub letters: u64,
    /// To how many it was done: sent, or discarded.
    pub done: u64,
    /// How many of those that were sent were handled.
    pub handled: u64,
    /// How many of those that were sent are letters again.
    pub failed_again: u64,
    /// How many of those that were sent have no outcome yet.
    pub in_flight: u64,
    /// Letters per second; none for a discard.
    pub rate: Option<u32>,
    /// How many letters of each fingerprint go first, alone; 0 for none.
    pub canary: u32,
    /// How many letters the canary has altogether.
    pub canary_letters: u64,
    /// How many of them have an outcome.
    pub canary_outcomes: u64,
    /// The version of the handler when it was planned.
    pub handler_version: String,
    /// The replica that works on it now.
    pub owner: Option<String>,
    /// How many replicas serve the group, and so run jobs.
    pub serving: u64,
}
