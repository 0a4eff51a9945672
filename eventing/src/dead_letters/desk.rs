//! Where operators see a group's dead letters and decide about them: what the subcommand and the pages are made of.

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::Error;
use super::id::LetterId;
use super::selection::{Filter, Selection};
use super::views::{
    Action, AuditEntry, Detail, FailureGroup, Job, Page, Plan, Preflight, Replica, Start, Summary, Undone,
};
use crate::consumer::{ConsumerGroup, Delivery, Failure, Resources};

/// The dead letters of one group. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    group: ConsumerGroup,
    resources: Resources,
}

/// Who decides, and why. Both are kept in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    operator: String,
    reason: String,
}

/// The longest name and reason that are kept, in characters.
const MAX_WORDS: usize = 1_000;

impl Decision {
    /// Refuses an empty name or reason.
    pub fn new(operator: &str, reason: &str) -> Result<Self, Error> {
        let (operator, reason) = (operator.trim(), reason.trim());
        for (what, text) in [("who decides this", operator), ("why", reason)] {
            if text.is_empty() {
                return Err(Error::Refused(format!("say {what}: it is kept in the audit log")));
            }
            if text.chars().count() > MAX_WORDS {
                return Err(Error::Refused(format!(
                    "say {what} in at most {MAX_WORDS} characters"
                )));
            }
        }
        Ok(Self {
            operator: operator.to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// Who.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// How fast a replay goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Letters per second, 1 to 10,000.
    pub rate: u32,
    /// How many letters of each fingerprint go first; the others follow once all of these are handled, and the job stops when
    /// one of them fails again. 0 for none.
    pub canary: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rate: 500, canary: 0 }
    }
}

/// What to do when something changed since the plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Start nothing, and say what changed.
    Refuse,
    /// Start it as things are now.
    Accept,
}

/// What to undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Everything that this job discarded.
    Job(Uuid),
    /// These letters.
    Letters(Vec<LetterId>),
}

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, with the decoded event.
    JsonLines,
    /// Comma-separated values with a line of headings, safe to open in a spreadsheet.
    Csv,
}

/// A group's handler, to be tried on letters.
pub trait Rehearsal: Send + Sync {
    /// Runs the handler over these events, one after the other in one transaction, and rolls back; answers what became of each.
    fn rehearse(&self, deliveries: Vec<Delivery>) -> BoxFuture<'_, Vec<Result<(), Failure>>>;
}

#[expect(clippy::unused_async, reason = "being built")]
impl Desk {
    /// The desk of a group.
    pub fn new(group: &ConsumerGroup, resources: &Resources) -> Self {
        Self {
            group: group.clone(),
            resources: resources.clone(),
        }
    }

    /// The group.
    pub fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    /// Brings the index up to the end that the topic has now. Serving replicas do so all the time.
    pub async fn refresh(&self) -> Result<(), Error> {
        Err(self.unbuilt())
    }

    /// How many records of the topic are not in the index yet.
    pub async fn behind(&self) -> Result<u64, Error> {
        Err(self.unbuilt())
    }

    /// The replicas that serve the group, and so run jobs.
    pub async fn serving(&self) -> Result<Vec<Replica>, Error> {
        Err(self.unbuilt())
    }

    /// Failures by fingerprint, those seen last first.
    pub async fn groups(&self) -> Result<Vec<FailureGroup>, Error> {
        Err(self.unbuilt())
    }

    /// Letters, newest first. `after` is the `next` of the page before.
    pub async fn letters(
        &self,
        _filter: &Filter,
        _after: Option<&str>,
        _limit: u32,
    ) -> Result<Page<Summary>, Error> {
        Err(self.unbuilt())
    }

    /// All that is known about one letter.
    pub async fn letter(&self, _id: LetterId) -> Result<Detail, Error> {
        Err(self.unbuilt())
    }

    /// Says what a job would do, and keeps that for a week. `pace` means nothing to a discard.
    pub async fn plan(&self, _action: Action, _selection: &Selection, _pace: Pace) -> Result<Plan, Error> {
        Err(self.unbuilt())
    }

    /// A plan that was made earlier, with what changed since, in words.
    pub async fn planned(&self, _plan: Uuid) -> Result<(Plan, Vec<String>), Error> {
        Err(self.unbuilt())
    }

    /// Starts a plan, once. It is written into the audit log before anything is done, and serving replicas do it.
    pub async fn start(&self, _plan: Uuid, _by: &Decision, _changed: Changed) -> Result<Start, Error> {
        Err(self.unbuilt())
    }

    /// Jobs, newest first. `after` is the `next` of the page before.
    pub async fn jobs(&self, _after: Option<&str>, _limit: u32) -> Result<Page<Job>, Error> {
        Err(self.unbuilt())
    }

    /// A job, and how far it is.
    pub async fn job(&self, _id: Uuid) -> Result<Job, Error> {
        Err(self.unbuilt())
    }

    /// Has a running job wait.
    pub async fn pause(&self, _job: Uuid, _by: &Decision) -> Result<Job, Error> {
        Err(self.unbuilt())
    }

    /// Lets a paused or stopped job go on; a stopped one without waiting for its canary any more.
    pub async fn resume(&self, _job: Uuid, _by: &Decision) -> Result<Job, Error> {
        Err(self.unbuilt())
    }

    /// Ends a job. Letters that it did not come to are new again.
    pub async fn cancel(&self, _job: Uuid, _by: &Decision) -> Result<Job, Error> {
        Err(self.unbuilt())
    }

    /// Takes a discard back, as far as that can be done: in an ordered group until a later event of the key was applied.
    pub async fn undo(&self, _what: &Undo, _by: &Decision) -> Result<Undone, Error> {
        Err(self.unbuilt())
    }

    /// What operators did, newest first. `after` is the `next` of the page before.
    pub async fn audit(&self, _after: Option<&str>, _limit: u32) -> Result<Page<AuditEntry>, Error> {
        Err(self.unbuilt())
    }

    /// Builds the index anew from the topic, and answers how many letters are in it. What was done to letters stays.
    pub async fn reindex(&self, _by: &Decision) -> Result<u64, Error> {
        Err(self.unbuilt())
    }

    /// Letters in chunks of a file.
    pub fn export(
        &self,
        _filter: &Filter,
        _format: Format,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let unbuilt = self.unbuilt();
        futures::stream::once(async { Err(unbuilt) })
    }

    /// Runs the handler over letters and rolls back: how many would pass now.
    pub async fn preflight(
        &self,
        _selection: &Selection,
        _rehearsal: &dyn Rehearsal,
    ) -> Result<Preflight, Error> {
        Err(self.unbuilt())
    }

    fn unbuilt(&self) -> Error {
        let _ = &self.resources;
        Error::Refused("this is being built".to_owned())
    }
}
