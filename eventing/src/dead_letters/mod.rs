//! Dead letters: what a group could not apply, and what operators do about it.
//!
//! The group's dead-letter topic is the truth about letters, its database the truth about what was done to them. A letter is
//! named by its partition and offset on that topic, as in `3-17`. Nothing ever deletes one.

pub(crate) mod audit;
mod chosen;
pub mod cli;
mod cursor;
mod desk;
mod detail;
mod export;
mod id;
mod index;
mod jobs;
mod lease;
mod letter;
mod lists;
mod matching;
mod plans;
mod preflight;
mod replicas;
mod requests;
mod selection;
mod serve;
pub(crate) mod topic;
mod undo;
mod views;
mod work;

use sqlx::PgConnection;

pub use desk::{Changed, Decision, Desk, Format, Pace, Rehearsal, Undo};
pub use id::{LetterId, NoLetterId};
pub use preflight::rehearsal;
pub use selection::{Filter, Selection};
pub use views::{
    Action, Attempt, AuditEntry, Detail, Done, FailureGroup, Job, JobState, LeftOut, Page, Plan,
    PlannedFailure, Preflight, PreflightOutcome, Replica, Start, State, Summary, Undone,
};

pub(crate) use requests::{Request, remove_request, take_requests};
pub(crate) use serve::serve;

use crate::consumer::{ConsumerGroup, Resources};

/// What the command works on.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The binary's consumer groups.
    pub groups: &'a [ConsumerGroup],
    /// Where their topics and tables are.
    pub resources: &'a Resources,
    /// The handlers that `preflight` tries; a group whose handler is not among them cannot be tried.
    pub rehearsals: &'a [Box<dyn Rehearsal>],
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// A record of a domain topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The domain topic.
    pub topic: String,
    /// The record's partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
}

/// Why a command on dead letters could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The group's database failed.
    #[error("the group's database failed")]
    Database(#[from] sqlx::Error),
    /// Kafka failed.
    #[error("kafka failed: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The answer could not be written.
    #[error("the output could not be written")]
    Output(#[from] std::io::Error),
    /// What was asked for is not there; the text is for the operator.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for is not allowed, or means nothing; the text is for the operator.
    #[error("{0}")]
    Refused(String),
}

impl From<NoLetterId> for Error {
    fn from(error: NoLetterId) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Puts a record that was applied into the group's dead letters after all, from inside the caller's transaction: for work that
/// was accepted and failed for good later. A running consumer of the group writes the letter soon after the commit.
///
/// `message` must not hold personal data.
pub async fn append(
    tx: &mut PgConnection,
    group: &str,
    source: &Source,
    class: &str,
    message: &str,
) -> Result<(), sqlx::Error> {
    requests::append(tx, group, source, class, message).await
}
