//! Marks what was published.
//!
//! A few rows are marked a moment later, together with those of the next batches: when rows come one by one, the relay would
//! otherwise ask PostgreSQL twice for each. What is not marked when we crash or lose the lane is only sent again.

use std::time::Duration;

use tokio::time::Instant;

use super::{LaneError, Session};
use crate::crash_point;
use crate::relay::rows::Row;

/// So many are marked at once.
const MARK_FROM: usize = 128;
/// Fewer wait so long.
const MARK_WITHIN: Duration = Duration::from_millis(20);

/// Rows that are published and not yet marked. Reads pass over them.
#[derive(Debug, Default)]
pub(super) struct Unmarked {
    seqs: Vec<i64>,
    since: Option<Instant>,
}

impl Unmarked {
    pub(super) fn seqs(&self) -> &[i64] {
        &self.seqs
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    pub(super) fn are_many(&self) -> bool {
        self.seqs.len() >= MARK_FROM || self.since.is_some_and(|since| since.elapsed() >= MARK_WITHIN)
    }

    /// Waits until the first of them is to be marked; for ever if there is none.
    pub(super) async fn due(&self) {
        match self.since {
            Some(since) => tokio::time::sleep_until(since + MARK_WITHIN).await,
            None => std::future::pending().await,
        }
    }
}

impl Session<'_> {
    /// These rows are on their topics.
    pub(super) fn note_published(&mut self, rows: &[Row], published: &[usize]) {
        if published.is_empty() {
            return;
        }
        let rows = || published.iter().filter_map(|index| rows.get(*index));
        self.unmarked.seqs.extend(rows().map(|row| row.seq));
        self.unmarked.since.get_or_insert_with(Instant::now);
        self.shared.metrics.published(rows(), self.shared.clock().now());
    }

    /// Marks all that is published.
    pub(super) async fn mark(&mut self) -> Result<(), LaneError> {
        let Unmarked { seqs, .. } = std::mem::take(&mut self.unmarked);
        if seqs.is_empty() {
            return Ok(());
        }
        let marked = self.rows.mark(&seqs).await?;
        crash_point("relay.mark.after");
        if marked != seqs.len() as u64 {
            if !self.rows.is_ours().await? {
                return Err(LaneError::Lost);
            }
            tracing::error!(
                published = seqs.len(),
                marked,
                "outbox rows vanished while their records were sent"
            );
        }
        self.shared.vacuum.deleted(self.lease.lane, marked);
        self.state.deleted();
        Ok(())
    }
}
