use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::assignment::{Assignment, PartitionId};
use super::subscription::{Part, Subscription};
use crate::crash_point;

/// Follows the group's rebalances. Kafka's client calls it on the thread that reads, which is ours alone, so it may block.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) subscription: Arc<Subscription>,
    /// What its client reads of it.
    pub(crate) part: Part,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) drain_deadline: Duration,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let ids = self.subscription.ids(list);
                tracing::debug!(partitions = ids.len(), "partitions assigned");
                self.assignment.assign(&ids);
            }
            Rebalance::Revoke(list) => self.let_go(consumer, &self.subscription.ids(list)),
            Rebalance::Error(error) => tracing::warn!(%error, "the consumer group cannot rebalance"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            // What was not committed is committed with the next round, or read again by the next owner.
            tracing::warn!(%error, "offsets were not committed");
            return;
        }
        for element in offsets.elements() {
            if let (Ok(()), Offset::Offset(position)) = (element.error(), element.offset())
                && let Some(id) = self.subscription.id(element.topic(), element.partition())
            {
                self.assignment.committed(id, position);
                crash_point("consumer.offset.after");
            }
        }
    }
}

impl Context {
    /// Finishes what workers have begun of these partitions, commits, and forgets them. What was not begun is abandoned, and what
    /// takes too long as well: the next owner reads it again.
    fn let_go(&self, consumer: &BaseConsumer<Self>, ids: &[PartitionId]) {
        if ids.is_empty() {
            return;
        }
        self.assignment.stop(ids);
        if consumer.assignment_lost() {
            tracing::warn!(
                partitions = ids.len(),
                "partitions were lost to other members of the group"
            );
        } else {
            if !self.assignment.wait_until_idle(ids, self.drain_deadline) {
                tracing::warn!("a record is still being handled while its partition goes to another member");
            }
            self.commit(consumer, ids);
        }
        // Kafka's client would keep them paused, and not read them when they come back.
        let paused = self.assignment.paused(ids);
        if !paused.is_empty()
            && let Err(error) = consumer.resume(&self.subscription.list(&paused))
        {
            tracing::warn!(%error, "partitions could not be resumed before they go");
        }
        self.assignment.remove(ids);
    }

    /// Commits the positions of these partitions, and waits for it.
    pub(crate) fn commit(&self, consumer: &impl Consumer<Self>, ids: &[PartitionId]) {
        let committed = self.store(consumer, ids).and_then(|()| {
            if self.assignment.has_uncommitted(ids) {
                consumer.commit_consumer_state(CommitMode::Sync)
            } else {
                Ok(())
            }
        });
        match committed {
            Ok(()) => crash_point("consumer.offset.after"),
            Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                tracing::warn!(%error, "offsets were not committed; their records will be read again");
            }
        }
    }

    /// Hands positions that have moved to Kafka's client, which commits them with its next round.
    pub(crate) fn store(&self, consumer: &impl Consumer<Self>, ids: &[PartitionId]) -> KafkaResult<()> {
        let positions = self.assignment.take_unstored(ids);
        if positions.is_empty() {
            return Ok(());
        }
        consumer.store_offsets(&self.subscription.offsets(&positions)?)
    }
}
