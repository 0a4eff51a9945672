//! Which topics exist, asked before a record is handed over.
//!
//! A producer would find out by itself, but only after half a minute, and everyone else's records would wait with it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

/// How often an unknown topic is asked for again.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Shorter than the silence that PostgreSQL allows a leader, who waits for this answer.
const METADATA_DEADLINE: Duration = Duration::from_secs(2);

/// What we know about the topics that rows have named. Bounded by the service's own topics.
#[derive(Debug)]
pub(super) struct Topics {
    grace: Duration,
    states: HashMap<String, State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Exists,
    Unknown { since: Instant, asked: Instant },
}

/// What is to become of a topic's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    /// The topic may be about to be created: leave its rows where they are.
    Hold,
    /// The topic is not there.
    Refuse,
}

impl Topics {
    /// A topic is held for `grace` before its rows are refused.
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            states: HashMap::new(),
        }
    }

    /// Topics whose rows are not to be read now.
    pub(super) fn held(&self, now: Instant) -> Vec<String> {
        let held = self
            .states
            .iter()
            .filter(|(_, state)| state.verdict(self.grace, now) == Verdict::Hold);
        held.map(|(topic, _)| topic.clone()).collect()
    }

    /// What to do with a topic's rows, after [`Topics::is_due`] was heeded.
    pub(super) fn verdict(&self, topic: &str, now: Instant) -> Verdict {
        self.states
            .get(topic)
            .map_or(Verdict::Hold, |state| state.verdict(self.grace, now))
    }

    /// Whether the broker has to be asked about this topic.
    pub(super) fn is_due(&self, topic: &str, now: Instant) -> bool {
        match self.states.get(topic) {
            None => true,
            Some(State::Exists) => false,
            // No row is refused on an old answer: an operator may have created the topic and retried it just now.
            Some(State::Unknown { since, asked }) => {
                now.duration_since(*asked) >= ASK_EVERY || now.duration_since(*since) >= self.grace
            }
        }
    }

    /// Records the broker's answer.
    pub(super) fn learn(&mut self, topic: &str, exists: bool, now: Instant) {
        let state = match (exists, self.states.get(topic)) {
            (true, _) => State::Exists,
            (false, Some(State::Unknown { since, .. })) => State::Unknown {
                since: *since,
                asked: now,
            },
            (false, _) => State::Unknown {
                since: now,
                asked: now,
            },
        };
        self.states.insert(topic.to_owned(), state);
    }

    /// Forgets a topic that exists no more, so that it is asked for again.
    pub(super) fn forget(&mut self, topic: &str) {
        if let Some(State::Exists) = self.states.get(topic) {
            self.states.remove(topic);
        }
    }
}

impl State {
    fn verdict(self, grace: Duration, now: Instant) -> Verdict {
        match self {
            Self::Exists => Verdict::Send,
            Self::Unknown { since, .. } if now.duration_since(since) < grace => Verdict::Hold,
            Self::Unknown { .. } => Verdict::Refuse,
        }
    }
}

/// Asks the brokers whether a topic exists. Blocks.
pub(super) fn exists<C: ClientContext>(client: &Client<C>, topic: &str) -> KafkaResult<bool> {
    let metadata = match client.fetch_metadata(Some(topic), METADATA_DEADLINE) {
        Err(KafkaError::MetadataFetch(code)) if is_missing(code) => return Ok(false),
        answer => answer?,
    };
    let error = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic)
        .and_then(rdkafka::metadata::MetadataTopic::error)
        .map(RDKafkaErrorCode::from);
    match error {
        None | Some(RDKafkaErrorCode::LeaderNotAvailable) => Ok(true),
        Some(code) if is_missing(code) => Ok(false),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

/// Whether an error says that there is no such topic.
pub(super) fn is_missing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::InvalidTopic
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_topic_is_held_for_its_grace_and_then_refused_until_it_exists() {
        let mut topics = Topics::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(topics.is_due("t", start));

        topics.learn("t", false, start);
        assert!(!topics.is_due("t", start) && topics.is_due("t", at(1)));
        assert_eq!(
            (topics.verdict("t", at(9)), topics.held(at(9))),
            (Verdict::Hold, vec!["t".to_owned()])
        );

        topics.learn("t", false, at(10));
        assert_eq!(
            (topics.verdict("t", at(10)), topics.held(at(10))),
            (Verdict::Refuse, vec![])
        );

        topics.learn("t", true, at(11));
        assert_eq!(topics.verdict("t", at(11)), Verdict::Send);
        assert!(!topics.is_due("t", at(100)));
    }
}
