//! Which letters a selection means now: what plans count and jobs take.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Error;
use super::id::LetterId;
use super::selection::Selection;
use super::views::{Action, LeftOut, PlannedFailure};

/// The most letters of one job.
const MAX_LETTERS: usize = 1_000_000;

/// The most reasons for leaving letters out that are told apart.
const MAX_REASONS: usize = 20;

/// The letters of a selection, and what is known of them together.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    /// What a job would take, in the order of the topic.
    pub(crate) letters: Vec<Match>,
    pub(crate) keys: usize,
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) newest: Option<Timestamp>,
    pub(crate) failures: Vec<PlannedFailure>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) digest: String,
}

/// A letter that a job would take.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) id: LetterId,
    /// It is of the canary.
    pub(crate) goes_first: bool,
    pub(crate) fingerprint: Arc<str>,
}

impl Matching {
    /// How many letters a job would take.
    pub(crate) fn count(&self) -> u64 {
        self.letters.len() as u64
    }
}

/// What is being put together of letters that come in the order of the topic.
struct Gathering {
    matching: Matching,
    hasher: RandomState,
    keys: HashSet<u64>,
    failures: HashMap<(String, String), u64>,
    /// By fingerprint, how many letters are of the canary.
    canary: HashMap<Arc<str>, u32>,
    left_out: BTreeMap<String, u64>,
    digest: Sha256,
}

struct Row {
    id: LetterId,
    died_at: Timestamp,
    key: String,
    fingerprint: String,
    error_class: String,
    replayable: bool,
    copy_of: Option<LetterId>,
    state: Option<String>,
    job: Option<Uuid>,
}

/// The letters that `selection` means now.
///
/// A letter that is named and cannot be taken refuses the whole selection; one that is not named is left out.
pub(crate) async fn matching(
    tx: &mut PgConnection,
    group: &str,
    action: Action,
    selection: &Selection,
    canary: u32,
) -> Result<Matching, Error> {
    let (ids, filter) = selection.parts()?;
    let partitions: Option<Vec<i32>> = ids
        .as_ref()
        .map(|ids| ids.iter().map(|id| id.partition).collect());
    let offsets: Option<Vec<i64>> = ids.as_ref().map(|ids| ids.iter().map(|id| id.offset).collect());
    let mut rows = sqlx::query!(
        r#"select d.letter_partition, d.letter_offset, d.died_at, d.key, d.fingerprint, d.error_class,
               d.source_topic is not null as "replayable!", d.copy_of_partition, d.copy_of_offset,
               s.state as "state?", s.job_id as "job_id?"
           from eventing.dead_letters d
           left join eventing.dead_letter_states s
               on s.consumer_group = d.consumer_group and s.letter_partition = d.letter_partition
                  and s.letter_offset = d.letter_offset
           where d.consumer_group = $1
             and ($2::integer[] is null
                  or (d.letter_partition, d.letter_offset) in (select * from unnest($2, $3::bigint[])))
             and ($4::text is null or d.fingerprint = $4)
             and ($5::text is null or d.error_class = $5)
             and ($6::text is null or d.key = $6)
             and ($7::text is null or d.event_type = $7)
             and ($8::timestamptz is null or d.died_at >= $8)
             and ($9::timestamptz is null or d.died_at < $9)
             and ($2::integer[] is not null or s.state is null or s.state = 'taken')
           order by d.letter_partition, d.letter_offset"#,
        group,
        partitions.as_deref(),
        offsets.as_deref(),
        filter.fingerprint,
        filter.error_class,
        filter.key,
        filter.event_type,
        filter.since.map(Timestamp::to_sqlx) as _,
        filter.until.map(Timestamp::to_sqlx) as _,
    )
    .fetch(tx);
    let mut gathering = Gathering::new();
    let mut found = HashSet::new();
    while let Some(row) = rows.try_next().await? {
        let row = Row {
            id: LetterId {
                partition: row.letter_partition,
                offset: row.letter_offset,
            },
            died_at: row.died_at.into(),
            key: row.key,
            fingerprint: row.fingerprint,
            error_class: row.error_class,
            replayable: row.replayable,
            copy_of: row
                .copy_of_partition
                .zip(row.copy_of_offset)
                .map(|(partition, offset)| LetterId { partition, offset }),
            state: row.state,
            job: row.job_id,
        };
        if ids.is_some() {
            found.insert(row.id);
        }
        match obstacle(&row, action, selection) {
            Some(obstacle) if ids.is_some() => {
                return Err(Error::Refused(format!("letter {} {obstacle}", row.id)));
            }
            Some(obstacle) => gathering.leave_out(obstacle),
            None => gathering.take(row, canary)?,
        }
    }
    if let Some(missing) = ids.iter().flatten().find(|id| !found.contains(id)) {
        return Err(Error::NotFound(format!(
            "group {group} has no dead letter {missing}"
        )));
    }
    Ok(gathering.finish())
}

