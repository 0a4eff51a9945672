//! Mistakes on purpose. A checker that finds nothing may be looking at nothing.

use std::time::Duration;

use anyhow::Result;
use eventing::KafkaSettings;
use eventing::headers::RecordHeaders;
use futures::future::join_all;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// A relay that deletes its rows before their records are acknowledged.
pub const MARKS_BEFORE_ACKS: &str = "marks-before-acks";
/// An ordered group whose handler takes an event that it was told to be dead, and lets what it wrote stand.
pub const SWALLOWS_FAILURES: &str = "swallows-failures";

/// All of them.
pub const ALL: [&str; 2] = [MARKS_BEFORE_ACKS, SWALLOWS_FAILURES];

const PAUSE: Duration = Duration::from_millis(20);

type Row = (i64, String, String, Vec<u8>, Vec<u8>);

/// What dies between its two steps is lost.
pub async fn relay_that_marks_before_acks(
    pool: &PgPool,
    kafka: &KafkaSettings,
    shutdown: CancellationToken,
) -> Result<()> {
    let producer: FutureProducer = kafka.producer("wrong-relay").create()?;
    while !shutdown.is_cancelled() {
        let taken: sqlx::Result<Vec<Row>> = sqlx::query_as(
            "delete from eventing.outbox
             where seq in (select seq from eventing.outbox order by seq limit 100)
             returning seq, topic, key, payload, headers",
        )
        .fetch_all(pool)
        .await;
        let mut rows = taken.unwrap_or_default();
        rows.sort_by_key(|row| row.0);
        let sent = rows.iter().map(async |(_, topic, key, payload, headers)| {
            let headers = RecordHeaders::from_bytes(headers).unwrap_or_default().to_kafka();
            let record = FutureRecord::to(topic).key(key).payload(payload).headers(headers);
            producer.send(record, Timeout::Never).await.is_ok()
        });
        join_all(sent).await;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
