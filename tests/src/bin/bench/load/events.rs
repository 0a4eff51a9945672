//! Events for consumers: real ones, in the order of their sequence, on a topic.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use eventing::KafkaSettings;
use jiff::Timestamp;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use schemas::catalogue::PAYMENTS;
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus};
use schemas::{Currency, DomainEvent as _, EventId, MerchantId, PaymentNo, codec};
use uuid::Uuid;

use super::purchases;

/// The id that the stand gives the payments' schema.
const SCHEMA_ID: u32 = 1;
/// How many events an aggregate has.
const EVENTS_PER_AGGREGATE: u64 = 5;
/// Until the broker has everything.
pub(crate) const FLUSH: Duration = Duration::from_mins(2);

/// The event of this number out of so many: the aggregates take turns, so that an aggregate's events lie far apart.
pub(crate) fn event(number: u64, count: u64) -> Result<PaymentEvent> {
    let aggregates = (count / EVENTS_PER_AGGREGATE).max(1);
    let (aggregate, sequence) = (number % aggregates, number / aggregates + 1);
    let id =
        |kind: u64, number: u64| Uuid::from_u64_pair(0x0190_0000_0000_7000 | kind << 16, 1 << 63 | number);
    let occurred_us = 1_767_225_600_000_000 + i64::try_from(number)?;
    Ok(PaymentEvent {
        event_id: EventId::from_uuid(id(1, number)),
        event_type: PaymentEventType::Processing,
        occurred_at: Timestamp::from_microsecond(occurred_us)?,
        payment_no: PaymentNo::from_uuid(id(2, aggregate)),
        merchant_id: MerchantId::from_uuid(id(3, aggregate % 100)),
        sequence: i64::try_from(sequence)?,
        old_status: Some(PaymentStatus::Pending),
        new_status: PaymentStatus::Processing,
        amount: 1_000 + i64::try_from(number % 9_000)?,
        amount_refunded: 0,
        currency: Currency::parse("EUR")?,
        order_no: format!("order-{aggregate}"),
        customer_ref: None,
        channel: "stripe".into(),
        failure_code: None,
        refund: None,
    })
}

/// Produces so many events, and returns when the broker has them.
pub(crate) fn produce(kafka: &KafkaSettings, count: u64) -> Result<()> {
    let mut config = kafka.producer("bench-events");
    config
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "500000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    let topic = kafka.topic(PAYMENTS.name);
    for number in 0..count {
        let event = event(number, count)?;
        let headers = purchases::headers(&event).to_kafka();
        send(
            &producer,
            &topic,
            &event.aggregate_key(),
            &framed(&event)?,
            headers,
        )?;
    }
    producer
        .flush(FLUSH)
        .context("the events do not reach the broker")
}

/// An event's record value.
pub(crate) fn framed(event: &PaymentEvent) -> Result<Vec<u8>> {
    Ok(codec::frame(SCHEMA_ID, &codec::encode(event)?))
}

/// Sends a record, and waits while the producer's queue is full.
pub(crate) fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    key: &str,
    payload: &[u8],
    headers: OwnedHeaders,
) -> Result<()> {
    let mut record = BaseRecord::to(topic).key(key).payload(payload).headers(headers);
    while let Err((error, back)) = producer.send(record) {
        ensure!(
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull),
            error
        );
        record = back;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
