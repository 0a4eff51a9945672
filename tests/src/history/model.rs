//! What a history consists of, once it is over.

use std::collections::BTreeSet;

use uuid::Uuid;

/// Milliseconds since the run began.
pub type Millis = i64;

/// An event that the writers' database holds as committed.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The aggregate.
    pub key: String,
    /// Its number within the aggregate.
    pub sequence: i64,
    /// The event.
    pub event_id: Uuid,
    /// The writer and its transaction, for people.
    pub transaction: String,
    /// When it was written, which is before it was committed.
    pub at: Millis,
}

/// A record on the topic.
#[derive(Debug, Clone)]
pub struct Published {
    /// The aggregate.
    pub key: String,
    /// What its header says.
    pub sequence: i64,
    /// What its header says.
    pub event_id: Uuid,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// An event that a group has applied: a row that its handler wrote.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The aggregate.
    pub key: String,
    /// Its number within the aggregate.
    pub sequence: i64,
    /// The event.
    pub event_id: Uuid,
    /// Counts the group's rows in the order in which they were inserted.
    pub position: i64,
    /// Which attempt it was.
    pub attempt: u32,
    /// Whether an operator had sent it again.
    pub replayed: bool,
    /// The process.
    pub member: String,
    /// When.
    pub at: Millis,
}

/// A record on the topic that is no event.
#[derive(Debug, Clone)]
pub struct Stray {
    /// Of which class its letters have to be.
    pub class: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The aggregate.
    pub key: String,
    /// Its number within the aggregate, unless the record does not tell.
    pub sequence: i64,
    /// The partition of the dead-letter topic.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// Why.
    pub class: String,
    /// Where its record lay on the domain topic: partition and offset.
    pub source: (i32, i64),
    /// How often that was tried. Letters of one source with the same number are copies: a process died before it could commit.
    pub attempts: u32,
}

/// Whether a group sees each aggregate's events in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It does, and each once.
    Ordered,
    /// It does not, and tells a repeated event by its own unique keys.
    Unordered,
}

impl Kind {
    /// The group's name.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Ordered => "history-ordered",
            Self::Unordered => "history-unordered",
        }
    }

    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ordered, Self::Unordered];
}

/// What one group did.
#[derive(Debug, Clone)]
pub struct Group {
    /// Which.
    pub kind: Kind,
    /// What it applied, by position.
    pub applied: Vec<Applied>,
    /// Its dead letters, by partition and offset.
    pub letters: Vec<Letter>,
    /// Of how many events of an aggregate a set-wise counter of the handler's knows: it must agree with the rows.
    pub totals: Vec<(String, i64)>,
}

/// Something that the nemesis or the run did.
#[derive(Debug, Clone)]
pub struct Happening {
    /// When.
    pub at: Millis,
    /// What.
    pub what: String,
}

/// A whole history.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Decides the plans.
    pub seed: u64,
    /// The truth about what was committed, by aggregate and sequence.
    pub commits: Vec<Commit>,
    /// The events whose commit was acknowledged to a writer.
    pub acknowledged: BTreeSet<Uuid>,
    /// The events that a writer rolled back.
    pub rolled_back: BTreeSet<Uuid>,
    /// The topic, by partition and offset.
    pub topic: Vec<Published>,
    /// What else lies there.
    pub strays: Vec<Stray>,
    /// The groups.
    pub groups: Vec<Group>,
    /// What the nemesis did, by time.
    pub happenings: Vec<Happening>,
}
