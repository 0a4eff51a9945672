//! What failed records mean to their lane.

use super::{LaneError, PublishError, Session};
use crate::relay::failures::{is_about_the_record, is_consequence};
use crate::relay::publisher::{Refusal, Report};
use crate::relay::rows::Row;
use crate::relay::topics;

impl Session<'_> {
    pub(super) async fn set_aside(&mut self, rows: &[Row], refused: &[Refusal]) -> Result<(), LaneError> {
        for refusal in refused {
            let Some(row) = rows.get(refusal.index) else {
                continue;
            };
            let reason = refusal.reason.as_str();
            let now = self.shared.clock().now();
            if !self.rows.set_aside(row, reason, now).await? {
                return Err(LaneError::Lost);
            }
            self.is_any_blocked = true;
            tracing::error!(
                seq = row.seq,
                topic = row.topic,
                key = row.key,
                reason,
                "an outbox row is set aside and blocks its aggregate; see `outbox list`"
            );
        }
        Ok(())
    }

    /// Decides what the failed records mean. A record that failed alone and because of what it is, is refused; any other
    /// failure is the producer's end.
    pub(super) fn judge(
        &mut self,
        rows: &[Row],
        report: &Report,
        refused: &mut Vec<Refusal>,
    ) -> Option<PublishError> {
        let Some((index, first)) = report
            .failed
            .iter()
            .copied()
            .find(|(_, code)| !is_consequence(*code))
            .or_else(|| report.failed.first().copied())
        else {
            self.suspects = self.suspects.saturating_sub(rows.len());
            return None;
        };
        for (index, code) in &report.failed {
            if let Some(row) = rows.get(*index).filter(|_| topics::is_missing(*code)) {
                self.topics.forget(&row.topic);
            }
        }
        self.is_in_trouble |= !is_consequence(first);
        if is_about_the_record(first) {
            if rows.len() == 1 {
                self.suspects = self.suspects.saturating_sub(1);
                refused.push(Refusal {
                    index,
                    reason: format!("Kafka refuses it: {first}"),
                });
            } else {
                self.suspects = rows.len();
            }
        }
        Some(PublishError::Refused {
            failed: report.failed.len(),
            first,
        })
    }
}
