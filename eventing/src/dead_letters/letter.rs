use schemas::Event;

use super::id::LetterId;
use crate::SchemaRegistry;
use crate::consumer::decode::{Bounds, decode};
use crate::consumer::envelope::{self, Envelope};
use crate::consumer::record::Record;
use crate::headers::CloudEvent;

/// A dead letter as it lies on the topic.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) id: LetterId,
    pub(crate) record: Record,
    /// None when the record is no letter of the runtime's.
    pub(crate) envelope: Option<Envelope>,
}

/// The place of a letter's event in its aggregate's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) sequence: i64,
}

impl Letter {
    pub(crate) fn new(record: Record) -> Self {
        Self {
            id: LetterId {
                partition: record.place.partition,
                offset: record.place.offset,
            },
            envelope: Envelope::from_headers(&record.headers.readable).ok(),
            record,
        }
    }

    pub(crate) fn text(&self, header: &str) -> &str {
        self.record.headers.readable.text(header).unwrap_or_default()
    }

    pub(crate) fn fingerprint(&self) -> &str {
        self.text(envelope::FINGERPRINT)
    }

    pub(crate) fn is_replayable(&self) -> bool {
        self.envelope.is_some()
    }

    /// The key as it can be shown: anyone's bytes may have got here.
    pub(crate) fn shown_key(&self) -> String {
        match &self.record.key {
            None => "-".to_owned(),
            Some(key) => String::from_utf8_lossy(key).escape_debug().to_string(),
        }
    }

    pub(crate) async fn event(&self, registry: &SchemaRegistry) -> Result<Event, String> {
        let Some(envelope) = &self.envelope else {
            return Err("the record's headers do not say where it comes from".to_owned());
        };
        decode(&self.record, &envelope.origin.topic, registry, Bounds::LOOSE)
            .await
            .map_err(|failure| failure.to_string())
    }

    /// Where its event stands: as the event says, and if it cannot be decoded, as its headers do. None when it has no such
    /// place, and hence holds nothing back.
    pub(crate) async fn turn(&self, registry: &SchemaRegistry) -> Option<Turn> {
        let topic = self.envelope.as_ref()?.origin.topic.to_string();
        if let Ok(event) = self.event(registry).await {
            return Some(Turn {
                topic,
                key: event.aggregate_key(),
                sequence: event.sequence(),
            });
        }
        let said = CloudEvent::from_headers(&self.record.headers.readable).ok()?;
        let key = self.record.key_text()?;
        (said.subject == key).then(|| Turn {
            topic,
            key: key.to_owned(),
            sequence: said.sequence,
        })
    }
}

/// A text without what could write to a terminal, or cannot be stored.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
