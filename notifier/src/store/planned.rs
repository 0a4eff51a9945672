//! Writing down what an event calls for, in the transaction that consumes it.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use schemas::{Event, NotificationNo};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::plan::Plan;

/// Where an event stands in Kafka.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The domain topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
}

/// Writes one notice for each target of `plan` that has none yet for this event, due `now`. Returns how many are new.
pub async fn insert(
    tx: &mut PgConnection,
    event: &Event,
    origin: Origin<'_>,
    plan: &Plan,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = plan
        .targets
        .iter()
        .map(|_| NotificationNo::generate().uuid())
        .collect();
    let (recipients, channels): (Vec<String>, Vec<String>) = plan
        .targets
        .iter()
        .map(|(who, how)| (who.to_string(), how.as_str().to_owned()))
        .unzip();
    let inserted = sqlx::query!(
        r#"
        insert into notifications
            (id, recipient, channel, event_id, event_type, topic, topic_partition, topic_offset, occurred_at,
             merchant_id, type, facts, due_at, created_at, queued_at, updated_at)
        select target.id, target.recipient, target.channel, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $13, $13
        from unnest($1::uuid[], $2::text[], $3::text[]) as target (id, recipient, channel)
        on conflict on constraint notifications_once_per_event_recipient_channel do nothing
        "#,
        &ids,
        &recipients,
        &channels,
        event.event_id().uuid(),
        event.event_type(),
        origin.topic,
        origin.partition,
        origin.offset,
        event.occurred_at().to_sqlx() as _,
        event.merchant_id().uuid(),
        plan.notice_type.as_str(),
        serde_json::to_value(&plan.facts)?,
        now.to_sqlx() as _,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected())
}

/// Makes the failed notices of an event due again: an operator replays its dead letter.
pub async fn rearm_failed(tx: &mut PgConnection, event: &Event, now: Timestamp) -> Result<u64, StoreError> {
    let rearmed = sqlx::query!(
        r#"
        update notifications
        set status = 'pending', reason = null, round_attempts = 0, due_at = $2, queued_at = $2, updated_at = $2
        where event_id = $1 and status = 'failed'
        "#,
        event.event_id().uuid(),
        now.to_sqlx() as _,
    )
    .execute(tx)
    .await?;
    Ok(rearmed.rows_affected())
}
