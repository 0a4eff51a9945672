//! Histories made by hand, each with one mistake that the checker has to find, and no other.

use super::*;
use crate::history::model::{Commit, Letter, Published};
use crate::history::story;

const KEY: &str = "pay_one";

/// A seed under which the plans of the events #1 to #3 are these.
fn seed_of(wanted: [fn(Plan) -> bool; 3]) -> u64 {
    (0..1_000_000)
        .find(|seed| {
            (1..)
                .zip(wanted)
                .all(|(sequence, wanted)| wanted(Plan::of(*seed, KEY, sequence)))
        })
        .unwrap()
}

fn passes(plan: Plan) -> bool {
    plan == Plan::Pass
}

fn dies(plan: Plan) -> bool {
    plan == Plan::Dead
}

fn id(sequence: i64) -> Uuid {
    Uuid::from_u64_pair(1, sequence.unsigned_abs())
}

fn published(sequence: i64, offset: i64) -> Published {
    Published {
        key: KEY.into(),
        sequence,
        event_id: id(sequence),
        partition: 0,
        offset,
    }
}

fn applied(sequence: i64, position: i64) -> Applied {
    Applied {
        key: KEY.into(),
        sequence,
        event_id: id(sequence),
        position,
        attempt: 1,
        replayed: false,
        member: "ordered-1".into(),
        at: 1_000 * sequence,
    }
}

/// Three events of one aggregate, all as it should be; with an ordered group and an unordered one.
fn good(seed: u64) -> History {
    let group = |kind| Group {
        kind,
        applied: (1..=3).map(|sequence| applied(sequence, sequence)).collect(),
        letters: Vec::new(),
        totals: vec![(KEY.into(), 3)],
    };
    let commit = |sequence| Commit {
        key: KEY.into(),
        sequence,
        event_id: id(sequence),
        transaction: "writer-1".into(),
        at: 1_000 * sequence,
    };
    History {
        seed,
        commits: (1..=3).map(commit).collect(),
        acknowledged: (1..=3).map(id).collect(),
        rolled_back: BTreeSet::new(),
        topic: (1..=3).map(|sequence| published(sequence, sequence)).collect(),
        strays: Vec::new(),
        groups: Kind::BOTH.map(group).to_vec(),
        happenings: Vec::new(),
    }
}

fn quiet() -> History {
    good(seed_of([passes; 3]))
}

fn found(history: &History) -> Vec<(Broken, i64)> {
    let found = violations(history);
    // What is found can be told.
    for violation in &found {
        assert!(story::tell(history, violation).contains(&violation.key));
    }
    found
        .iter()
        .map(|violation| (violation.kind, violation.sequence))
        .collect()
}

#[test]
fn a_good_history_breaks_no_promise_and_neither_does_a_record_that_comes_twice() {
    let mut history = quiet();
    assert_eq!(found(&history), []);
    history.topic.push(published(2, 4));
    history.topic.push(published(3, 5));
    assert_eq!(found(&history), []);
}

#[test]
fn a_committed_event_that_is_not_on_the_topic_is_lost() {
    let mut history = quiet();
    history.topic.pop();
    assert_eq!(found(&history), [(Broken::Lost, 3)]);
}

#[test]
fn a_gap_in_the_first_occurrences_is_found_although_the_event_comes_later() {
    let mut history = quiet();
    history.topic = vec![published(1, 1), published(3, 2), published(2, 3), published(3, 4)];
    assert_eq!(found(&history), [(Broken::OutOfOrder, 3)]);
}

#[test]
fn an_aggregate_in_two_partitions_has_no_order() {
    let mut history = quiet();
    history.topic[2].partition = 1;
    assert_eq!(found(&history), [(Broken::OutOfOrder, 3)]);
}

#[test]
fn what_was_rolled_back_must_not_be_on_the_topic() {
    let mut history = quiet();
    history.rolled_back.insert(id(4));
    history.topic.push(published(4, 4));
    assert_eq!(found(&history), [(Broken::NeverCommitted, 4)]);
    let violation = &violations(&history)[0];
    assert!(violation.what.contains("rolled back"), "{violation}");
}

#[test]
fn another_event_under_the_same_sequence_was_never_committed() {
    let mut history = quiet();
    let mut other = published(3, 4);
    other.event_id = id(9);
    history.topic.push(other);
    assert_eq!(found(&history), [(Broken::NeverCommitted, 3)]);
}

