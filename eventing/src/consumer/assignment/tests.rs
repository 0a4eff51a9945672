use super::*;
use crate::consumer::record::{Headers, Place};

const ID: PartitionId = PartitionId {
    topic: 0,
    partition: 3,
};

/// The part that has it.
fn part() -> Part {
    part_of(0)
}

fn part_of(topic: usize) -> Part {
    Part {
        topics: topic..topic + 1,
        name: "t".into(),
        is_tiers: false,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn record(offset: i64) -> Record {
    Record {
        place: Place {
            topic: "t".into(),
            partition: 3,
            offset,
        },
        tier: 0,
        parked: false,
        recorded_at: at(0),
        key: None,
        payload: Some(vec![0; 1_000]),
        headers: Headers::default(),
    }
}

fn read(assignment: &Assignment, offset: i64, due: Option<Timestamp>) -> Read {
    Read {
        partition: ID,
        record: record(offset),
        event: None,
        due,
        generation: assignment.generation(),
    }
}

fn ready(assignment: &Assignment, offset: i64) -> Job {
    let mut admitted = assignment.admit(vec![read(assignment, offset, None)], at(0));
    admitted.jobs.pop().expect("it is ready")
}

fn begins(assignment: &Assignment, job: &Job) -> bool {
    assignment.begin([job]) == [true]
}

fn done(assignment: &Assignment, job: &Job) {
    assert!(begins(assignment, job));
    assignment.finish([job], true);
}

fn assigned() -> Assignment {
    let assignment = Assignment::new(MAX_SPAN * 2);
    assignment.assign(&[ID]);
    assignment
}

#[test]
fn what_is_finished_after_a_partition_came_back_does_not_move_its_position() {
    let assignment = assigned();
    let old = ready(&assignment, 5);
    assert!(begins(&assignment, &old));
    assignment.remove(&[ID]);
    assignment.assign(&[ID]);
    let new = ready(&assignment, 5);
    assert!(begins(&assignment, &new));

    assignment.finish([&old], true);
    assert_eq!(assignment.position(ID), None);
    assignment.finish([&new], true);
    assert_eq!(assignment.take_unstored(&[ID]), [(ID, 6)]);
    assert_eq!(assignment.take_unstored(&[ID]), []);
    assert!(assignment.has_uncommitted(&[ID]));
    assignment.committed(ID, 6);
    assert!(!assignment.has_uncommitted(&[ID]));
}

#[test]
fn after_stop_nothing_begins_and_what_has_begun_is_waited_for() {
    let assignment = assigned();
    let (one, two) = (ready(&assignment, 1), ready(&assignment, 2));
    assert!(begins(&assignment, &one));
    assignment.stop(&[ID]);
    assert!(one.stop.is_cancelled());
    assert!(!begins(&assignment, &two));
    let late = assignment.admit(vec![read(&assignment, 3, None)], at(0));
    assert!(late.jobs.is_empty());

    assert!(!assignment.wait_until_idle(&[ID], Duration::from_millis(1)));
    assignment.finish([&one], true);
    assert!(assignment.wait_until_idle(&[ID], Duration::from_millis(1)));
    assert_eq!(assignment.take_unstored(&[ID]), [(ID, 2)]);
}

#[test]
fn a_record_that_is_not_due_waits_and_holds_those_behind_it() {
    let assignment = assigned();
    let chunk = vec![
        read(&assignment, 1, Some(at(10))),
        read(&assignment, 2, Some(at(0))),
    ];
    let admitted = assignment.admit(chunk, at(0));
    assert!(admitted.jobs.is_empty() && admitted.pauses);
    assert_eq!(admitted.next_due, Some(at(0)));
    assert_eq!(assignment.pauses(&part()), (vec![ID], vec![]));

    let (jobs, next) = assignment.due(&part(), at(9));
    assert_eq!((jobs.len(), next), (0, Some(at(10))));
    let (jobs, next) = assignment.due(&part(), at(10));
    let offsets: Vec<i64> = jobs.iter().map(|job| job.record.place.offset).collect();
    assert_eq!((offsets, next), (vec![1, 2], None));
    assert_eq!(assignment.pauses(&part()), (vec![], vec![ID]));
}

#[test]
fn what_was_read_before_a_partition_came_back_is_not_taken_for_what_is_read_after() {
    let assignment = assigned();
    let stale = read(&assignment, 7, None);
    assignment.remove(&[ID]);
    assignment.assign(&[ID]);
    // Taken in, it would make offset 5 look as if it had been read before.
    assert!(assignment.admit(vec![stale], at(0)).jobs.is_empty());
    let again = vec![read(&assignment, 5, None), read(&assignment, 7, None)];
    assert_eq!(assignment.admit(again, at(0)).jobs.len(), 2);
}

#[test]
fn nothing_is_read_while_a_member_has_its_hands_full_until_half_of_it_is_done() {
    let assignment = Assignment::new(100);
    assignment.assign(&[ID]);
    let mut jobs: Vec<Job> = (0..100).map(|offset| ready(&assignment, offset)).collect();
    assert!(!assignment.may_read());
    assert_eq!(
        assignment.pauses(&part()),
        (vec![], vec![]),
        "it is not for long yet"
    );

    for job in jobs.drain(..49) {
        done(&assignment, &job);
    }
    let job = jobs.remove(0);
    assert!(begins(&assignment, &job));
    assert!(!assignment.may_read(), "what is in work is in hand");
    assignment.finish([&job], true);
    assert!(assignment.may_read());
}

#[test]
fn hands_are_full_of_a_few_large_records_and_free_again_when_their_partition_goes_away() {
    let assignment = assigned();
    let large = |offset| {
        let mut large = read(&assignment, offset, None);
        large.record.payload = Some(vec![0; MAX_BYTES / 8]);
        assignment.admit(vec![large], at(0)).jobs.pop().unwrap()
    };
    let jobs: Vec<Job> = (0..8).map(large).collect();
    assert!(!assignment.may_read());
    assignment.stop(&[ID]);
    assignment.remove(&[ID]);
    assert!(jobs.iter().all(|job| !begins(&assignment, job)));
    assert!(assignment.may_read());
}

#[test]
fn hands_that_stay_full_pause_the_partitions_so_that_news_of_the_group_get_through() {
    let assignment = Assignment::new(2);
    assignment.assign(&[ID]);
    let jobs = [ready(&assignment, 0), ready(&assignment, 1)];
    assignment.state().full_since = Instant::now().checked_sub(PATIENCE);
    assert_eq!(assignment.pauses(&part()), (vec![ID], vec![]));
    assert!(assignment.may_read());

    for job in &jobs {
        done(&assignment, job);
    }
    assert_eq!(assignment.pauses(&part()), (vec![], vec![ID]));
}

#[test]
fn a_held_record_pauses_its_partition_before_too_many_are_ahead_of_it() {
    let assignment = assigned();
    let held = ready(&assignment, 0);
    assert!(begins(&assignment, &held));
    let last = i64::try_from(MAX_SPAN).unwrap();
    for offset in 1..=last {
        done(&assignment, &ready(&assignment, offset));
    }
    assert_eq!(assignment.pauses(&part()), (vec![ID], vec![]));
    assignment.finish([&held], true);
    assert_eq!(assignment.position(ID), Some(last + 1));
    assert_eq!(assignment.pauses(&part()), (vec![], vec![ID]));
}

#[test]
fn parts_have_their_own_partitions_and_fill_the_same_hands() {
    let assignment = Assignment::new(2);
    let elsewhere = PartitionId { topic: 1, ..ID };
    assignment.assign(&[ID, elsewhere]);
    assert_eq!(assignment.ids(&part()), [ID]);
    assert_eq!(assignment.ids(&part_of(1)), [elsewhere]);

    let waits = Read {
        partition: elsewhere,
        ..read(&assignment, 0, Some(at(10)))
    };
    assignment.admit(vec![waits], at(0));
    assert_eq!(assignment.pauses(&part()), (vec![], vec![]));
    assert_eq!(assignment.pauses(&part_of(1)), (vec![elsewhere], vec![]));
    let (jobs, next) = assignment.due(&part(), at(10));
    assert!(jobs.is_empty() && next.is_none(), "what waits is not this part's");

    let here = ready(&assignment, 5);
    let (due, _) = assignment.due(&part_of(1), at(10));
    assert_eq!(due.len(), 1);
    assert!(!assignment.may_read(), "what they read counts together");
    let readers = [assignment.freed(), assignment.freed()];
    done(&assignment, &here);
    assert!(assignment.may_read());
    for reader in readers {
        assert!(reader.has_changed().unwrap(), "each of them is told");
    }
}
