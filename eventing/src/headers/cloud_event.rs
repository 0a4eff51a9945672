use std::str::FromStr as _;

use jiff::Timestamp;
use uuid::Uuid;

use super::RecordHeaders;

const ID: &str = "ce_id";
pub(crate) const TYPE: &str = "ce_type";
const SOURCE: &str = "ce_source";
const TIME: &str = "ce_time";
const SPEC_VERSION: &str = "ce_specversion";
const SUBJECT: &str = "ce_subject";
const SEQUENCE: &str = "ce_sequence";
const CONTENT_TYPE: &str = "content-type";

/// The attributes of a `CloudEvent`, which travel as headers (`ce_…`) in Kafka's binary mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// The event's own id; the same in every copy of it.
    pub id: Uuid,
    /// What happened, such as `payment.succeeded`.
    pub event_type: String,
    /// The service that says so.
    pub source: String,
    /// When it happened.
    pub time: Timestamp,
    /// The aggregate, in the same words as the record's key.
    pub subject: String,
    /// The event's number within its aggregate: dense, from 1.
    pub sequence: i64,
}

/// Why a record's headers are no `CloudEvent`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CloudEventError {
    /// A header is missing or not UTF-8.
    #[error("header {0} is missing or not utf-8")]
    Missing(&'static str),
    /// A header's value is not what it should be.
    #[error("header {0} is not valid")]
    Invalid(&'static str),
}

impl CloudEvent {
    /// The attributes as headers.
    pub fn to_headers(&self) -> RecordHeaders {
        let mut headers = RecordHeaders::new();
        headers.push(SPEC_VERSION, "1.0");
        headers.push(ID, self.id.to_string());
        headers.push(TYPE, self.event_type.as_str());
        headers.push(SOURCE, self.source.as_str());
        headers.push(TIME, self.time.to_string());
        headers.push(SUBJECT, self.subject.as_str());
        headers.push(SEQUENCE, self.sequence.to_string());
        headers.push(CONTENT_TYPE, "application/avro");
        headers
    }

    /// Reads the attributes; unknown headers are no concern of this.
    pub fn from_headers(headers: &RecordHeaders) -> Result<Self, CloudEventError> {
        let text = |name| headers.text(name).ok_or(CloudEventError::Missing(name));
        Ok(Self {
            id: Uuid::parse_str(text(ID)?).map_err(|_| CloudEventError::Invalid(ID))?,
            event_type: text(TYPE)?.to_owned(),
            source: text(SOURCE)?.to_owned(),
            time: Timestamp::from_str(text(TIME)?).map_err(|_| CloudEventError::Invalid(TIME))?,
            subject: text(SUBJECT)?.to_owned(),
            sequence: sequence(text(SEQUENCE)?).ok_or(CloudEventError::Invalid(SEQUENCE))?,
        })
    }
}

fn sequence(text: &str) -> Option<i64> {
    text.parse().ok().filter(|sequence| *sequence >= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CloudEvent {
        CloudEvent {
            id: Uuid::from_u128(7),
            event_type: "payment.succeeded".into(),
            source: "payment-gateway".into(),
            time: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
            subject: "pay_01h455vb4pex5vsknk084sn02q".into(),
            sequence: 3,
        }
    }

    #[test]
    fn attributes_survive_the_way_over_headers() {
        let headers = sample().to_headers();
        assert_eq!(headers.text("ce_time"), Some("2023-11-14T22:13:20.123456Z"));
        assert_eq!(CloudEvent::from_headers(&headers).unwrap(), sample());
    }

    #[test]
    fn a_missing_or_wrong_attribute_is_named() {
        let mut headers = sample().to_headers();
        headers.set("ce_sequence", "0");
        assert_eq!(
            CloudEvent::from_headers(&headers),
            Err(CloudEventError::Invalid("ce_sequence"))
        );
        headers.remove("ce_sequence");
        assert_eq!(
            CloudEvent::from_headers(&headers),
            Err(CloudEventError::Missing("ce_sequence"))
        );
    }
}
