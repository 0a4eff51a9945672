//! What the pages' snapshots show: one poisoned night, with texts that are not kind to HTML.

use eventing::consumer::ConsumerGroup;
use eventing::dead_letters::{
    Action, Attempt, AuditEntry, Detail, Done, FailureGroup, Job, JobState, LeftOut, LetterId, Plan,
    PlannedFailure, State, Summary,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::http::operations::Frame;

const HOSTILE: &str = "duplicate key value violates \"entries_unique\" <script>alert('x')</script> & more";
pub(super) const PATH: &str = "/dead-letters/settlement";

fn now() -> Timestamp {
    "2026-11-22T03:14:15Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn job_id() -> Uuid {
    Uuid::from_u128(0x019a_bcde_0000_7000_8000_0000_0000_0001)
}

pub(super) fn letter_id(offset: i64) -> LetterId {
    LetterId { partition: 3, offset }
}

/// Without the style, which is the same everywhere.
pub(super) fn frame(place: &'static str) -> Frame {
    let group = ConsumerGroup::ordered("settlement", ["payments.payment.v1"]);
    let mut frame = Frame::bare("settlement", now()).at(&group, place);
    frame.style = "";
    "the-form-token".clone_into(&mut frame.form_token);
    frame
}

pub(super) fn failures() -> Vec<FailureGroup> {
    let poison = FailureGroup {
        fingerprint: "4f1c9e0b".to_owned(),
        error_class: "constraint".to_owned(),
        message: HOSTILE.to_owned(),
        example: letter_id(17),
        letters: 103_412,
        new: 103_407,
        taken: 0,
        replayed: 3,
        discarded: 2,
        first_seen_at: ago(95),
        last_seen_at: ago(2),
    };
    let foreign = FailureGroup {
        fingerprint: String::new(),
        error_class: String::new(),
        message: String::new(),
        example: letter_id(2),
        letters: 1,
        new: 1,
        replayed: 0,
        discarded: 0,
        first_seen_at: ago(4_000),
        last_seen_at: ago(4_000),
        ..poison.clone()
    };
    vec![poison, foreign]
}

pub(super) fn summary(state: State) -> Summary {
    Summary {
        id: letter_id(17),
        state,
        died_at: ago(2),
        first_failed_at: Some(ago(37)),
        source: "payments.payment.v1/7/90210".to_owned(),
        key: "pay_01m829wdj7echttsxhst26xhag".to_owned(),
        sequence: Some(4),
        event_type: Some("refund.created".to_owned()),
        error_class: "constraint".to_owned(),
        fingerprint: "4f1c9e0b".to_owned(),
        message: HOSTILE.to_owned(),
        attempts: Some(5),
        job: None,
        earlier: None,
        later: None,
        copy_of: None,
    }
}

pub(super) fn detail(state: State) -> Detail {
    let attempt = |number: u32, tier| Attempt {
        number,
        at: ago(37 - i64::from(number) * 7),
        tier,
        class: "constraint".to_owned(),
        fingerprint: "4f1c9e0b".to_owned(),
    };
    let done = Done {
        job: job_id(),
        action: Action::Replay,
        outcome: "failed".to_owned(),
        operator: "Ada <ada@example.org>".to_owned(),
        reason: "the constraint is gone".to_owned(),
        at: ago(20),
    };
    Detail {
        letter: summary(state),
        done: vec![done],
        earlier_letters: vec![letter_id(11)],
        later_letters: vec![],
        attempts: vec![attempt(1, 0), attempt(2, 1), attempt(3, 2)],
        event: Some(serde_json::json!({
            "event_id": "01932b0e-1b1c-7000-8000-000000000001",
            "event_type": "refund.created",
            "amount": 1999,
            "description": "<b>bold</b>",
        })),
        undecodable: None,
        value_bytes: Some(412),
        headers: vec![
            ("ce_type".to_owned(), Some("refund.created".to_owned())),
            ("eventing-message".to_owned(), Some(HOSTILE.to_owned())),
            ("empty".to_owned(), None),
        ],
    }
}

pub(super) fn plan(action: Action) -> Plan {
    Plan {
        id: job_id(),
        group: "settlement".to_owned(),
        action,
        selection: "fingerprint 4f1c9e0b".to_owned(),
        letters: 103_407,
        keys: 98_001,
        oldest: Some(ago(95)),
        newest: Some(ago(2)),
        failures: vec![PlannedFailure {
            fingerprint: "4f1c9e0b".to_owned(),
            error_class: "constraint".to_owned(),
            letters: 103_407,
        }],
        left_out: vec![LeftOut {
            reason: "a job has them already".to_owned(),
            letters: 12,
        }],
        first_tier: "settlement.retry.1".to_owned(),
        rate: (action == Action::Replay).then_some(500),
        canary: 5,
        handler_version: "settlement 0.1.0".to_owned(),
        serving: 2,
        made_at: ago(1),
        digest: "digest".to_owned(),
    }
}

pub(super) fn job(action: Action, state: JobState) -> Job {
    let is_replay = action == Action::Replay;
    Job {
        id: job_id(),
        group: "settlement".to_owned(),
        action,
        state,
        note: None,
        selection: "fingerprint 4f1c9e0b".to_owned(),
        operator: "Ada <ada@example.org>".to_owned(),
        reason: "the constraint is gone".to_owned(),
        created_at: ago(3),
        finished_at: None,
        letters: 103_407,
        done: 41_000,
        handled: if is_replay { 40_150 } else { 0 },
        failed_again: if is_replay { 2 } else { 0 },
        in_flight: if is_replay { 848 } else { 0 },
        rate: is_replay.then_some(500),
        canary: 5,
        canary_letters: 5,
        canary_outcomes: 5,
        handler_version: "settlement 0.1.0".to_owned(),
        owner: Some("settlement-1".to_owned()),
        serving: 2,
    }
}

pub(super) fn audit() -> Vec<AuditEntry> {
    let entry = AuditEntry {
        id: 2,
        at: ago(3),
        action: "replay".to_owned(),
        operator: "Ada <ada@example.org>".to_owned(),
        reason: "the <constraint> is gone".to_owned(),
        subject: "fingerprint 4f1c9e0b".to_owned(),
        letters: 103_407,
        job: Some(job_id()),
    };
    let accepted = AuditEntry {
        id: 1,
        at: ago(60),
        action: "accept".to_owned(),
        subject: "pay_01m829wdj7echttsxhst26xhag 4 to 5".to_owned(),
        letters: 0,
        job: None,
        ..entry.clone()
    };
    vec![entry, accepted]
}
