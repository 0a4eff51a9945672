//! Where operators see a group's dead letters and decide about them: what the subcommand and the pages are made of.

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::id::LetterId;
use super::jobs::Order;
use super::selection::{Filter, Selection};
use super::views::{
    Action, AuditEntry, Detail, FailureGroup, Job, Page, Plan, Preflight, Replica, Start, Summary, Undone,
};
use super::work::Worker;
use super::{Error, audit, detail, export, index, jobs, lists, plans, preflight, replicas, serve, undo};
use crate::consumer::{self, ConsumerGroup, Delivery, Failure, Gap, Resources};

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
    /// The group's name.
    fn group(&self) -> &str;

    /// Runs the handler over these events, one after the other in one transaction, and rolls back; answers what became
    /// of each, up to the first that failed.
    fn rehearse(&self, deliveries: Vec<Delivery>) -> BoxFuture<'_, Vec<Result<(), Failure>>>;
}

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
        index::catch_up(&self.group, &self.resources).await
    }

    /// How many records of the topic are not in the index yet.
    pub async fn behind(&self) -> Result<u64, Error> {
        index::behind(&self.group, &self.resources).await
    }

    /// The replicas that serve the group, and so run jobs.
    pub async fn serving(&self) -> Result<Vec<Replica>, Error> {
        let mut connection = self.resources.pool.acquire().await?;
        Ok(replicas::list(&mut connection, &self.group.name).await?)
    }

    /// Failures by fingerprint, those seen last first.
    pub async fn groups(&self) -> Result<Vec<FailureGroup>, Error> {
        Ok(lists::groups(&self.resources.pool, &self.group.name).await?)
    }

    /// Letters, newest first. `after` is the `next` of the page before.
    pub async fn letters(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Summary>, Error> {
        lists::letters(
            &self.resources.pool,
            &self.group.name,
            filter,
            after,
            bounded(limit),
        )
        .await
    }

    /// All that is known about one letter.
    pub async fn letter(&self, id: LetterId) -> Result<Detail, Error> {
        detail::letter(&self.group, &self.resources, id).await
    }

    /// Says what a job would do, and keeps that for a week. `pace` means nothing to a discard.
    pub async fn plan(&self, action: Action, selection: &Selection, pace: Pace) -> Result<Plan, Error> {
        plans::make(&self.group, &self.resources, action, selection, pace).await
    }

    /// A plan that was made earlier, with what changed since, in words.
    pub async fn planned(&self, plan: Uuid) -> Result<(Plan, Vec<String>), Error> {
        plans::look(&self.group, &self.resources, plan).await
    }

    /// Starts a plan, once. It is written into the audit log before anything is done, and serving replicas do it.
    pub async fn start(&self, plan: Uuid, by: &Decision, changed: Changed) -> Result<Start, Error> {
        plans::start(&self.group, &self.resources, plan, by, changed).await
    }

    /// Jobs, newest first. `after` is the `next` of the page before.
    pub async fn jobs(&self, after: Option<&str>, limit: u32) -> Result<Page<Job>, Error> {
        jobs::list(&self.resources.pool, &self.group.name, after, bounded(limit)).await
    }

    /// A job, and how far it is.
    pub async fn job(&self, id: Uuid) -> Result<Job, Error> {
        jobs::get(&self.resources.pool, &self.group.name, id).await
    }

    /// Has a running job wait.
    pub async fn pause(&self, job: Uuid, by: &Decision) -> Result<Job, Error> {
        jobs::order(&self.group, &self.resources, job, Order::Pause, by).await
    }

    /// Lets a paused or stopped job go on; a stopped one without waiting for its canary any more.
    pub async fn resume(&self, job: Uuid, by: &Decision) -> Result<Job, Error> {
        jobs::order(&self.group, &self.resources, job, Order::Resume, by).await
    }

    /// Ends a job. Letters that it did not come to are new again.
    pub async fn cancel(&self, job: Uuid, by: &Decision) -> Result<Job, Error> {
        jobs::order(&self.group, &self.resources, job, Order::Cancel, by).await
    }

    /// Takes a discard back, as far as that can be done: in an ordered group until a later event of the key was applied.
    pub async fn undo(&self, what: &Undo, by: &Decision) -> Result<Undone, Error> {
        undo::undo(&self.group, &self.resources, what, by).await
    }

    /// What operators did, newest first. `after` is the `next` of the page before.
    pub async fn audit(&self, after: Option<&str>, limit: u32) -> Result<Page<AuditEntry>, Error> {
        audit::list(&self.resources.pool, &self.group.name, after, bounded(limit)).await
    }

    /// Aggregates whose next event nobody has seen, those that wait longest first; `key` for one aggregate.
    pub async fn gaps(&self, key: Option<&str>, limit: u32) -> Result<Vec<Gap>, Error> {
        let (pool, group) = (&self.resources.pool, &self.group.name);
        Ok(consumer::gaps::list(pool, group, key, i64::from(bounded(limit))).await?)
    }

    /// Moves an aggregate on past a gap as it was seen; refused when something has come meanwhile.
    pub async fn accept(&self, gap: &Gap, by: &Decision) -> Result<(), Error> {
        let mut tx = self.resources.pool.begin().await?;
        let Gap { topic, key, .. } = gap;
        let missing = format!("{}–{} of {key} on {topic}", gap.first_missing, gap.last_missing);
        let entry = audit::Entry {
            group: &self.group.name,
            action: "accept",
            by,
            subject: &missing,
            letters: 0,
            job: None,
        };
        audit::write(&mut tx, &entry, self.resources.clock.now()).await?;
        if !consumer::gaps::accept(&mut tx, &self.group.name, gap).await? {
            return Err(Error::Refused(format!(
                "the gap {missing} is not as it was: something has come meanwhile; look again"
            )));
        }
        Ok(tx.commit().await?)
    }

    /// Builds the index anew from the topic, and answers how many letters are in it. What was done to letters stays.
    pub async fn reindex(&self, by: &Decision) -> Result<u64, Error> {
        index::rebuild(&self.group, &self.resources, by).await
    }

    /// Letters in chunks of a file.
    pub fn export(
        &self,
        filter: &Filter,
        format: Format,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        export::export(self.group.clone(), self.resources.clone(), filter.clone(), format)
    }

    /// Runs the handler over letters and rolls back: how many would pass now.
    pub async fn preflight(
        &self,
        selection: &Selection,
        rehearsal: &dyn Rehearsal,
    ) -> Result<Preflight, Error> {
        preflight::preflight(&self.group, &self.resources, selection, rehearsal).await
    }

    /// Does a discard here rather than on a serving replica, unless one has begun with it: no replica need serve.
    pub async fn discard_here(&self, job: Uuid) -> Result<(), Error> {
        let owner = serve::owner();
        let worker = Worker {
            group: &self.group,
            resources: &self.resources,
            owner: &owner,
        };
        worker.work(Some(job), &CancellationToken::new()).await?;
        Ok(())
    }
}

/// The most rows of a page.
const MAX_ROWS: u32 = 1_000;

fn bounded(limit: u32) -> u32 {
    limit.clamp(1, MAX_ROWS)
}
