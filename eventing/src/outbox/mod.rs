//! The outbox: a state change and its event commit together, and that is the only way an event comes to exist.
//!
//! What a newcomer gets wrong: the aggregate's row has to be locked before [`Outbox::append`] is called. The lock is what
//! numbers an aggregate's outbox rows in the order in which they commit, and the relay publishes by that number.

pub mod cli;
mod lanes;
pub mod set_aside;

use std::collections::HashMap;
use std::sync::Arc;

use jiff_sqlx::ToSqlx as _;
use schemas::DomainEvent;
use schemas::catalogue::{TOPICS, Topic};
use schemas::codec::{self, CodecError};
use sqlx::PgTransaction;
use tracing::Instrument as _;

pub(crate) use self::lanes::Wakes;
pub use self::lanes::{Appended, LANES, Lane};
use crate::headers::{CloudEvent, HeadersError, TRACEPARENT};
use crate::registry::RegistryError;
use crate::{Clock, SchemaRegistry, trace};

/// Appends a service's events to its outbox. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: &'static str,
    schema_ids: HashMap<&'static str, u32>,
    clock: Clock,
    wakes: Wakes,
}

/// Why an event was not appended. The caller's transaction must not commit after it.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The topic belongs to another service.
    #[error("service {service:?} is not the writer of topic {topic}, which is {writer:?}")]
    ForeignTopic {
        /// Who tried.
        service: &'static str,
        /// Where to.
        topic: &'static str,
        /// Who may.
        writer: &'static str,
    },
    /// Sequences are dense from 1, so an aggregate starts at 0 and its first transition makes 1.
    #[error("event {event_type} of {key} has sequence {sequence}, expected 1 or more")]
    Sequence {
        /// The aggregate.
        key: String,
        /// What happened to it.
        event_type: &'static str,
        /// The event's number.
        sequence: i64,
    },
    /// `unknown` stands for what a newer writer wrote, `withheld` for what an operator discarded; neither can happen to an aggregate.
    #[error("an event of type {event_type} of {key} cannot be appended: no transition makes one")]
    EventType {
        /// The aggregate.
        key: String,
        /// The event's type.
        event_type: &'static str,
    },
    /// The event has no bytes under its own schema.
    #[error("the event cannot be encoded")]
    Encode(#[from] CodecError),
    /// The headers cannot be stored.
    #[error("the event's headers cannot be stored")]
    Headers(#[from] HeadersError),
    /// The insert failed.
    #[error("the outbox row cannot be inserted")]
    Database(#[from] sqlx::Error),
}

impl Outbox {
    /// The outbox of `service`, which is the `ce_source` of its events and must be the writer of their topics.
    ///
    /// Looks up the ids of its topics' schemas: in the service's database, and the first time in the registry.
    pub async fn load(
        service: &'static str,
        registry: &SchemaRegistry,
        clock: Clock,
    ) -> Result<Self, RegistryError> {
        let mut schema_ids = HashMap::new();
        for topic in TOPICS.into_iter().filter(|topic| topic.writer == service) {
            schema_ids.insert(topic.name, registry.id_of(&topic.subject(), topic.schema).await?);
        }
        Ok(Self(Arc::new(Inner {
            service,
            schema_ids,
            clock,
            wakes: Wakes::default(),
        })))
    }

    /// Appends an event in the caller's transaction, which holds the row lock of the event's aggregate.
    ///
    /// The current trace context becomes the event's creation context. It is one statement, which also tells whether the relay
    /// of the event's lane sleeps; give what it returns to [`Outbox::committed`].
    pub async fn append<E: DomainEvent>(
        &self,
        tx: &mut PgTransaction<'_>,
        event: &E,
    ) -> Result<Appended, AppendError> {
        let topic = E::topic();
        let schema_id = self.check(topic, event)?;
        let create = tracing::info_span!(
            "create",
            otel.name = format!("create {}", topic.name),
            otel.kind = "producer",
            messaging.system = "kafka",
            messaging.operation.name = "create",
            messaging.operation.type = "create",
            messaging.destination.name = topic.name,
        );
        let key = event.aggregate_key();
        let payload = codec::frame(schema_id, &codec::encode(event)?);
        let headers = self.headers(event, &key, &create).to_bytes()?;
        let lane = Lane::of(topic.name, &key);
        let is_asleep = sqlx::query_scalar!(
            "insert into eventing.outbox (lane, topic, key, sequence, payload, headers, created_at)
             values ($1, $2, $3, $4, $5, $6, $7)
             returning (select asleep from eventing.outbox_lanes as lanes where lanes.lane = $1)",
            lane.number(),
            topic.name,
            key,
            event.sequence(),
            payload,
            headers,
            self.0.clock.now().to_sqlx() as _,
        )
        .fetch_one(&mut **tx)
        .instrument(create)
        .await?;
        Ok(Appended::one(lane, is_asleep.unwrap_or_default()))
    }

    /// Wakes whoever relays what was appended, so that it need not poll. Call it after the commit; it does not wait, and does
    /// nothing for a transaction that appended nothing. Without it, the events are found up to a quarter of a second later.
    pub fn committed(&self, appended: Appended) {
        self.0.wakes.committed(appended);
    }

    pub(crate) fn wakes(&self) -> &Wakes {
        &self.0.wakes
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn service(&self) -> &'static str {
        self.0.service
    }

    fn check<E: DomainEvent>(&self, topic: &'static Topic, event: &E) -> Result<u32, AppendError> {
        let event_type = event.event_type();
        if event.sequence() < 1 {
            let (key, sequence) = (event.aggregate_key(), event.sequence());
            return Err(AppendError::Sequence {
                key,
                event_type,
                sequence,
            });
        }
        if event_type == "unknown" || event_type.ends_with(".withheld") {
            return Err(AppendError::EventType {
                key: event.aggregate_key(),
                event_type,
            });
        }
        self.0
            .schema_ids
            .get(topic.name)
            .copied()
            .ok_or(AppendError::ForeignTopic {
                service: self.0.service,
                topic: topic.name,
                writer: topic.writer,
            })
    }

    fn headers<E: DomainEvent>(
        &self,
        event: &E,
        key: &str,
        create: &tracing::Span,
    ) -> crate::headers::RecordHeaders {
        let mut headers = CloudEvent {
            id: event.event_id().uuid(),
            event_type: event.event_type().to_owned(),
            source: self.0.service.to_owned(),
            time: event.occurred_at(),
            subject: key.to_owned(),
            sequence: event.sequence(),
        }
        .to_headers();
        // The span may be filtered out by its level; the request's own context is then the next best.
        let traceparent =
            trace::traceparent_of(create).or_else(|| trace::traceparent_of(&tracing::Span::current()));
        if let Some(traceparent) = traceparent {
            headers.push(TRACEPARENT, traceparent);
        }
        headers
    }
}
