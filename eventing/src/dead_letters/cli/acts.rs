//! Commands that change something, each with who and why.

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;
use uuid::Uuid;

use super::{By, Chosen, Common, told};
use crate::dead_letters::views::{Action, Job, JobState, Plan, Start};
use crate::dead_letters::{self, Changed, Context, Desk, Error, LetterId, Pace};

/// How often a job is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long the last outcomes of a finished job are waited for while none comes: a letter that fails again may be in a retry tier
/// for long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `replay` and `discard` have in common.
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, on its own"
)]
pub struct Act {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    chosen: Chosen,
    /// Also letters that were replayed before; takes ids.
    #[arg(long)]
    again: bool,
    /// Only says what would be done, and keeps that plan for a week.
    #[arg(long, conflicts_with = "plan")]
    dry_run: bool,
    /// Starts this plan.
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["ids", "fingerprint", "error_class", "key", "event_type",
        "since", "until", "all", "again"])]
    plan: Option<Uuid>,
    /// Asks nothing, also when something changed since the plan was made.
    #[arg(long)]
    yes: bool,
    /// Does not wait for the job.
    #[arg(long)]
    detach: bool,
    /// Why; kept with your name. Only --dry-run goes without.
    #[arg(long, required_unless_present = "dry_run",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Who decides this.
    #[arg(long, env = "USER", default_value = "", hide_default_value = true)]
    operator: String,
}

/// `replay`
#[derive(Clone, Debug, Args)]
pub struct Replay {
    #[command(flatten)]
    act: Act,
    /// Letters per second, up to 10,000.
    #[arg(long, default_value_t = Pace::default().rate)]
    rate: u32,
    /// Letters of each fingerprint that go first; the others follow when these were handled.
    #[arg(long, value_name = "LETTERS", default_value_t = 0)]
    canary: u32,
}

/// `discard`
#[derive(Clone, Debug, Args)]
pub struct Discard {
    #[command(flatten)]
    act: Act,
}

/// `jobs`
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, on its own"
)]
pub struct Jobs {
    #[command(flatten)]
    common: Common,
    /// One job; all of them, newest first, if left out.
    job: Option<Uuid>,
    /// Waits until it ends, and shows how far it is.
    #[arg(long, requires = "job")]
    watch: bool,
    /// Has it wait.
    #[arg(long, requires = "job", requires = "reason", conflicts_with_all = ["resume", "cancel", "watch"])]
    pause: bool,
    /// Lets it go on; one that its canary stopped then goes on without one.
    #[arg(long, requires = "job", requires = "reason", conflicts_with_all = ["cancel", "watch"])]
    resume: bool,
    /// Ends it; letters that it did not come to are new again.
    #[arg(long, requires = "job", requires = "reason", conflicts_with = "watch")]
    cancel: bool,
    /// Why; kept with your name.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Who decides this.
    #[arg(long, env = "USER", default_value = "", hide_default_value = true)]
    operator: String,
    /// The most jobs to print, up to 1,000.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Goes on where the list before ended: its `next`.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

/// `undo`
#[derive(Clone, Debug, Args)]
pub struct Undo {
    #[command(flatten)]
    common: Common,
    /// Discarded letters by id, such as 3-17.
    #[arg(required_unless_present = "job", conflicts_with = "job")]
    ids: Vec<LetterId>,
    /// Everything that this job discarded.
    #[arg(long)]
    job: Option<Uuid>,
    #[command(flatten)]
    by: By,
}

/// `reindex`
#[derive(Clone, Debug, Args)]
pub struct Reindex {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    by: By,
}

impl Replay {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let pace = Pace {
            rate: self.rate,
            canary: self.canary,
        };
        self.act.run(context, Action::Replay, pace, out).await
    }
}

impl Discard {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let pace = Pace::default();
        self.act.run(context, Action::Discard, pace, out).await
    }
}

impl Act {
    async fn run(
        self,
        context: &Context<'_>,
        action: Action,
        pace: Pace,
        out: &mut impl Write,
    ) -> Result<(), Error> {
        let desk = self.common.current(context).await?;
        let plan = if let Some(plan) = self.plan {
            desk.planned(plan).await?.0
        } else {
            let selection = self.chosen.selection(self.again)?;
            desk.plan(action, &selection, pace).await?
        };
        if plan.action != action {
            let (is, not) = (plan.action.as_str(), action.as_str());
            return Err(Error::Refused(format!("plan {} is a {is}, not a {not}", plan.id)));
        }
        if self.dry_run {
            return self.tell_plan(&plan, out);
        }
        if !self.common.json {
            told::plan(&plan, out)?;
        }
        if !self.agreed(&plan)? {
            return Err(Error::Refused("nothing was done".to_owned()));
        }
        let by = dead_letters::Decision::new(&self.operator, self.reason.as_deref().unwrap_or_default())?;
        let changed = if self.yes {
            Changed::Accept
        } else {
            Changed::Refuse
        };
        match desk.start(plan.id, &by, changed).await? {
            Start::Started(job) => self.follow(&desk, *job, out).await,
            Start::Changed { plan, changes } => {
                self.tell_plan(&plan, out)?;
                Err(Error::Refused(format!(
                    "something changed since the plan was made: {}; start the new plan with --plan {}, or say --yes",
                    changes.join("; "),
                    plan.id
                )))
            }
        }
    }

