//! How much waits, for the metrics.

use jiff::Timestamp;
use sqlx::PgPool;

use super::{StoreError, read};
use crate::domain::notice::Channel;

/// What waits on one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Which channel.
    pub channel: Channel,
    /// How many notices are pending.
    pub count: u64,
    /// When the oldest of them was written, or resent.
    pub oldest_at: Option<Timestamp>,
}

/// What waits on each channel that has something waiting.
pub async fn depths(pool: &PgPool) -> Result<Vec<Depth>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select channel, count(*) as "count!", min(queued_at) as oldest_at
        from notifications where status = 'pending' group by channel
        "#
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Depth {
                channel: read(&row.channel)?,
                count: u64::try_from(row.count).unwrap_or_default(),
                oldest_at: row.oldest_at.map(jiff_sqlx::Timestamp::to_jiff),
            })
        })
        .collect()
}
