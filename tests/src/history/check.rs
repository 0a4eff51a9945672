//! Whether a history kept every promise. A pure function: no clock, no database, no Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

use super::model::{Applied, Group, History, Kind, Letter, Stray};
use super::plan::{CLASSES, Plan, Remedy};

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub kind: Broken,
    /// The aggregate concerned.
    pub key: String,
    /// The event concerned.
    pub sequence: i64,
    /// The group concerned, if it is one's.
    pub group: Option<Kind>,
    /// What was seen.
    pub what: String,
}

/// The promises, by what breaks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// A commit was acknowledged, and the database does not have it.
    CommitForgotten,
    /// The writer's sequence is not dense: the checker's own writer is wrong.
    WriterNotDense,
    /// A committed event is not on the topic.
    Lost,
    /// What was never committed is on the topic.
    NeverCommitted,
    /// First occurrences are not in the order of their sequence, without a gap, in one partition.
    OutOfOrder,
    /// A group applied what was never committed.
    AppliedNothing,
    /// An event was applied twice.
    AppliedTwice,
    /// An ordered group applied a later event of an aggregate first.
    AppliedOutOfOrder,
    /// An event was not applied, although it was to be.
    NotApplied,
    /// An event was applied by an attempt that failed.
    FailedAttemptApplied,
    /// An event was applied that the operator had given up.
    DiscardedApplied,
    /// An event that fails for good, or a record that is no event, is in no dead letter.
    Unannounced,
    /// A record that is no event died more than once.
    AnnouncedTwice,
    /// A dead letter of an event that was not planned to die, or that gives another reason than is true.
    UnplannedLetter,
    /// A counter of the handler's does not agree with its rows.
    Miscounted,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} #{}", self.kind, self.key, self.sequence)?;
        if let Some(group) = self.group {
            write!(f, " in {}", group.group())?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Every promise that the history breaks, the most telling first; none is what one hopes for.
pub fn violations(history: &History) -> Vec<Violation> {
    let mut found = Findings::default();
    let committed = commits(history, &mut found);
    topic(history, &committed, &mut found);
    for group in &history.groups {
        applications(history, group, &committed, &mut found);
        letters(history, group, &committed, &mut found);
        strays(history, group, &mut found);
    }
    found.0.sort_by_key(|violation| violation.kind);
    found.0
}

#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, kind: Broken, key: &str, sequence: i64, group: Option<Kind>, what: impl Into<String>) {
        self.0.push(Violation {
            kind,
            key: key.to_owned(),
            sequence,
            group,
            what: what.into(),
        });
    }
}

/// What was committed: by aggregate, the events by sequence.
type Committed<'a> = BTreeMap<&'a str, BTreeMap<i64, Uuid>>;

fn commits<'a>(history: &'a History, found: &mut Findings) -> Committed<'a> {
    let mut committed = Committed::new();
    let mut known = BTreeSet::new();
    for commit in &history.commits {
        known.insert(commit.event_id);
        committed
            .entry(&commit.key)
            .or_default()
            .insert(commit.sequence, commit.event_id);
    }
    for event_id in history.acknowledged.difference(&known) {
        found.add(
            Broken::CommitForgotten,
            "",
            0,
            None,
            format!("event {event_id} was acknowledged to its writer"),
        );
    }
    for (key, events) in &committed {
        if let Some((wanted, _)) = (1..)
            .zip(events.keys())
            .find(|(wanted, found)| *wanted != **found)
        {
            found.add(
                Broken::WriterNotDense,
                key,
                wanted,
                None,
                "the database has no such commit",
            );
        }
    }
    committed
}

fn topic(history: &History, committed: &Committed<'_>, found: &mut Findings) {
    let mut first: BTreeMap<&str, Vec<(i64, i32)>> = BTreeMap::new();
    let mut seen: BTreeSet<(&str, i64)> = BTreeSet::new();
    for record in &history.topic {
        let known = committed
            .get(record.key.as_str())
            .and_then(|events| events.get(&record.sequence));
        if known != Some(&record.event_id) {
            let what = if history.rolled_back.contains(&record.event_id) {
                "its transaction was rolled back"
            } else {
                "no such event was committed"
            };
            let place = format!(
                "{what}, and yet it lies at {}-{}",
                record.partition, record.offset
            );
            found.add(Broken::NeverCommitted, &record.key, record.sequence, None, place);
            continue;
        }
        if seen.insert((&record.key, record.sequence)) {
            first
                .entry(&record.key)
                .or_default()
                .push((record.sequence, record.partition));
        }
    }
    for (key, events) in committed {
        for sequence in events
            .keys()
            .filter(|sequence| !seen.contains(&(*key, **sequence)))
        {
            found.add(
                Broken::Lost,
                key,
                *sequence,
                None,
                "it is committed, and not on the topic",
            );
        }
    }
    for (key, occurrences) in first {
        let partition = occurrences.first().map_or(0, |(_, partition)| *partition);
        for (wanted, (sequence, at)) in (1..).zip(&occurrences) {
            if *sequence != wanted || *at != partition {
                let what =
                    format!("it first occurs in partition {at} where #{wanted} was due in {partition}");
                found.add(Broken::OutOfOrder, key, *sequence, None, what);
                break;
            }
        }
    }
}