    fn tell_plan(&self, plan: &Plan, out: &mut impl Write) -> Result<(), Error> {
        self.common.tell(plan, out, told::plan)
    }

    /// Whoever sits at a terminal is asked; a script has said what it wants.
    fn agreed(&self, plan: &Plan) -> Result<bool, Error> {
        if self.yes || self.common.json || !std::io::stdin().is_terminal() {
            return Ok(true);
        }
        eprint!("{} {} letters? [y/N] ", plan.action.as_str(), plan.letters);
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    async fn follow(&self, desk: &Desk, job: Job, out: &mut impl Write) -> Result<(), Error> {
        let mut job = job;
        if !self.detach {
            if job.serving == 0 && job.action == Action::Discard {
                desk.discard_here(job.id).await?;
            }
            if job.serving > 0 || job.action == Action::Discard {
                job = watch(desk, job).await?;
            }
        }
        self.common.tell(&job, out, told::begun)?;
        if self.common.json {
            return Ok(());
        }
        ended_well(&job)
    }
}

/// A job that stopped is not what was asked for.
fn ended_well(job: &Job) -> Result<(), Error> {
    match (job.state, &job.note) {
        (JobState::Stopped, Some(note)) => Err(Error::Refused(format!("job {} stopped: {note}", job.id))),
        _ => Ok(()),
    }
}

/// Waits until a job ends, and says on the terminal how far it is. Whoever goes away leaves it running.
async fn watch(desk: &Desk, mut job: Job) -> Result<Job, Error> {
    let mut seen = (job.done, job.handled, job.failed_again);
    let mut moved_at = Instant::now();
    let mut line = told::Progress::default();
    loop {
        line.show(&job);
        let over = match job.state {
            JobState::Running => {
                job.serving == 0 && job.action == Action::Replay && moved_at.elapsed() > PATIENCE
            }
            JobState::Finished => job.in_flight == 0 || moved_at.elapsed() > PATIENCE,
            JobState::Paused | JobState::Stopped | JobState::Cancelled => true,
        };
        if over {
            line.end();
            return Ok(job);
        }
        tokio::time::sleep(INTERVAL).await;
        job = desk.job(job.id).await?;
        let now = (job.done, job.handled, job.failed_again);
        if now != seen {
            (seen, moved_at) = (now, Instant::now());
        }
    }
}

impl Jobs {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.desk(context)?;
        let Some(id) = self.job else {
            let page = desk.jobs(self.after.as_deref(), self.limit).await?;
            return self.common.tell_page(&page, out, told::jobs);
        };
        let by = || dead_letters::Decision::new(&self.operator, self.reason.as_deref().unwrap_or_default());
        let job = match (self.pause, self.resume, self.cancel) {
            (true, _, _) => desk.pause(id, &by()?).await?,
            (_, true, _) => desk.resume(id, &by()?).await?,
            (_, _, true) => desk.cancel(id, &by()?).await?,
            _ if self.watch => watch(&desk, desk.job(id).await?).await?,
            _ => desk.job(id).await?,
        };
        self.common.tell(&job, out, told::job)
    }
}

impl Undo {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.desk(context)?;
        let what = match self.job {
            Some(job) => dead_letters::Undo::Job(job),
            None => dead_letters::Undo::Letters(self.ids.clone()),
        };
        let undone = desk.undo(&what, &self.by.decision()?).await?;
        self.common.tell(&undone, out, told::undone)?;
        match undone.refused.first() {
            Some((id, reason)) if undone.letters.is_empty() => {
                Err(Error::Refused(format!("letter {id} stays discarded: {reason}")))
            }
            _ => Ok(()),
        }
    }
}

impl Reindex {
    pub(super) async fn run(self, context: &Context<'_>, out: &mut impl Write) -> Result<(), Error> {
        let desk = self.common.desk(context)?;
        let letters = desk.reindex(&self.by.decision()?).await?;
        let answer = serde_json::json!({ "letters": letters });
        self.common.tell(&answer, out, |_, out| {
            Ok(writeln!(out, "the index was built anew: {letters} letters")?)
        })
    }
}
