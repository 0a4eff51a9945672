//! Every topic of the platform: what it carries, how it is deployed, who reads it.
//!
//! This is the one place: the launcher creates the topics from it, and tests hold the `.avsc` files and the AsyncAPI
//! document equal to it.

use std::sync::LazyLock;

use apache_avro::Schema;

/// Partitions of every topic, unless an operator grows one: parallelism of its slowest consumer group.
pub const PARTITIONS: i32 = 12;

/// Largest record of a domain topic, bytes. Events are bounded far below; this is the broker's own default.
pub const MAX_RECORD_BYTES: i32 = 1_048_576;

/// What retry and dead-letter topics accept above the source's maximum: room for the headers that the runtime adds.
pub const HEADER_ROOM_BYTES: i32 = 65_536;

/// How long a retry tier keeps records: far longer than the longest tier and a long weekend's outage.
const RETRY_RETENTION_MS: i64 = 14 * 24 * 3_600 * 1_000;

/// For ever.
const UNLIMITED: i64 = -1;

/// A domain topic: `<domain>.<entity>.v<major>`, one record schema, keyed by the aggregate.
#[derive(Debug)]
pub struct Topic {
    /// The topic's name.
    pub name: &'static str,
    /// The Avro schema, as the file under `events/` has it; its subject is `<name>-value`.
    pub schema: &'static str,
    /// The field that is the record's key.
    pub key_field: &'static str,
    /// Which service writes it: `ce_source`.
    pub writer: &'static str,
    parsed: LazyLock<Result<Schema, String>>,
}

impl Topic {
    /// The subject under which the schema is registered (`TopicNameStrategy`).
    pub fn subject(&self) -> String {
        format!("{}-value", self.name)
    }

    /// The parsed schema.
    ///
    /// # Panics
    /// If the embedded file is no Avro schema, which a test excludes.
    #[expect(
        clippy::panic,
        reason = "the schema is embedded at compile time, and a test parses each one"
    )]
    pub fn avro(&'static self) -> &'static Schema {
        match &*self.parsed {
            Ok(schema) => schema,
            Err(error) => panic!("the schema of {} does not parse: {error}", self.name),
        }
    }
}

macro_rules! topic {
    ($(#[$doc:meta])* $constant:ident, $name:literal, $key:literal, $writer:literal) => {
        $(#[$doc])*
        pub static $constant: Topic = Topic {
            name: $name,
            schema: include_str!(concat!("../events/", $name, ".avsc")),
            key_field: $key,
            writer: $writer,
            parsed: LazyLock::new(|| {
                Schema::parse_str(include_str!(concat!("../events/", $name, ".avsc"))).map_err(|e| e.to_string())
            }),
        };
    };
}

topic!(
    /// Payments and their refunds.
    PAYMENTS, "payments.payment.v1", "payment_no", "payment-gateway"
);
topic!(
    /// Settlements.
    SETTLEMENTS, "settlements.settlement.v1", "settlement_no", "settlement"
);
topic!(
    /// Payouts.
    WITHDRAWALS, "settlements.withdrawal.v1", "withdrawal_no", "settlement"
);

/// Every domain topic.
pub static TOPICS: [&Topic; 3] = [&PAYMENTS, &SETTLEMENTS, &WITHDRAWALS];

/// The domain topic of this name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.into_iter().find(|topic| topic.name == name)
}

/// A consumer group of ours.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The group's name, and its service's.
    pub name: &'static str,
    /// The topics it reads.
    pub reads: &'static [&'static Topic],
    /// How many retry tiers it has, numbered from 1.
    pub tiers: u32,
}

/// The settlement service's group: ordered per key.
pub static SETTLEMENT_GROUP: Group = Group {
    name: "settlement",
    reads: &[&PAYMENTS],
    tiers: DEFAULT_TIERS,
};
/// The notifier's group.
pub static NOTIFIER_GROUP: Group = Group {
    name: "notifier",
    reads: &[&PAYMENTS, &SETTLEMENTS, &WITHDRAWALS],
    tiers: DEFAULT_TIERS,
};
/// The analytics consumer's group.
pub static ANALYTICS_GROUP: Group = Group {
    name: "analytics-consumer",
    reads: &[&PAYMENTS, &SETTLEMENTS, &WITHDRAWALS],
    tiers: DEFAULT_TIERS,
};

/// Every consumer group of ours.
pub static GROUPS: [&Group; 3] = [&SETTLEMENT_GROUP, &NOTIFIER_GROUP, &ANALYTICS_GROUP];

/// 5 s, 30 s, 5 min, 30 min.
const DEFAULT_TIERS: u32 = 4;

/// The topic of a group's retry tier, numbered from 1.
pub fn retry_topic(group: &str, tier: u32) -> String {
    format!("{group}.retry.{tier}")
}

/// The topic of a group's dead letters.
pub fn dead_letter_topic(group: &str) -> String {
    format!("{group}.dlq")
}

/// A topic as it is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The topic's name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// The topic's `retention.ms`; −1 keeps everything.
    pub retention_ms: i64,
    /// The topic's `max.message.bytes`.
    pub max_message_bytes: i32,
}

/// Every topic that has to exist, with its settings.
pub fn deployments() -> Vec<Deployment> {
    let domain = TOPICS.iter().map(|topic| Deployment {
        name: topic.name.to_owned(),
        partitions: PARTITIONS,
        retention_ms: UNLIMITED,
        max_message_bytes: MAX_RECORD_BYTES,
    });
    domain
        .chain(GROUPS.iter().flat_map(|group| group_deployments(group)))
        .collect()
}

fn group_deployments(group: &Group) -> impl Iterator<Item = Deployment> + use<> {
    let name = group.name;
    let own = |name, retention_ms| Deployment {
        name,
        partitions: PARTITIONS,
        retention_ms,
        max_message_bytes: MAX_RECORD_BYTES + HEADER_ROOM_BYTES,
    };
    (1..=group.tiers)
        .map(move |tier| own(retry_topic(name, tier), RETRY_RETENTION_MS))
        .chain(std::iter::once(own(dead_letter_topic(name), UNLIMITED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_the_schema_of_its_file() {
        for topic in TOPICS {
            assert!(
                matches!(topic.avro(), Schema::Record(_)),
                "{} is no record",
                topic.name
            );
        }
    }

    #[test]
    fn every_group_has_its_own_retry_and_dead_letter_topics() {
        let all = deployments();
        for group in GROUPS {
            assert!(
                all.iter()
                    .any(|d| d.name == dead_letter_topic(group.name) && d.retention_ms == UNLIMITED)
            );
            for tier in 1..=group.tiers {
                let tier = all
                    .iter()
                    .find(|d| d.name == retry_topic(group.name, tier))
                    .unwrap();
                assert_eq!(tier.max_message_bytes, MAX_RECORD_BYTES + HEADER_ROOM_BYTES);
            }
        }
        assert_eq!(all.len(), 3 + 3 * 5);
    }
}