fn applications(history: &History, group: &Group, committed: &Committed<'_>, found: &mut Findings) {
    let kind = Some(group.kind);
    let mut rows: BTreeMap<&str, Vec<&Applied>> = BTreeMap::new();
    for row in &group.applied {
        rows.entry(&row.key).or_default().push(row);
    }
    for (key, rows) in &rows {
        let events = committed.get(key);
        let mut once = BTreeSet::new();
        let mut last = 0;
        for row in rows {
            if events.and_then(|events| events.get(&row.sequence)) != Some(&row.event_id) {
                let what = format!("event {} was applied and never committed", row.event_id);
                found.add(Broken::AppliedNothing, key, row.sequence, kind, what);
            } else if !once.insert(row.sequence) {
                let what = format!("again at position {}, by {}", row.position, row.member);
                found.add(Broken::AppliedTwice, key, row.sequence, kind, what);
            } else if group.kind == Kind::Ordered && row.sequence < last {
                found.add(
                    Broken::AppliedOutOfOrder,
                    key,
                    row.sequence,
                    kind,
                    format!("after #{last}"),
                );
            }
            last = last.max(row.sequence);
            attempt(history, row, kind, found);
        }
    }
    for (key, events) in committed {
        let applied: BTreeSet<i64> = rows
            .get(key)
            .into_iter()
            .flatten()
            .map(|row| row.sequence)
            .collect();
        for sequence in events.keys().filter(|sequence| !applied.contains(sequence)) {
            if !given_up(history.seed, key, *sequence) {
                found.add(
                    Broken::NotApplied,
                    key,
                    *sequence,
                    kind,
                    "it is committed, and was never applied",
                );
            }
        }
    }
    for (key, total) in &group.totals {
        let count = rows.get(key.as_str()).map_or(0, Vec::len);
        if i64::try_from(count) != Ok(*total) {
            let what = format!("{total} were counted, and there are {count} rows");
            found.add(Broken::Miscounted, key, 0, kind, what);
        }
    }
}

/// Whether an event stays unapplied, because it died and the operator gave it up.
pub fn given_up(seed: u64, key: &str, sequence: i64) -> bool {
    Plan::of(seed, key, sequence).dies() && Remedy::of(seed, key, sequence) == Remedy::Discard
}

fn attempt(history: &History, row: &Applied, kind: Option<Kind>, found: &mut Findings) {
    let plan = Plan::of(history.seed, &row.key, row.sequence);
    if row.replayed {
        if given_up(history.seed, &row.key, row.sequence) {
            found.add(Broken::DiscardedApplied, &row.key, row.sequence, kind, "replayed");
        }
    } else if plan.fails_at(row.attempt) {
        let what = format!(
            "attempt {} of {plan:?} fails, and what it wrote is there",
            row.attempt
        );
        found.add(Broken::FailedAttemptApplied, &row.key, row.sequence, kind, what);
    }
}

fn letters(history: &History, group: &Group, committed: &Committed<'_>, found: &mut Findings) {
    let kind = Some(group.kind);
    let mut announced = BTreeSet::new();
    let strays: BTreeSet<_> = history.strays.iter().map(place).collect();
    let events = group
        .letters
        .iter()
        .filter(|letter| !strays.contains(&letter.source));
    for letter in events {
        announced.insert((letter.key.as_str(), letter.sequence));
        let plan = Plan::of(history.seed, &letter.key, letter.sequence);
        if !plan.dies() || !CLASSES.contains(&letter.class.as_str()) {
            let what = format!(
                "letter {}-{} of class {}, where the plan is {plan:?}",
                letter.partition, letter.offset, letter.class
            );
            found.add(Broken::UnplannedLetter, &letter.key, letter.sequence, kind, what);
        }
    }
    for (key, events) in committed {
        for sequence in events.keys() {
            let plan = Plan::of(history.seed, key, *sequence);
            if plan.dies() && !announced.contains(&(*key, *sequence)) {
                let what = format!("the plan is {plan:?}, and no dead letter says so");
                found.add(Broken::Unannounced, key, *sequence, kind, what);
            }
        }
    }
}

/// Each record that is no event is announced once, and for what it is.
fn strays(history: &History, group: &Group, found: &mut Findings) {
    let kind = Some(group.kind);
    let mut letters: BTreeMap<(i32, i64), Vec<&Letter>> = BTreeMap::new();
    for letter in &group.letters {
        letters.entry(letter.source).or_default().push(letter);
    }
    for stray in &history.strays {
        let key = format!("the record at {}-{}", stray.partition, stray.offset);
        let letters = letters.get(&place(stray)).map(Vec::as_slice).unwrap_or_default();
        let attempts: BTreeSet<u32> = letters.iter().map(|letter| letter.attempts).collect();
        if letters.is_empty() {
            let what = format!("it is no event ({}), and no dead letter says so", stray.class);
            found.add(Broken::Unannounced, &key, 0, kind, what);
        } else if attempts.len() > 1 {
            let what = format!("it died at its attempts {attempts:?}");
            found.add(Broken::AnnouncedTwice, &key, 0, kind, what);
        }
        for letter in letters.iter().filter(|letter| letter.class != stray.class) {
            let what = format!(
                "letter {}-{} of class {}, where {} is true",
                letter.partition, letter.offset, letter.class, stray.class
            );
            found.add(Broken::UnplannedLetter, &key, 0, kind, what);
        }
    }
}

fn place(stray: &Stray) -> (i32, i64) {
    (stray.partition, stray.offset)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
