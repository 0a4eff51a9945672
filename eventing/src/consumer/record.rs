use std::borrow::Cow;

use jiff::Timestamp;
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;

use crate::headers::{CE_TYPE, HeadersError, RecordHeaders};

/// A record as it was read from one of the group's topics, with its bytes untouched.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) place: Place,
    /// The retry tier it was read from; 0 for a domain topic.
    pub(crate) tier: u32,
    /// It was read earlier and waited in the group's database.
    pub(crate) parked: bool,
    pub(crate) recorded_at: Timestamp,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Headers,
}

/// Borrowed from the catalogue, if it has the topic: every record has its name.
pub(crate) type TopicName = Cow<'static, str>;

/// Where a record is: a topic by its name in the catalogue, and the place in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) topic: TopicName,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A record's headers; those that cannot be read are reported, and go no further.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers {
    pub(crate) readable: RecordHeaders,
    pub(crate) unreadable: Option<HeadersError>,
}

impl Record {
    /// Copies a record that was read from `topic` of the catalogue.
    pub(crate) fn copy(message: &BorrowedMessage<'_>, topic: impl Into<TopicName>, tier: u32) -> Self {
        let headers = match RecordHeaders::from_kafka(message.headers()) {
            Ok(readable) => Headers {
                readable,
                unreadable: None,
            },
            Err(error) => Headers {
                readable: RecordHeaders::new(),
                unreadable: Some(error),
            },
        };
        Self {
            place: Place {
                topic: topic.into(),
                partition: message.partition(),
                offset: message.offset(),
            },
            tier,
            parked: false,
            recorded_at: message
                .timestamp()
                .to_millis()
                .and_then(|millis| Timestamp::from_millisecond(millis).ok())
                .unwrap_or(Timestamp::UNIX_EPOCH),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }

    /// The event's type as its header says; `""` for a record that does not say it.
    pub(crate) fn event_type(&self) -> &str {
        self.headers.readable.text(CE_TYPE).unwrap_or_default()
    }

    /// The key as text, which is what all keys of ours are.
    pub(crate) fn key_text(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?)
            .ok()
            .filter(|key| !key.is_empty())
    }

    /// How much memory it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let of = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        of(&self.key) + of(&self.payload) + self.headers.readable.byte_count()
    }
}
