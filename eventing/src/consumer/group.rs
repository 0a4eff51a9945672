use std::time::Duration;

use schemas::catalogue;

use super::breaker::BreakerSettings;
use super::decode::Bounds;

/// How often a failed record is tried again, unless the group says otherwise: 5 s, 30 s, 5 min, 30 min.
const DEFAULT_TIERS: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
    Duration::from_mins(30),
];

/// How many keys are worked on at once. More than 8 gained little in measurements: the database is the limit then.
const DEFAULT_WORKERS: usize = 8;

/// How many records are applied in one transaction. Measured: rows that are flushed together cost a third less in 500s than in
/// 100s, and hardly less in more.
const DEFAULT_BATCH: usize = 500;

/// Over one call of a handler's step.
const DEFAULT_HANDLER_DEADLINE: Duration = Duration::from_secs(30);

/// How long a shutdown or a revoked partition waits for the records that are being handled.
const DEFAULT_DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// The largest value that reaches a handler: what a domain topic accepts.
const DEFAULT_MAX_RECORD_BYTES: usize = catalogue::MAX_RECORD_BYTES as usize;

/// Items of all arrays and maps of an event that reaches a handler.
const DEFAULT_MAX_ITEMS: usize = 10_000;

/// Which of an aggregate's events a group may see when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// Each aggregate's events in the order of their sequence, each applied once; an event that fails holds back the later
    /// ones of its aggregate.
    PerKey,
    /// Events as they come. The unique keys of what the handler writes tell a repeated event.
    Unordered,
}

/// What a consumer group reads, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerGroup {
    /// The group's name: in Kafka, in its retry and dead-letter topics, in its tables, metrics and logs.
    pub name: String,
    /// The domain topics that it reads, by their names in the catalogue.
    pub topics: Vec<String>,
    /// Which of an aggregate's events it may see when.
    pub ordering: Ordering,
    /// How long each retry tier waits at least; up to a fifth is added. There is one topic per tier.
    pub tiers: Vec<Duration>,
    /// The version of its handler: that of this binary, unless the group says otherwise.
    pub version: String,
    /// How many workers share the keys.
    pub workers: usize,
    /// How many of the records that wait for a worker are applied in one transaction, at most.
    pub batch: usize,
    /// Over `prepare`, and again over `apply` with its transaction.
    pub handler_deadline: Duration,
    /// How long a shutdown or a revoked partition waits for the records that are being handled.
    pub drain_deadline: Duration,
    /// A larger value is dead-lettered before the handler sees it.
    pub max_record_bytes: usize,
    /// A value whose arrays and maps have more items together is dead-lettered before it is decoded, however few bytes it has.
    /// 10,000 by default; our events have none.
    pub max_items: usize,
    /// For how long an unordered group's handler keeps the rows whose unique keys tell a repeated event; none when for ever.
    pub rows_kept_for: Option<Duration>,
    /// When failures that are alike hold the group, because something that its handler depends on is down.
    pub breaker: BreakerSettings,
}

impl ConsumerGroup {
    /// A group that sees each aggregate's events in order, and each once.
    pub fn ordered<T: Into<String>>(name: impl Into<String>, topics: impl IntoIterator<Item = T>) -> Self {
        Self::new(
            name.into(),
            topics.into_iter().map(Into::into).collect(),
            Ordering::PerKey,
        )
    }

    /// A group whose handler deduplicates by its own unique keys.
    pub fn unordered<T: Into<String>>(name: impl Into<String>, topics: impl IntoIterator<Item = T>) -> Self {
        Self::new(
            name.into(),
            topics.into_iter().map(Into::into).collect(),
            Ordering::Unordered,
        )
    }

    fn new(name: String, topics: Vec<String>, ordering: Ordering) -> Self {
        Self {
            name,
            topics,
            ordering,
            tiers: DEFAULT_TIERS.to_vec(),
            version: crate::version::of_this_binary().to_owned(),
            workers: DEFAULT_WORKERS,
            batch: DEFAULT_BATCH,
            handler_deadline: DEFAULT_HANDLER_DEADLINE,
            drain_deadline: DEFAULT_DRAIN_DEADLINE,
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            max_items: DEFAULT_MAX_ITEMS,
            rows_kept_for: None,
            breaker: BreakerSettings::default(),
        }
    }

