//! What the runtime writes into the headers of retry and dead-letter records, all UTF-8 text.
//!
//! The original headers stay as they were, and these come behind them. On a domain topic they mean nothing: whoever may write
//! there could otherwise pretend that a record had been tried before.

mod history;

use std::str::FromStr;

use jiff::Timestamp;
use uuid::Uuid;

use super::failure::{Failure, fingerprint};
use super::handler::Replay;
use super::record::{Place, Record};
use crate::headers::RecordHeaders;

pub(crate) use history::{Attempt, History};

pub(crate) const TOPIC: &str = "eventing-original-topic";
pub(crate) const PARTITION: &str = "eventing-original-partition";
pub(crate) const OFFSET: &str = "eventing-original-offset";
pub(crate) const TIMESTAMP: &str = "eventing-original-timestamp";
pub(crate) const GROUP: &str = "eventing-group";
pub(crate) const ATTEMPT: &str = "eventing-attempt";
pub(crate) const NOT_BEFORE: &str = "eventing-not-before";
pub(crate) const FIRST_FAILED_AT: &str = "eventing-first-failed-at";
pub(crate) const ERROR_CLASS: &str = "eventing-error-class";
pub(crate) const FINGERPRINT: &str = "eventing-fingerprint";
pub(crate) const MESSAGE: &str = "eventing-message";
pub(crate) const HISTORY: &str = "eventing-history";
pub(crate) const JOB: &str = "eventing-job";
pub(crate) const LETTER: &str = "eventing-letter";
pub(crate) const REQUEST: &str = "eventing-request";
pub(crate) const EARLIER_LETTERS: &str = "eventing-earlier-letters";

/// How many earlier lives of a letter are remembered.
const MAX_EARLIER_LETTERS: usize = 20;

/// What is known about a record beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The record on the domain topic.
    pub(crate) origin: Place,
    /// Its timestamp there.
    pub(crate) recorded_at: Timestamp,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it is due.
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) first_failed_at: Option<Timestamp>,
    pub(crate) history: History,
    /// The request that it comes from, if its record had been applied before.
    pub(crate) request: Option<i64>,
    /// The replay that it belongs to, if an operator sent it.
    pub(crate) replay: Option<Replay>,
    /// The dead letters that it was before, oldest first.
    pub(crate) earlier_letters: Vec<String>,
}

/// Why a failure's record goes on as it does.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) at: Timestamp,
    pub(crate) class: String,
    pub(crate) fingerprint: String,
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn new(failure: &Failure, at: Timestamp) -> Self {
        let message = failure.message();
        Self {
            at,
            class: failure.class_name().to_owned(),
            fingerprint: fingerprint(failure.class_name(), &message),
            message,
        }
    }
}

