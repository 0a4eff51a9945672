//! What operators are shown. Everything here can be serialised, and holds no more than the topic and the group's tables do.

mod jobs;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::id::LetterId;

pub use jobs::{Job, JobState, LeftOut, Plan, PlannedFailure, Start};

/// What was done to a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing yet.
    New,
    /// It belongs to a job that has not come to it yet.
    Taken,
    /// It was sent to the group's first tier.
    Replayed,
    /// It was given up.
    Discarded,
    /// It is a second record of the same failure, written because a process died in between; nothing is done to it.
    Copy,
}

impl State {
    /// The word in tables, JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Taken => "taken",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
            Self::Copy => "copy",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [
            Self::New,
            Self::Taken,
            Self::Replayed,
            Self::Discarded,
            Self::Copy,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// What a job does to its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sends them to the group's first tier, due now.
    Replay,
    /// Gives them up.
    Discard,
}

impl Action {
    /// The word in tables, JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    /// In their order.
    pub rows: Vec<T>,
    /// Where the next page begins; none on the last one. Opaque.
    pub next: Option<String>,
}

/// Failures that look alike. Copies are not counted.
#[derive(Clone, Debug, Serialize)]
pub struct FailureGroup {
    /// By which they are told to be alike; empty for records that no consumer group wrote.
    pub fingerprint: String,
    /// The class of the newest one.
    pub error_class: String,
    /// The message of the newest one.
    pub message: String,
    /// The newest one.
    pub example: LetterId,
    /// All of them.
    pub letters: u64,
    /// Those to which nothing was done.
    pub new: u64,
    /// Those that a job has not come to yet.
    pub taken: u64,
    /// Those that were sent again.
    pub replayed: u64,
    /// Those that were given up.
    pub discarded: u64,
    /// When the first of them failed first.
    pub first_seen_at: Timestamp,
    /// When the last of them became a letter.
    pub last_seen_at: Timestamp,
}

/// What a list shows of a letter.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its id.
    pub id: LetterId,
    /// What was done to it.
    pub state: State,
    /// When it became a letter.
    pub died_at: Timestamp,
    /// When its event failed first.
    pub first_failed_at: Option<Timestamp>,
    /// The original record: topic/partition/offset; `-` when no consumer group wrote the letter.
    pub source: String,
    /// The record's key, printable.
    pub key: String,
    /// The event's number within its aggregate.
    pub sequence: Option<i64>,
    /// The event's type, as far as it can be told.
    pub event_type: Option<String>,
    /// The class of the last failure.
    pub error_class: String,
    /// The fingerprint of the last failure.
    pub fingerprint: String,
    /// The message of the last failure.
    pub message: String,
    /// How often its event was tried.
    pub attempts: Option<u32>,
    /// The job that has done its state.
    pub job: Option<Uuid>,
    /// The letter that it was before it was replayed.
    pub earlier: Option<LetterId>,
    /// The letter that it became when it failed again.
    pub later: Option<LetterId>,
    /// The letter that it is a copy of.
    pub copy_of: Option<LetterId>,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// When it failed.
    pub at: Timestamp,
    /// The retry tier that the record was read from; 0 for the domain topic.
    pub tier: u32,
    /// The failure's class.
    pub class: String,
    /// The failure's fingerprint.
    pub fingerprint: String,
}

/// Something that was done to a letter.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// The job.
    pub job: Uuid,
    /// What it did.
    pub action: Action,
    /// What became of it: `waiting`, `sent`, `discarded`, `released`, `undone`, and of one that was sent `handled` or `failed`.
    pub outcome: String,
    /// Who asked for it.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// When it was done, or asked for.
    pub at: Timestamp,
}

/// All that is known about one letter.
#[derive(Clone, Debug, Serialize)]
pub struct Detail {
    /// What a list shows.
    pub letter: Summary,
    /// What was done to it, newest first.
    pub done: Vec<Done>,
    /// The letters that it was before, oldest first.
    pub earlier_letters: Vec<LetterId>,
    /// The letters that it became, oldest first.
    pub later_letters: Vec<LetterId>,
    /// The failed attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The decoded event.
    pub event: Option<Value>,
    /// Why there is no event.
    pub undecodable: Option<String>,
    /// The size of its value.
    pub value_bytes: Option<usize>,
    /// Its headers, printable.
    pub headers: Vec<(String, Option<String>)>,
}

/// What came of an undo.
#[derive(Clone, Debug, Serialize)]
pub struct Undone {
    /// Letters that are new again.
    pub letters: Vec<LetterId>,
    /// Letters that stay discarded, and why.
    pub refused: Vec<(LetterId, String)>,
}

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize)]
pub struct AuditEntry {
    /// Counted up.
    pub id: i64,
    /// When it was written, which is before it was done.
    pub at: Timestamp,
    /// What: `replay`, `discard`, `undo`, `pause`, `resume`, `cancel`, `reindex`, `accept`.
    pub action: String,
    /// Who.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// To what, in words.
    pub subject: String,
    /// How many letters it concerns.
    pub letters: u64,
    /// The job that it is about.
    pub job: Option<Uuid>,
}

/// How many letters of a selection would pass now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// How many were tried.
    pub letters: u64,
    /// How many would be handled.
    pub pass: u64,
    /// By outcome, most first.
    pub outcomes: Vec<PreflightOutcome>,
    /// The handler's version.
    pub handler_version: String,
}

/// Letters that would end alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreflightOutcome {
    /// `pass`, `duplicate`, `waits` (behind an earlier event that is not in the selection), `skipped`, `retry` or `dead`.
    pub outcome: String,
    /// The failure's class, of those that would fail.
    pub error_class: Option<String>,
    /// The failure's message, of one of them.
    pub message: Option<String>,
    /// How many.
    pub letters: u64,
    /// One of them.
    pub example: LetterId,
}

/// A replica that serves the group.
#[derive(Clone, Debug, Serialize)]
pub struct Replica {
    /// Its name.
    pub owner: String,
    /// The version of its handler.
    pub handler_version: String,
    /// When it was last seen.
    pub seen_at: Timestamp,
}