    /// Replaces the retry tiers: how long each waits at least.
    #[must_use]
    pub fn tiers(mut self, tiers: impl IntoIterator<Item = Duration>) -> Self {
        self.tiers = tiers.into_iter().collect();
        self
    }

    /// Replaces the version of the handler, by which an operator sees that it is another one than when something was planned.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Replaces the number of workers.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Replaces how many records are applied in one transaction, at most.
    #[must_use]
    pub fn batch(mut self, records: usize) -> Self {
        self.batch = records;
        self
    }

    /// Replaces the deadline over one call of a handler's step.
    #[must_use]
    pub fn handler_deadline(mut self, deadline: Duration) -> Self {
        self.handler_deadline = deadline;
        self
    }

    /// Replaces the time that a shutdown or a revoked partition waits for the records that are being handled.
    #[must_use]
    pub fn drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain_deadline = deadline;
        self
    }

    /// Says for how long the handler keeps the rows whose unique keys tell a repeated event. A record that is older is
    /// dead-lettered, not applied, because nobody can tell any more whether it was.
    ///
    /// Longer than the topics' retention, or than anyone may want to replay: a group that was down for so long, or that reads a
    /// topic from its beginning, has all older records among its dead letters.
    #[must_use]
    pub fn rows_kept_for(mut self, time: Duration) -> Self {
        self.rows_kept_for = Some(time);
        self
    }

    /// The topic of a retry tier, numbered from 1.
    pub fn retry_topic(&self, tier: u32) -> String {
        catalogue::retry_topic(&self.name, tier)
    }

    /// The topic of the group's dead letters.
    pub fn dead_letter_topic(&self) -> String {
        catalogue::dead_letter_topic(&self.name)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            bytes: self.max_record_bytes,
            items: self.max_items,
        }
    }

    /// Records in a member's hands at most: a batch of each worker, one that waits for it, and one that is being read meanwhile.
    pub(crate) fn max_in_hand(&self) -> usize {
        self.workers.saturating_mul(self.batch).saturating_mul(3)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.topics.is_empty() {
            return Err("a group reads at least one topic".to_owned());
        }
        if let Some(topic) = self.topics.iter().find(|topic| catalogue::topic(topic).is_none()) {
            return Err(format!("topic {topic:?} is not in the catalogue"));
        }
        if self.tiers.is_empty() || u32::try_from(self.tiers.len()).is_err() {
            // Replayed dead letters go to the first tier as well.
            return Err("a group has at least one retry tier".to_owned());
        }
        if self.workers == 0 {
            return Err("a group has at least one worker".to_owned());
        }
        if self.rows_kept_for.is_some() && self.ordering == Ordering::PerKey {
            return Err(
                "an ordered group tells a repeated event by its watermarks, which it keeps".to_owned(),
            );
        }
        if self.batch == 0 {
            return Err("a batch has at least one record".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_cannot_work_is_refused_with_the_reason() {
        let group = ConsumerGroup::ordered("g", ["payments.payment.v1"]);
        assert_eq!(group.check(), Ok(()));
        assert!(
            group
                .clone()
                .tiers([])
                .check()
                .unwrap_err()
                .contains("retry tier")
        );
        let forgets = group.clone().rows_kept_for(Duration::from_hours(1));
        assert!(forgets.check().unwrap_err().contains("watermarks"));
        assert!(group.clone().batch(0).check().unwrap_err().contains("batch"));
        assert!(group.clone().workers(0).check().unwrap_err().contains("worker"));
        assert!(
            ConsumerGroup::unordered("g", ["nothing.v1"])
                .check()
                .unwrap_err()
                .contains("nothing.v1")
        );
        assert!(
            ConsumerGroup::unordered("g", <[&str; 0]>::default())
                .check()
                .is_err()
        );
    }

    #[test]
    fn the_default_tiers_are_those_of_the_catalogue() {
        let group = ConsumerGroup::ordered("g", ["payments.payment.v1"]);
        for declared in catalogue::GROUPS {
            assert_eq!(group.tiers.len(), declared.tiers as usize, "{}", declared.name);
        }
    }
}
