//! Taking a discard back.

use jiff::Timestamp;
use uuid::Uuid;

use super::chosen::Letters;
use super::id::LetterId;
use super::letter::Letter;
use super::views::Undone;
use super::{Decision, Error, Undo, audit};
use crate::consumer::parked::{self, Undone as Restored};
use crate::consumer::watermarks::Aggregate;
use crate::consumer::{ConsumerGroup, Ordering, Resources};

/// Letters that are read at once.
const CHUNK: usize = 200;

/// Makes discarded letters new again, each on its own: what came too late stays discarded, with the reason.
pub(crate) async fn undo(
    group: &ConsumerGroup,
    resources: &Resources,
    what: &Undo,
    by: &Decision,
) -> Result<Undone, Error> {
    let chosen = match what {
        Undo::Job(job) => of_job(group, resources, *job).await?,
        Undo::Letters(ids) => of_letters(group, resources, ids).await?,
    };
    let subject = match what {
        Undo::Job(job) => format!("job {job}"),
        Undo::Letters(ids) => super::Selection::Ids(ids.clone()).words(),
    };
    let now = resources.clock.now();
    let mut tx = resources.pool.begin().await?;
    let entry = audit::Entry {
        group: &group.name,
        action: "undo",
        by,
        subject: &subject,
        letters: chosen.len() as u64,
        job: match what {
            Undo::Job(job) => Some(*job),
            Undo::Letters(_) => None,
        },
    };
    audit::write(&mut tx, &entry, now).await?;
    tx.commit().await?;

    let letters = Letters::of(&resources.kafka, &group.dead_letter_topic());
    let mut undone = Undone {
        letters: Vec::new(),
        refused: Vec::new(),
    };
    // What was discarded last comes first, because in an ordered group it is in the way of what was discarded before.
    let mut left: Vec<LetterId> = chosen;
    while !left.is_empty() {
        let chunk = left.split_off(left.len().saturating_sub(CHUNK));
        let (mut ids, mut read) = (chunk.as_slice(), Vec::with_capacity(chunk.len()));
        while !ids.is_empty() {
            let some = letters.read(ids.to_vec()).await?;
            ids = ids.get(some.len()..).unwrap_or_default();
            read.extend(some);
        }
        for (id, letter) in read.into_iter().rev() {
            match undo_one(group, resources, id, letter.as_ref(), now).await? {
                None => undone.letters.push(id),
                Some(reason) => undone.refused.push((id, reason)),
            }
        }
    }
    Ok(undone)
}

/// The letters that a job discarded.
async fn of_job(group: &ConsumerGroup, resources: &Resources, job: Uuid) -> Result<Vec<LetterId>, Error> {
    let action = sqlx::query_scalar!(
        "select action from eventing.dead_letter_jobs where id = $1 and consumer_group = $2",
        job,
        group.name,
    )
    .fetch_optional(&resources.pool)
    .await?;
    match action.as_deref() {
        None => {
            return Err(Error::NotFound(format!("group {} has no job {job}", group.name)));
        }
        Some("discard") => {}
        Some(_) => {
            return Err(Error::Refused(format!(
                "job {job} is a replay: what was sent cannot be taken back"
            )));
        }
    }
    let rows = sqlx::query!(
        "select letter_partition, letter_offset from eventing.dead_letter_states
         where consumer_group = $1 and job_id = $2 and state = 'discarded'
         order by letter_partition, letter_offset",
        group.name,
        job,
    )
    .fetch_all(&resources.pool)
    .await?;
    if rows.is_empty() {
        return Err(Error::Refused(format!(
            "nothing of job {job} is discarded any more"
        )));
    }
    Ok(rows
        .into_iter()
        .map(|row| LetterId {
            partition: row.letter_partition,
            offset: row.letter_offset,
        })
        .collect())
}

/// Letters that are named have to be discarded.
async fn of_letters(
    group: &ConsumerGroup,
    resources: &Resources,
    ids: &[LetterId],
) -> Result<Vec<LetterId>, Error> {
    let (ids, _) = super::Selection::Ids(ids.to_vec()).parts()?;
    let ids = ids.unwrap_or_default();
    for id in &ids {
        let state = sqlx::query_scalar!(
            "select state from eventing.dead_letter_states
             where consumer_group = $1 and letter_partition = $2 and letter_offset = $3",
            group.name,
            id.partition,
            id.offset,
        )
        .fetch_optional(&resources.pool)
        .await?;
        match state.as_deref() {
            Some("discarded") => {}
            Some("replayed") => {
                return Err(Error::Refused(format!(
                    "letter {id} was replayed: what was sent cannot be taken back"
                )));
            }
            _ => return Err(Error::Refused(format!("letter {id} is not discarded"))),
        }
    }
    Ok(ids)
}

/// Makes one letter new again; answers why not.
async fn undo_one(
    group: &ConsumerGroup,
    resources: &Resources,
    id: LetterId,
    letter: Option<&Letter>,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let turn = match (group.ordering, letter) {
        (Ordering::PerKey, Some(letter)) => letter.turn(&resources.registry).await,
        _ => None,
    };
    let mut tx = resources.pool.begin().await?;
    if let Some(turn) = &turn {
        let aggregate = Aggregate {
            group: &group.name,
            topic: &turn.topic,
            key: &turn.key,
        };
        let fingerprint = letter.map(Letter::fingerprint).unwrap_or_default();
        let undone = parked::undo_discard(&mut tx, &aggregate, turn.sequence, fingerprint, now);
        match undone.await? {
            // One that was applied before it was discarded holds nothing back.
            Restored::Restored | Restored::NotDiscarded => {}
            Restored::TooLate { last } => {
                let (key, sequence) = (&turn.key, turn.sequence);
                return Ok(Some(format!(
                    "its sequence {sequence} of {key} stays passed over, because sequence {last} was applied since"
                )));
            }
        }
    }
    let deleted = sqlx::query!(
        "with undone as (
             delete from eventing.dead_letter_states
             where consumer_group = $1 and letter_partition = $2 and letter_offset = $3 and state = 'discarded'
             returning job_id
         )
         update eventing.dead_letter_job_letters l set state = 'undone'
         from undone
         where l.job_id = undone.job_id and l.letter_partition = $2 and l.letter_offset = $3",
        group.name,
        id.partition,
        id.offset,
    )
    .execute(&mut *tx)
    .await?;
    if deleted.rows_affected() == 0 {
        return Ok(Some("it is not discarded any more".to_owned()));
    }
    tx.commit().await?;
    Ok(None)
}
