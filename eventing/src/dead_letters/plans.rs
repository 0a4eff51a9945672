//! Plans: what a job would do, to be looked at before it is started.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::jobs::{self, New};
use super::matching::{Matching, matching};
use super::selection::Selection;
use super::views::{Action, Plan, Start};
use super::{Changed, Decision, Error, Pace, audit, replicas};
use crate::consumer::{ConsumerGroup, Resources};

/// How long a plan can be started.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The most letters per second that a job may send.
const MAX_RATE: u32 = 10_000;

/// Makes a plan and keeps it.
pub(crate) async fn make(
    group: &ConsumerGroup,
    resources: &Resources,
    action: Action,
    selection: &Selection,
    pace: Pace,
) -> Result<Plan, Error> {
    if pace.rate == 0 || pace.rate > MAX_RATE {
        return Err(Error::Refused(format!(
            "a rate is between 1 and {MAX_RATE} letters per second, not {}",
            pace.rate
        )));
    }
    let canary = match action {
        Action::Replay => pace.canary,
        Action::Discard => 0,
    };
    let now = resources.clock.now();
    let mut tx = resources.pool.begin().await?;
    let matching = matching(&mut tx, &group.name, action, selection, canary).await?;
    let mut plan = Plan {
        id: Uuid::now_v7(),
        group: group.name.clone(),
        action,
        selection: selection.words(),
        letters: 0,
        keys: 0,
        oldest: None,
        newest: None,
        failures: Vec::new(),
        left_out: Vec::new(),
        first_tier: group.retry_topic(1),
        rate: (action == Action::Replay).then_some(pace.rate),
        canary,
        handler_version: String::new(),
        serving: 0,
        made_at: now,
        digest: String::new(),
    };
    fill(&mut plan, &matching, group, &mut tx).await?;
    keep(&mut tx, &plan, selection).await?;
    tx.commit().await?;
    Ok(plan)
}

/// Sets what the letters and replicas are now.
async fn fill(
    plan: &mut Plan,
    matching: &Matching,
    group: &ConsumerGroup,
    tx: &mut PgConnection,
) -> Result<(), Error> {
    let serving = replicas::list(tx, &group.name).await?;
    let mut versions: Vec<&str> = serving
        .iter()
        .map(|replica| replica.handler_version.as_str())
        .collect();
    versions.sort_unstable();
    versions.dedup();
    plan.handler_version = if versions.is_empty() {
        group.version.clone()
    } else {
        versions.join(" and ")
    };
    plan.serving = serving.len() as u64;
    plan.letters = matching.count();
    plan.keys = matching.keys as u64;
    plan.oldest = matching.oldest;
    plan.newest = matching.newest;
    plan.failures.clone_from(&matching.failures);
    plan.left_out.clone_from(&matching.left_out);
    plan.digest.clone_from(&matching.digest);
    Ok(())
}

async fn keep(tx: &mut PgConnection, plan: &Plan, selection: &Selection) -> Result<(), Error> {
    let encode = |error: serde_json::Error| sqlx::Error::Encode(Box::new(error));
    sqlx::query!(
        "delete from eventing.dead_letter_plans where made_at < $1",
        (plan.made_at - KEPT).to_sqlx() as _
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into eventing.dead_letter_plans (id, consumer_group, selection, plan, made_at)
         values ($1, $2, $3, $4, $5)",
        plan.id,
        plan.group,
        serde_json::to_value(selection).map_err(encode)?,
        serde_json::to_value(plan).map_err(encode)?,
        plan.made_at.to_sqlx() as _,
    )
    .execute(tx)
    .await?;
    Ok(())
}

struct Kept {
    plan: Plan,
    selection: Selection,
    job: Option<Uuid>,
}

async fn kept(tx: &mut PgConnection, group: &str, id: Uuid) -> Result<Kept, Error> {
    let row = sqlx::query!(
        "select selection, plan, job_id from eventing.dead_letter_plans
         where id = $1 and consumer_group = $2
         for update",
        id,
        group,
    )
    .fetch_optional(tx)
    .await?;
    let row = row.ok_or_else(|| {
        Error::NotFound(format!(
            "group {group} has no plan {id}; plans are kept for a week"
        ))
    })?;
    let decode = |error: serde_json::Error| sqlx::Error::Decode(Box::new(error));
    Ok(Kept {
        plan: serde_json::from_value(row.plan).map_err(decode)?,
        selection: serde_json::from_value(row.selection).map_err(decode)?,
        job: row.job_id,
    })
}