#[test]
fn an_event_that_is_applied_twice_is_found_and_the_counter_that_saw_it_once() {
    let mut history = quiet();
    history.groups[0].applied.push(applied(3, 4));
    assert_eq!(
        found(&history),
        [(Broken::AppliedTwice, 3), (Broken::Miscounted, 0)]
    );
}

#[test]
fn an_ordered_group_must_not_apply_a_later_event_first_and_an_unordered_one_may() {
    let mut history = quiet();
    for group in &mut history.groups {
        group.applied.swap(1, 2);
    }
    assert_eq!(found(&history), [(Broken::AppliedOutOfOrder, 2)]);
    assert_eq!(violations(&history)[0].group, Some(Kind::Ordered));
}

#[test]
fn an_event_that_was_not_applied_is_found() {
    let mut history = quiet();
    history.groups[1].applied.remove(0);
    history.groups[1].totals[0].1 = 2;
    assert_eq!(found(&history), [(Broken::NotApplied, 1)]);
}

#[test]
fn what_was_applied_and_never_committed_is_found() {
    let mut history = quiet();
    history.groups[0].applied.push(applied(4, 4));
    history.groups[0].totals[0].1 = 4;
    assert_eq!(found(&history), [(Broken::AppliedNothing, 4)]);
}

#[test]
fn a_failure_that_no_letter_announces_is_found() {
    let seed = (0..1_000_000)
        .find(|seed| {
            Plan::of(*seed, KEY, 2) == Plan::Dead
                && passes(Plan::of(*seed, KEY, 1))
                && passes(Plan::of(*seed, KEY, 3))
                && given_up(*seed, KEY, 2)
        })
        .unwrap();
    let mut history = good(seed);
    for group in &mut history.groups {
        group.applied.remove(1);
        group.totals[0].1 = 2;
    }
    assert_eq!(
        found(&history),
        [(Broken::Unannounced, 2), (Broken::Unannounced, 2)]
    );

    let letter = Letter {
        key: KEY.into(),
        sequence: 2,
        partition: 0,
        offset: 0,
        class: "planned_dead".into(),
        source: (0, 2),
        attempts: 1,
    };
    for group in &mut history.groups {
        group.letters.push(letter.clone());
    }
    assert_eq!(found(&history), []);

    history.groups[0].letters[0].class = "infrastructure".into();
    assert_eq!(found(&history), [(Broken::UnplannedLetter, 2)]);
}

#[test]
fn a_letter_of_an_event_that_was_to_pass_is_found() {
    let mut history = quiet();
    history.groups[1].letters.push(Letter {
        key: KEY.into(),
        sequence: 1,
        partition: 0,
        offset: 0,
        class: "database".into(),
        source: (0, 1),
        attempts: 1,
    });
    assert_eq!(found(&history), [(Broken::UnplannedLetter, 1)]);
}

#[test]
fn a_record_that_is_no_event_has_a_letter_in_each_group_that_says_what_it_is() {
    let mut history = quiet();
    history.strays.push(Stray {
        class: "not_framed".into(),
        partition: 0,
        offset: 7,
    });
    assert_eq!(found(&history), [(Broken::Unannounced, 0); 2]);

    let letter = Letter {
        key: KEY.into(),
        sequence: 0,
        partition: 0,
        offset: 0,
        class: "not_framed".into(),
        source: (0, 7),
        attempts: 1,
    };
    for group in &mut history.groups {
        // Twice, because a process may die before it commits the offset.
        group.letters.extend([letter.clone(), letter.clone()]);
    }
    assert_eq!(found(&history), []);

    history.groups[0].letters[1].attempts = 2;
    assert_eq!(found(&history), [(Broken::AnnouncedTwice, 0)]);
    history.groups[0].letters.pop();
    history.groups[0].letters[0].class = "planned_dead".into();
    assert_eq!(found(&history), [(Broken::UnplannedLetter, 0)]);
}

#[test]
fn what_a_failed_attempt_wrote_must_not_stand() {
    let history = good(seed_of([passes, dies, passes]));
    let kinds: Vec<Broken> = found(&history).into_iter().map(|(kind, _)| kind).collect();
    assert!(kinds.contains(&Broken::FailedAttemptApplied), "{kinds:?}");
}

#[test]
fn an_acknowledged_commit_that_the_database_forgot_is_found() {
    let mut history = quiet();
    history.acknowledged.insert(id(7));
    let violation = &violations(&history)[0];
    assert_eq!(violation.kind, Broken::CommitForgotten);
}