/// Why a letter is not taken.
fn obstacle(row: &Row, action: Action, selection: &Selection) -> Option<String> {
    if let Some(original) = row.copy_of {
        // Which one does not matter to whoever left many of them out.
        return Some(match selection {
            Selection::Matching(_) => "is a copy of another letter".to_owned(),
            Selection::Ids(_) | Selection::Again(_) => format!("is a copy of letter {original}"),
        });
    }
    let job = row.job.map(|job| job.to_string()).unwrap_or_default();
    match row.state.as_deref() {
        None => (action == Action::Replay && !row.replayable)
            .then(|| "was not written by a consumer group and cannot be replayed".to_owned()),
        Some("taken") => Some(format!("belongs to job {job}, which has not come to it yet")),
        Some("discarded") => Some(format!("was discarded by job {job}")),
        Some(_) if matches!(selection, Selection::Again(_)) => None,
        Some(_) => Some(format!("was replayed by job {job} already")),
    }
}

impl Gathering {
    fn new() -> Self {
        Self {
            matching: Matching::default(),
            hasher: RandomState::new(),
            keys: HashSet::new(),
            failures: HashMap::new(),
            canary: HashMap::new(),
            left_out: BTreeMap::new(),
            digest: Sha256::new(),
        }
    }

    fn leave_out(&mut self, reason: String) {
        if self.left_out.len() < MAX_REASONS || self.left_out.contains_key(&reason) {
            *self.left_out.entry(reason).or_default() += 1;
        } else {
            *self.left_out.entry("for other reasons".to_owned()).or_default() += 1;
        }
    }

    fn take(&mut self, row: Row, canary: u32) -> Result<(), Error> {
        if self.matching.letters.len() >= MAX_LETTERS {
            return Err(Error::Refused(format!(
                "more than {MAX_LETTERS} letters match; select fewer at a time"
            )));
        }
        self.keys.insert(self.hasher.hash_one(&row.key));
        self.digest.update(row.id.partition.to_be_bytes());
        self.digest.update(row.id.offset.to_be_bytes());
        let matching = &mut self.matching;
        matching.oldest = Some(
            matching
                .oldest
                .map_or(row.died_at, |oldest| oldest.min(row.died_at)),
        );
        matching.newest = Some(
            matching
                .newest
                .map_or(row.died_at, |newest| newest.max(row.died_at)),
        );
        let fingerprint = match self.canary.get_key_value(row.fingerprint.as_str()) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(row.fingerprint.as_str()),
        };
        let of_kind = self.canary.entry(Arc::clone(&fingerprint)).or_default();
        let goes_first = *of_kind < canary;
        *of_kind += u32::from(goes_first);
        matching.letters.push(Match {
            id: row.id,
            goes_first,
            fingerprint,
        });
        *self
            .failures
            .entry((row.fingerprint, row.error_class))
            .or_default() += 1;
        Ok(())
    }

    fn finish(self) -> Matching {
        let mut failures: Vec<PlannedFailure> = self
            .failures
            .into_iter()
            .map(|((fingerprint, error_class), letters)| PlannedFailure {
                fingerprint,
                error_class,
                letters,
            })
            .collect();
        failures.sort_by(|one, other| {
            (other.letters, &one.fingerprint, &one.error_class).cmp(&(
                one.letters,
                &other.fingerprint,
                &other.error_class,
            ))
        });
        let left_out = self
            .left_out
            .into_iter()
            .map(|(reason, letters)| LeftOut { reason, letters });
        let digest = self.digest.finalize();
        Matching {
            keys: self.keys.len(),
            failures,
            left_out: left_out.collect(),
            digest: crate::version::hex(digest.iter().take(8)),
            ..self.matching
        }
    }
}
