//! The history checker: writes, breaks things, heals them, and then asks whether every promise of `eventing` was kept.
//!
//! Writers in two processes, each with a relay, make random transitions on random aggregates; an ordered and an unordered group
//! of two processes each write down what they applied; some events fail by plan, and an operator replays or discards their dead
//! letters. Among the events are records that are none, and have to become letters. Meanwhile a nemesis kills, pauses and cuts off
//! whatever there is. In the end [`check::violations`] compares what was committed, what lies on the topic, and what was applied.
//!
//! The seed decides what the nemesis does and when, which events fail, and what the operator decides. It does not decide how the
//! machine schedules processes: a second run with the same seed is a similar history, not the same one.

pub mod check;
pub mod collect;
pub mod consumer;
pub mod drive;
pub mod heal;
pub mod model;
pub mod nemesis;
pub mod operator;
pub mod plan;
pub mod random;
pub mod schedule;
pub mod settings;
pub mod stage;
pub mod story;
pub mod strays;
pub mod timeline;
pub mod writer;
pub mod wrong;
