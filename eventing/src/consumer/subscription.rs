use std::collections::HashMap;
use std::ops::Range;

use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::catalogue;

use super::assignment::PartitionId;
use super::group::ConsumerGroup;
use super::record::TopicName;
use crate::KafkaSettings;

/// The topics that a group reads: its domain topics, and its own retry tiers.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The domain topics, and then the tiers.
    topics: Vec<Topic>,
    by_name: HashMap<String, usize>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Topic {
    /// In the catalogue.
    pub(crate) name: TopicName,
    /// On the cluster.
    pub(crate) physical: String,
    /// 0 for a domain topic.
    pub(crate) tier: u32,
}

/// Topics of the subscription that one client of Kafka reads.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// By their places.
    pub(crate) topics: Range<usize>,
    /// Tells it from the other ones in the eyes of operators.
    pub(crate) name: String,
    pub(crate) is_tiers: bool,
}

impl Part {
    pub(crate) fn has(&self, id: PartitionId) -> bool {
        self.topics.contains(&id.topic)
    }
}

impl Subscription {
    pub(crate) fn new(group: &ConsumerGroup, kafka: &KafkaSettings) -> Self {
        let domain = group.topics.iter().map(|name| {
            let known = catalogue::topic(name).map(|topic| TopicName::Borrowed(topic.name));
            (known.unwrap_or_else(|| name.clone().into()), 0)
        });
        let tiers = (1_u32..)
            .take(group.tiers.len())
            .map(|tier| (group.retry_topic(tier).into(), tier));
        let topic = |(name, tier): (TopicName, u32)| Topic {
            physical: kafka.topic(&name).into_owned(),
            name,
            tier,
        };
        let topics: Vec<Topic> = domain.chain(tiers).map(topic).collect();
        let by_name = topics
            .iter()
            .enumerate()
            .map(|(index, topic)| (topic.physical.clone(), index))
            .collect();
        Self { topics, by_name }
    }

    /// What each client of a member reads: one domain topic, or all tiers.
    ///
    /// Kafka's cooperative assignor counts the partitions of all topics that clients subscribe to alike, and lets the topics whose
    /// names come first go to a member that joins later. With one client for everything, that member gets the tiers, or one domain
    /// topic, and no part of the others.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let topics = self.topics.iter().enumerate();
        let domain = topics.take_while(|(_, topic)| topic.tier == 0);
        let mut parts: Vec<Part> = domain
            .map(|(index, topic)| Part {
                topics: index..index + 1,
                name: topic.name.to_string(),
                is_tiers: false,
            })
            .collect();
        parts.push(Part {
            topics: parts.len()..self.topics.len(),
            name: "retry".to_owned(),
            is_tiers: true,
        });
        parts
    }

    pub(crate) fn topics(&self, part: &Part) -> &[Topic] {
        self.topics.get(part.topics.clone()).unwrap_or_default()
    }

    pub(crate) fn topic(&self, id: PartitionId) -> Option<&Topic> {
        self.topics.get(id.topic)
    }

    pub(crate) fn id(&self, physical: &str, partition: i32) -> Option<PartitionId> {
        self.by_name.get(physical).map(|topic| PartitionId {
            topic: *topic,
            partition,
        })
    }

    pub(crate) fn ids(&self, list: &TopicPartitionList) -> Vec<PartitionId> {
        list.elements()
            .iter()
            .filter_map(|element| self.id(element.topic(), element.partition()))
            .collect()
    }

    pub(crate) fn list(&self, ids: &[PartitionId]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(ids.len());
        for (topic, id) in ids.iter().filter_map(|id| Some((self.topic(*id)?, id))) {
            list.add_partition(&topic.physical, id.partition);
        }
        list
    }

    pub(crate) fn offsets(&self, positions: &[(PartitionId, i64)]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (id, position) in positions {
            if let Some(topic) = self.topic(*id) {
                list.add_partition_offset(&topic.physical, id.partition, Offset::Offset(*position))?;
            }
        }
        Ok(list)
    }
}