/// A plan with what changed since it was made, in words.
pub(crate) async fn look(
    group: &ConsumerGroup,
    resources: &Resources,
    id: Uuid,
) -> Result<(Plan, Vec<String>), Error> {
    let mut tx = resources.pool.begin().await?;
    let Kept { plan, selection, .. } = kept(&mut tx, &group.name, id).await?;
    let (_, now) = renewed(&plan, &selection, group, &mut tx, resources.clock.now()).await?;
    let changes = changes(&plan, &now);
    Ok((plan, changes))
}

/// The same plan as things are now.
async fn renewed(
    plan: &Plan,
    selection: &Selection,
    group: &ConsumerGroup,
    tx: &mut PgConnection,
    now: Timestamp,
) -> Result<(Matching, Plan), Error> {
    let matching = matching(tx, &group.name, plan.action, selection, plan.canary).await?;
    let mut renewed = Plan {
        id: Uuid::now_v7(),
        made_at: now,
        ..plan.clone()
    };
    fill(&mut renewed, &matching, group, tx).await?;
    Ok((matching, renewed))
}

fn changes(planned: &Plan, now: &Plan) -> Vec<String> {
    let mut changes = Vec::new();
    if planned.letters != now.letters {
        changes.push(format!(
            "{} letters match now, not {} as planned",
            now.letters, planned.letters
        ));
    } else if planned.digest != now.digest {
        changes.push(format!("{} letters match as planned, but others", now.letters));
    }
    if planned.handler_version != now.handler_version && planned.action == Action::Replay {
        changes.push(format!(
            "the handler is {} now, not {} as planned",
            now.handler_version, planned.handler_version
        ));
    }
    changes
}

/// Makes a job of a plan, once.
pub(crate) async fn start(
    group: &ConsumerGroup,
    resources: &Resources,
    id: Uuid,
    by: &Decision,
    on_change: Changed,
) -> Result<Start, Error> {
    let now = resources.clock.now();
    let mut tx = resources.pool.begin().await?;
    let Kept {
        plan,
        selection,
        job: started,
    } = kept(&mut tx, &group.name, id).await?;
    if let Some(job) = started {
        return Err(Error::Refused(format!(
            "this plan was started already, as job {job}"
        )));
    }
    let (matching, renewed) = renewed(&plan, &selection, group, &mut tx, now).await?;
    let changes = changes(&plan, &renewed);
    if !changes.is_empty() && on_change == Changed::Refuse {
        keep(&mut tx, &renewed, &selection).await?;
        tx.commit().await?;
        return Ok(Start::Changed {
            plan: Box::new(renewed),
            changes,
        });
    }
    let job = begin(&mut tx, &renewed, &matching, &selection, by).await?;
    sqlx::query!(
        "update eventing.dead_letter_plans set job_id = $2 where id = $1",
        id,
        job
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let job = jobs::get(&resources.pool, &group.name, job).await?;
    Ok(Start::Started(Box::new(job)))
}

/// Writes down the job and takes its letters, in the caller's transaction.
async fn begin(
    tx: &mut PgTransaction<'_>,
    plan: &Plan,
    matching: &Matching,
    selection: &Selection,
    by: &Decision,
) -> Result<Uuid, Error> {
    let nothing = || Error::Refused("no letter matches; nothing was done".to_owned());
    if matching.letters.is_empty() {
        return Err(nothing());
    }
    let new = New { plan, by };
    let job = jobs::create(tx, &new).await?;
    let taken = jobs::take_letters(tx, &new, job, matching, selection).await?;
    if taken == 0 {
        return Err(nothing());
    }
    let entry = audit::Entry {
        group: &plan.group,
        action: plan.action.as_str(),
        by,
        subject: &plan.selection,
        letters: taken,
        job: Some(job),
    };
    audit::write(tx, &entry, plan.made_at).await?;
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(letters: u64, digest: &str, handler_version: &str) -> Plan {
        Plan {
            id: Uuid::nil(),
            group: "g".into(),
            action: Action::Replay,
            selection: "all new".into(),
            letters,
            keys: 1,
            oldest: None,
            newest: None,
            failures: Vec::new(),
            left_out: Vec::new(),
            first_tier: "g.retry.1".into(),
            rate: Some(1),
            canary: 0,
            handler_version: handler_version.into(),
            serving: 1,
            made_at: Timestamp::UNIX_EPOCH,
            digest: digest.into(),
        }
    }

    #[test]
    fn a_changed_count_other_letters_and_another_handler_are_said() {
        let planned = plan(2, "a", "1");
        assert_eq!(changes(&planned, &plan(2, "a", "1")), Vec::<String>::new());
        assert_eq!(
            changes(&planned, &plan(3, "b", "2")),
            [
                "3 letters match now, not 2 as planned",
                "the handler is 2 now, not 1 as planned"
            ]
        );
        assert_eq!(
            changes(&planned, &plan(2, "b", "1")),
            ["2 letters match as planned, but others"]
        );
    }
}
