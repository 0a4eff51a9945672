use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, PartitionId};
use super::holds::Holds;
use super::metrics::Metrics;
use super::rebalance::Context;
use super::subscription::{Part, Subscription};

/// How often Kafka is asked how long its partitions are. It is asked rather than told by the fetches, because a paused partition
/// is not fetched, and that is when its lag matters.
const INTERVAL: Duration = Duration::from_secs(5);

const DEADLINE: Duration = Duration::from_secs(2);

/// Measures how far the member is behind, and says whether Kafka answers at all.
#[derive(Clone)]
pub(crate) struct Lag {
    /// All of its clients, each asked for its own part. Weak, because the reader's end is the consumer's end.
    pub(crate) consumers: Vec<Weak<StreamConsumer<Context>>>,
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
        let mut lag = HashMap::new();
        for consumer in &self.consumers {
            let Some(consumer) = consumer.upgrade() else {
                return;
            };
            let measured = self
                .check_topics(&consumer)
                .and_then(|()| self.read(&consumer).map_err(|error| error.to_string()));
            match measured {
                Ok(measured) => lag.extend(measured),
                // Said at once, because the other ones may take as long to say the same.
                Err(trouble) => return self.holds.kafka(Some(trouble)),
            }
        }
        self.metrics.lag(lag);
        self.holds.kafka(None);
    }

    fn check_topics(&self, consumer: &StreamConsumer<Context>) -> Result<(), String> {
        for topic in self.subscription.topics(part(consumer)) {
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
        let ids = self.assignment.ids(part(consumer));
        let committed = self.committed(consumer, &ids)?;
        let position = |id: &PartitionId| self.assignment.position(*id).or(committed.get(id).copied());
        let unread: Vec<PartitionId> = ids.iter().copied().filter(|id| position(id).is_none()).collect();
        let starts = self.ask(consumer, &unread, Offset::Beginning)?;
        let ends = self.ask(consumer, &ids, Offset::End)?;
        let lag = ends.into_iter().filter_map(|(id, end)| {
            let from = position(&id).or(starts.get(&id).copied())?;
            let topic = self.subscription.topic(id)?;
            let records = u64::try_from(end - from).unwrap_or(0);
            Some(((topic.name.to_string(), id.partition), records))
        });
        Ok(lag.collect())
    }

    /// Where partitions begin or end. Asked of all of them at once: a broker answers a connection's requests one after the other,
    /// and this one is behind a fetch that waits for records, half a second each time.
    fn ask(
        &self,
        consumer: &StreamConsumer<Context>,
        ids: &[PartitionId],
        which: Offset,
    ) -> KafkaResult<HashMap<PartitionId, i64>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut list = self.subscription.list(ids);
        list.set_all_offsets(which)?;
        let answered = consumer.offsets_for_times(list, DEADLINE)?;
        Ok(self.offsets(&answered))
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
        Ok(self.offsets(&committed))
    }

    /// The offsets that an answer names.
    fn offsets(&self, answer: &TopicPartitionList) -> HashMap<PartitionId, i64> {
        let elements = answer.elements();
        let named = elements.iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((
                self.subscription.id(element.topic(), element.partition())?,
                offset,
            )),
            _ => None,
        });
        named.collect()
    }
}

fn part(consumer: &StreamConsumer<Context>) -> &Part {
    &consumer.context().part
}
