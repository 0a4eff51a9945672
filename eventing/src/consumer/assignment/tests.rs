use super::*;
use crate::consumer::record::{Headers, Place};

const ID: PartitionId = PartitionId {
    topic: 0,
    partition: 3,
};

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

fn ready(assignment: &Assignment, offset: i64) -> Job {
    match assignment.admit(ID, record(offset), None, at(0)) {
        Admission::Ready(job) => job,
        other => panic!("not ready: {other:?}"),
    }
}

fn assigned() -> Assignment {
    let assignment = Assignment::default();
    assignment.assign(&[ID]);
    assignment
}

#[test]
fn what_is_finished_after_a_partition_came_back_does_not_move_its_position() {
    let assignment = assigned();
    let old = ready(&assignment, 5);
    assert!(assignment.begin(&old));
    assignment.remove(&[ID]);
    assignment.assign(&[ID]);
    let new = ready(&assignment, 5);
    assert!(assignment.begin(&new));

    assignment.finish(&old, true);
    assert_eq!(assignment.position(ID), None);
    assignment.finish(&new, true);
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
    assert!(assignment.begin(&one));
    assignment.stop(&[ID]);
    assert!(one.stop.is_cancelled());
    assert!(!assignment.begin(&two));
    assert!(matches!(
        assignment.admit(ID, record(3), None, at(0)),
        Admission::Ignored
    ));

    assert!(!assignment.wait_until_idle(&[ID], Duration::from_millis(1)));
    assignment.finish(&one, true);
    assert!(assignment.wait_until_idle(&[ID], Duration::from_millis(1)));
    assert_eq!(assignment.take_unstored(&[ID]), [(ID, 2)]);
}

#[test]
fn a_record_that_is_not_due_waits_and_holds_those_behind_it() {
    let assignment = assigned();
    assert!(matches!(
        assignment.admit(ID, record(1), Some(at(10)), at(0)),
        Admission::Waits
    ));
    assert!(matches!(
        assignment.admit(ID, record(2), Some(at(0)), at(0)),
        Admission::Waits
    ));
    assert_eq!(assignment.pauses(), (vec![ID], vec![]));

    let (jobs, next) = assignment.due(at(9));
    assert_eq!((jobs.len(), next), (0, Some(at(10))));
    let (jobs, next) = assignment.due(at(10));
    let offsets: Vec<i64> = jobs.iter().map(|job| job.record.place.offset).collect();
    assert_eq!((offsets, next), (vec![1, 2], None));
    assert_eq!(assignment.pauses(), (vec![], vec![ID]));
}

#[test]
fn a_long_queue_pauses_reading_until_it_is_half_gone() {
    let assignment = assigned();
    let mut jobs: Vec<Job> = (0..4_000).map(|offset| ready(&assignment, offset)).collect();
    assert!(assignment.is_full(ID));
    assert_eq!(assignment.pauses(), (vec![ID], vec![]));

    for job in jobs.drain(..1_999) {
        assert!(assignment.begin(&job));
        assignment.finish(&job, true);
    }
    assert_eq!(assignment.pauses(), (vec![], vec![]));
    assert!(assignment.begin(&jobs.remove(0)));
    assert_eq!(assignment.pauses(), (vec![], vec![ID]));
}

#[test]
fn a_held_record_pauses_its_partition_before_too_many_are_ahead_of_it() {
    let assignment = assigned();
    let held = ready(&assignment, 0);
    assert!(assignment.begin(&held));
    for offset in 1..=5_000 {
        let job = ready(&assignment, offset);
        assert!(assignment.begin(&job));
        assignment.finish(&job, true);
    }
    assert_eq!(assignment.pauses(), (vec![ID], vec![]));
    assignment.finish(&held, true);
    assert_eq!(assignment.position(ID), Some(5_001));
    assert_eq!(assignment.pauses(), (vec![], vec![ID]));
}
