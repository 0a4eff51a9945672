use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, PartitionId};
use super::holds::Holds;
use super::metrics::Metrics;
use super::rebalance::Context;
use super::subscription::Subscription;

/// How often Kafka is asked how long its partitions are. It is asked rather than told by the fetches, because a paused partition
/// is not fetched, and that is when its lag matters.
const INTERVAL: Duration = Duration::from_secs(5);

const DEADLINE: Duration = Duration::from_secs(2);

/// Measures how far the member is behind, and says whether Kafka answers at all.
#[derive(Clone)]
pub(crate) struct Lag {
    /// Weak, because the reader's end is the consumer's end.
    pub(crate) consumer: Weak<StreamConsumer<Context>>,
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) holds: Arc<Holds>,
    pub(crate) metrics: Metrics,
}

impl Lag {
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let probe = self.clone();
            // Kafka's client answers these questions on a blocked thread only.
            if tokio::task::spawn_blocking(move || probe.measure())
                .await
                .is_err()
            {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    fn measure(&self) {
        let Some(consumer) = self.consumer.upgrade() else {
            return;
        };
        let measured = self
            .check_topics(&consumer)
            .and_then(|()| self.read(&consumer).map_err(|error| error.to_string()));
        match measured {
            Ok(lag) => {
                self.metrics.lag(lag);
                self.holds.kafka(None);
            }
            Err(trouble) => self.holds.kafka(Some(trouble)),
        }
    }

    fn check_topics(&self, consumer: &StreamConsumer<Context>) -> Result<(), String> {
        for topic in self.subscription.topics() {
            let metadata = consumer
                .fetch_metadata(Some(&topic.physical), DEADLINE)
                .map_err(|error| format!("kafka does not answer: {error}"))?;
            let missing = metadata
                .topics()
                .iter()
                .any(|topic| topic.error().is_some() || topic.partitions().is_empty());
            if missing {
                return Err(format!("topic {} cannot be read", topic.physical));
            }
        }
        Ok(())
    }

    fn read(&self, consumer: &StreamConsumer<Context>) -> KafkaResult<HashMap<(String, i32), u64>> {
        let ids = self.assignment.ids();
        let committed = self.committed(consumer, &ids)?;
        let mut lag = HashMap::with_capacity(ids.len());
        for id in ids {
            let Some(topic) = self.subscription.topic(id) else {
                continue;
            };
            let (low, high) = consumer.fetch_watermarks(&topic.physical, id.partition, DEADLINE)?;
            let position = self
                .assignment
                .position(id)
                .or(committed.get(&id).copied())
                .unwrap_or(low);
            lag.insert(
                (topic.name.clone(), id.partition),
                u64::try_from(high - position).unwrap_or(0),
            );
        }
        Ok(lag)
    }

    /// What was committed of the partitions that have not moved since they were assigned.
    fn committed(
        &self,
        consumer: &StreamConsumer<Context>,
        ids: &[PartitionId],
    ) -> KafkaResult<HashMap<PartitionId, i64>> {
        let unmoved: Vec<PartitionId> = ids
            .iter()
            .copied()
            .filter(|id| self.assignment.position(*id).is_none())
            .collect();
        if unmoved.is_empty() {
            return Ok(HashMap::new());
        }
        let committed = consumer.committed_offsets(self.subscription.list(&unmoved), DEADLINE)?;
        let known = committed
            .elements()
            .into_iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(offset) => Some((
                    self.subscription.id(element.topic(), element.partition())?,
                    offset,
                )),
                _ => None,
            });
        Ok(known.collect())
    }
}
