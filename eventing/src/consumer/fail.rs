use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::blocks::{self, Place};
use super::envelope::{Envelope, Verdict};
use super::failure::{Failure, Kind};
use super::group::Ordering;
use super::handler::Handler;
use super::holds::Stopped;
use super::publisher::Outgoing;
use super::record::Record;
use super::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::crash_point;

/// A tier's delay grows by up to a fifth, so that records that failed together do not all come back together.
const JITTER_PERCENT: u32 = 20;

impl<H: Handler> Runtime<H> {
    /// Sends a record that failed to the next retry tier or to the dead letters, and returns once it is there.
    ///
    /// In an ordered group the watermark, which stays behind the event, holds back the later events of its aggregate; so there is
    /// no moment in which they could overtake it.
    pub(crate) async fn fail(
        &self,
        record: &Record,
        envelope: &Envelope,
        failure: &Failure,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let tier = self
            .next_tier(record.tier)
            .filter(|_| failure.kind() == Kind::Retry);
        self.send_on(record, envelope, failure, tier, stop).await
    }

    /// Sends a record that failed back to the tier that it came from, or to the first one: it was tried only to see whether it
    /// would go right, and never dies of that.
    pub(crate) async fn fail_again(
        &self,
        record: &Record,
        envelope: &Envelope,
        failure: &Failure,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let tier = self.next_tier(record.tier.saturating_sub(1));
        self.send_on(record, envelope, failure, tier, stop).await
    }

    async fn send_on(
        &self,
        record: &Record,
        envelope: &Envelope,
        failure: &Failure,
        tier: Option<(u32, Duration)>,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let now = self.clock.now();
        let verdict = Verdict::new(failure, now);
        let mut next = envelope.failed(record.tier, &verdict);
        next.not_before = tier.map(|(_, delay)| due(now, delay));
        self.block(record, envelope, tier.is_some(), &verdict, stop)
            .await?;
        let topic = match tier {
            Some((tier, _)) => self.group.retry_topic(tier),
            None => self.group.dead_letter_topic(),
        };
        let headers = next.write(&record.headers.readable, &self.group.name, Some(&verdict));
        let outgoing = Outgoing {
            topic: &topic,
            key: record.key.as_deref(),
            payload: record.payload.as_deref(),
            headers: &headers,
        };
        self.publisher
            .publish(outgoing, &mut self.holds.step(stop))
            .await?;
        crash_point("consumer.fail.sent");
        self.tell(&next, &verdict, tier.map(|(tier, _)| tier));
        Ok(())
    }

    /// Writes down, in an ordered group, where an event is going to be that holds back the later ones of its aggregate.
    async fn block(
        &self,
        record: &Record,
        envelope: &Envelope,
        is_retried: bool,
        verdict: &Verdict,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let topic = &envelope.origin.topic;
        if self.group.ordering != Ordering::PerKey || !self.group.topics.iter().any(|read| read == topic) {
            return Ok(());
        }
        let Some((key, sequence)) = blocks::turn_of(record, topic, &self.registry).await else {
            return Ok(());
        };
        let place = if is_retried {
            Place::Retry
        } else {
            Place::DeadLetter
        };
        let aggregate = self.aggregate(topic, &key);
        self.held(stop, || async move {
            let mut db = self.pool.acquire().await?;
            blocks::put(
                &mut db,
                &aggregate,
                sequence,
                place,
                &verdict.fingerprint,
                verdict.at,
            )
            .await
        })
        .await?;
        crash_point("consumer.block.after");
        Ok(())
    }

    /// The tier behind this one, and its delay.
    fn next_tier(&self, tier: u32) -> Option<(u32, Duration)> {
        let delay = self.group.tiers.get(usize::try_from(tier).ok()?)?;
        Some((tier + 1, *delay))
    }

    fn tell(&self, envelope: &Envelope, verdict: &Verdict, tier: Option<u32>) {
        let Verdict {
            class,
            fingerprint,
            message,
            ..
        } = verdict;
        let (group, origin, attempts) = (&self.group.name, &envelope.origin, envelope.attempts);
        if let Some(tier) = tier {
            self.metrics.retried(tier, verdict);
            tracing::warn!(group, %origin, attempts, tier, class, fingerprint, message, "an event will be tried again");
        } else {
            self.metrics.dead(verdict);
            tracing::error!(group, %origin, attempts, class, fingerprint, message, "an event is a dead letter");
        }
    }
}

fn due(now: Timestamp, delay: Duration) -> Timestamp {
    let jitter = delay * rand::random_range(0..=JITTER_PERCENT) / 100;
    SignedDuration::try_from(delay + jitter)
        .ok()
        .and_then(|delay| now.checked_add(delay).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_never_due_before_its_tiers_delay_and_at_most_a_fifth_later() {
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..1_000 {
            let wait = due(now, Duration::from_secs(10)).duration_since(now);
            assert!((10.0..=12.0).contains(&wait.as_secs_f64()), "{wait}");
        }
    }
}