/// Why a record of a retry tier is none of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EnvelopeError {
    #[error("header {0} is missing or not utf-8")]
    Missing(&'static str),
    #[error("header {0} is not valid")]
    Invalid(&'static str),
    #[error("the record belongs to another group or topic")]
    Foreign,
}

impl Envelope {
    /// Reads what is known about a record that `group` has read.
    pub(crate) fn read(record: &Record, group: &str, topics: &[String]) -> Result<Self, EnvelopeError> {
        if record.tier == 0 {
            return Ok(Self::first(record));
        }
        let headers = &record.headers.readable;
        if headers.text(GROUP).ok_or(EnvelopeError::Missing(GROUP))? != group {
            return Err(EnvelopeError::Foreign);
        }
        let envelope = Self::from_headers(headers)?;
        if topics.iter().any(|topic| *topic == envelope.origin.topic) {
            Ok(envelope)
        } else {
            Err(EnvelopeError::Foreign)
        }
    }

    /// Nothing is known yet: the record was just read from where it was first written.
    pub(crate) fn first(record: &Record) -> Self {
        Self {
            origin: record.place.clone(),
            recorded_at: record.recorded_at,
            attempts: 0,
            not_before: None,
            first_failed_at: None,
            history: History::default(),
            request: None,
            replay: None,
            earlier_letters: Vec::new(),
        }
    }

    /// Reads the headers of a retry or dead-letter record.
    pub(crate) fn from_headers(headers: &RecordHeaders) -> Result<Self, EnvelopeError> {
        Ok(Self {
            origin: Place {
                topic: headers
                    .text(TOPIC)
                    .ok_or(EnvelopeError::Missing(TOPIC))?
                    .to_owned()
                    .into(),
                partition: required(headers, PARTITION)?,
                offset: required(headers, OFFSET)?,
            },
            recorded_at: required(headers, TIMESTAMP)?,
            attempts: required(headers, ATTEMPT)?,
            not_before: optional(headers, NOT_BEFORE)?,
            first_failed_at: optional(headers, FIRST_FAILED_AT)?,
            history: History::parse(headers.text(HISTORY).unwrap_or_default()),
            request: optional(headers, REQUEST)?,
            replay: match optional::<Uuid>(headers, JOB)? {
                None => None,
                Some(job) => {
                    let letter = headers
                        .text(LETTER)
                        .ok_or(EnvelopeError::Missing(LETTER))?
                        .to_owned();
                    Some(Replay { job, letter })
                }
            },
            earlier_letters: headers
                .text(EARLIER_LETTERS)
                .map(|letters| letters.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
        })
    }

    /// What is known after one more attempt, which failed.
    pub(crate) fn failed(&self, tier: u32, verdict: &Verdict) -> Self {
        let mut next = self.clone();
        next.attempts = next.attempts.saturating_add(1);
        next.first_failed_at = next.first_failed_at.or(Some(verdict.at));
        next.not_before = None;
        next.history.push(Attempt {
            number: next.attempts,
            at: verdict.at,
            tier,
            class: verdict.class.clone(),
            fingerprint: verdict.fingerprint.clone(),
        });
        next
    }

    /// What is known of a dead letter that is sent again.
    pub(crate) fn replayed(&self, replay: Replay, due: Timestamp) -> Self {
        let mut next = self.clone();
        next.earlier_letters.push(replay.letter.clone());
        let excess = next.earlier_letters.len().saturating_sub(MAX_EARLIER_LETTERS);
        next.earlier_letters.drain(..excess);
        next.not_before = Some(due);
        next.replay = Some(replay);
        next
    }

    /// Which failure a dead letter is about: two letters with the same answer are about one, written twice because a process
    /// died before it could commit its offset.
    pub(crate) fn life(&self) -> String {
        let Self { origin, attempts, .. } = self;
        let request = self.request.map(|request| request.to_string());
        let replay = self
            .replay
            .as_ref()
            .map(|replay| format!("{}/{}", replay.job, replay.letter));
        format!(
            "{origin} {attempts} {} {}",
            request.as_deref().unwrap_or("-"),
            replay.as_deref().unwrap_or("-")
        )
    }

    /// The record's own headers with these behind them.
    pub(crate) fn write(
        &self,
        original: &RecordHeaders,
        group: &str,
        verdict: Option<&Verdict>,
    ) -> RecordHeaders {
        let mut headers = original.clone();
        let mut set = |name: &str, value: Option<String>| match value {
            Some(value) => headers.set(name, value),
            None => headers.remove(name),
        };
        set(TOPIC, Some(self.origin.topic.to_string()));
        set(PARTITION, Some(self.origin.partition.to_string()));
        set(OFFSET, Some(self.origin.offset.to_string()));
        set(TIMESTAMP, Some(self.recorded_at.to_string()));
        set(GROUP, Some(group.to_owned()));
        set(ATTEMPT, Some(self.attempts.to_string()));
        set(NOT_BEFORE, self.not_before.as_ref().map(Timestamp::to_string));
        set(
            FIRST_FAILED_AT,
            self.first_failed_at.as_ref().map(Timestamp::to_string),
        );
        set(
            HISTORY,
            Some(self.history.to_string()).filter(|history| !history.is_empty()),
        );
        set(REQUEST, self.request.map(|request| request.to_string()));
        set(JOB, self.replay.as_ref().map(|replay| replay.job.to_string()));
        set(LETTER, self.replay.as_ref().map(|replay| replay.letter.clone()));
        set(
            EARLIER_LETTERS,
            Some(self.earlier_letters.join(" ")).filter(|letters| !letters.is_empty()),
        );
        if let Some(verdict) = verdict {
            set(ERROR_CLASS, Some(verdict.class.clone()));
            set(FINGERPRINT, Some(verdict.fingerprint.clone()));
            set(MESSAGE, Some(verdict.message.clone()));
        }
        headers
    }
}

fn required<T: FromStr>(headers: &RecordHeaders, name: &'static str) -> Result<T, EnvelopeError> {
    optional(headers, name)?.ok_or(EnvelopeError::Missing(name))
}

fn optional<T: FromStr>(headers: &RecordHeaders, name: &'static str) -> Result<Option<T>, EnvelopeError> {
    headers
        .get(name)
        .map(|value| {
            std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or(EnvelopeError::Invalid(name))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::record::Headers;

    fn record(tier: u32, headers: RecordHeaders) -> Record {
        Record {
            place: Place {
                topic: "payments.payment.v1".into(),
                partition: 3,
                offset: 17,
            },
            tier,
            parked: false,
            recorded_at: Timestamp::from_microsecond(1_700_000_000_123_000).unwrap(),
            key: Some(b"pay_1".to_vec()),
            payload: Some(vec![0]),
            headers: Headers {
                readable: headers,
                unreadable: None,
            },
        }
    }

    fn read(record: &Record) -> Result<Envelope, EnvelopeError> {
        Envelope::read(record, "g", &["payments.payment.v1".to_owned()])
    }

    fn verdict() -> Verdict {
        Verdict::new(
            &Failure::retry("no answer"),
            Timestamp::from_microsecond(1_700_000_001_000_000).unwrap(),
        )
    }

    #[test]
    fn what_is_known_survives_the_way_over_a_tier_behind_the_original_headers() {
        let mut original = RecordHeaders::new();
        original.push("ce_id", "1");
        let first = read(&record(0, original.clone())).unwrap();

        let mut failed = first.failed(0, &verdict());
        failed.not_before = Some(Timestamp::from_microsecond(1_700_000_002_000_000).unwrap());
        failed.replay = Some(Replay {
            job: Uuid::from_u128(7),
            letter: "0-1".into(),
        });
        let headers = failed.write(&original, "g", Some(&verdict()));

        assert_eq!(headers.iter().next(), Some(("ce_id", Some(&b"1"[..]))));
        assert_eq!(read(&record(1, headers)).unwrap(), failed);
        assert_eq!(failed.attempts, 1);
        assert_eq!(failed.origin.offset, 17);
    }

    #[test]
    fn our_headers_mean_nothing_on_a_domain_topic() {
        let mut pretended = RecordHeaders::new();
        pretended.push(ATTEMPT, "9");
        pretended.push(TOPIC, "elsewhere");
        let envelope = read(&record(0, pretended.clone())).unwrap();
        assert_eq!(
            (envelope.attempts, &*envelope.origin.topic),
            (0, "payments.payment.v1")
        );
        let written = envelope
            .failed(0, &verdict())
            .write(&pretended, "g", Some(&verdict()));
        assert_eq!(written.text(ATTEMPT), Some("1"));
        assert_eq!(written.iter().filter(|(name, _)| *name == TOPIC).count(), 1);
    }

    #[test]
    fn a_tier_record_of_someone_else_or_with_a_broken_header_is_refused() {
        let good = read(&record(0, RecordHeaders::new()))
            .unwrap()
            .write(&RecordHeaders::new(), "g", None);
        let with = |name: &str, value: &str| {
            let mut headers = good.clone();
            headers.set(name, value);
            read(&record(1, headers))
        };
        assert_eq!(with(GROUP, "other"), Err(EnvelopeError::Foreign));
        assert_eq!(with(TOPIC, "other.topic.v1"), Err(EnvelopeError::Foreign));
        assert_eq!(with(OFFSET, "x"), Err(EnvelopeError::Invalid(OFFSET)));
        assert_eq!(with(NOT_BEFORE, "soon"), Err(EnvelopeError::Invalid(NOT_BEFORE)));
        assert_eq!(
            read(&record(1, RecordHeaders::new())),
            Err(EnvelopeError::Missing(GROUP))
        );
    }

    #[test]
    fn earlier_lives_are_remembered_and_bounded() {
        let mut envelope = read(&record(0, RecordHeaders::new())).unwrap();
        for offset in 0..25 {
            let replay = Replay {
                job: Uuid::nil(),
                letter: format!("0-{offset}"),
            };
            envelope = envelope.replayed(replay, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(envelope.earlier_letters.len(), MAX_EARLIER_LETTERS);
        assert_eq!(envelope.earlier_letters.last().unwrap(), "0-24");
    }
}
