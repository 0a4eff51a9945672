//! How to reach Kafka.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::types::RDKafkaErrorCode;
use serde::Deserialize;

/// The largest record (value and headers) that a producer accepts unless configured otherwise: the brokers' own default.
const DEFAULT_MAX_RECORD_BYTES: usize = 1_000_000;

/// The configuration section `[kafka]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The largest record that is produced. A topic may allow less; such a record is set aside when the broker refuses it.
    #[serde(default = "default_max_record_bytes")]
    pub max_record_bytes: usize,
    /// What topics and consumer groups are called on a cluster that is shared with other installations: this, followed by
    /// their own name. Registry subjects, headers and everything in a database carry the name without it.
    #[serde(default)]
    pub topic_prefix: String,
    /// Further librdkafka properties, such as `security.protocol` and `sasl.password`. They cannot override what our promises
    /// rest on (acknowledgements, idempotence, timeouts, offsets).
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

fn default_max_record_bytes() -> usize {
    DEFAULT_MAX_RECORD_BYTES
}

impl KafkaSettings {
    /// Settings for brokers that need neither encryption nor a password.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            topic_prefix: String::new(),
            properties: BTreeMap::new(),
        }
    }

    /// The name that a topic or a consumer group has on the cluster.
    pub fn topic<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.topic_prefix.is_empty() {
            return Cow::Borrowed(name);
        }
        Cow::Owned(format!("{}{name}", self.topic_prefix))
    }

    /// The name that a topic of the cluster has among us.
    pub fn logical<'a>(&self, physical: &'a str) -> &'a str {
        physical.strip_prefix(&self.topic_prefix).unwrap_or(physical)
    }

    /// What every client of ours starts from. Whoever adds properties to it overrides the operator's.
    pub fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", client_id)
            // One packet per request, at once: requests are small and answered before the next.
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        config
    }

    /// A producer that keeps the order of what it is given, and never gives up by itself.
    ///
    /// `message.timeout.ms=0`, because a record that timed out may or may not have been written, and its successor may already
    /// be: the gapless guarantee does not cover it. `murmur2_random`, because librdkafka's own default puts a key on another
    /// partition than Java clients do.
    pub fn producer(&self, client_id: &str) -> ClientConfig {
        let mut config = self.client(client_id);
        config
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", self.max_record_bytes.to_string());
        config
    }
}

/// Whether a record that is reported as delivered is on its topic, given the offset that the report names.
///
/// What a newcomer gets wrong: to take every report of success for an acknowledgement. When a batch was acknowledged and the
/// one before it on its partition was not, librdkafka reports that one as delivered, too (`rd_kafka_dr_implicit_ack` in
/// `rdkafka_broker.c`), because a broker takes an idempotent producer's batches in their sequence only. But a broker that the
/// producer has not met yet, or that has forgotten it, takes whatever comes first; so when a partition changes its leader, the
/// earlier batch may be nowhere. Such a report names no offset.
///
/// # Errors
/// Without an offset: the record has to be sent again. It may be there twice afterwards.
pub(crate) fn is_there(offset: i64) -> Result<(), RDKafkaErrorCode> {
    if offset >= 0 {
        Ok(())
    } else {
        Err(RDKafkaErrorCode::GaplessGuarantee)
    }
}

impl fmt::Debug for KafkaSettings {
    /// Shows the properties' names only: their values may be passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("max_record_bytes", &self.max_record_bytes)
            .field("topic_prefix", &self.topic_prefix)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_s_properties_cannot_weaken_a_promise_nor_be_shown() {
        let mut settings = KafkaSettings::new("localhost:9092");
        for (name, value) in [
            ("sasl.password", "hush"),
            ("acks", "0"),
            ("message.timeout.ms", "1000"),
            ("client.id", "x"),
        ] {
            settings.properties.insert(name.to_owned(), value.to_owned());
        }
        let config = settings.producer("payment-gateway-relay");
        assert_eq!(config.get("sasl.password"), Some("hush"));
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("message.timeout.ms"), Some("0"));
        assert_eq!(config.get("client.id"), Some("payment-gateway-relay"));
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn a_prefix_is_put_before_a_name_and_taken_off_again() {
        let mut settings = KafkaSettings::new("localhost:9092");
        assert_eq!(settings.topic("payments.payment.v1"), "payments.payment.v1");
        settings.topic_prefix = "staging.".to_owned();
        assert_eq!(
            settings.topic("payments.payment.v1"),
            "staging.payments.payment.v1"
        );
        assert_eq!(
            settings.logical("staging.payments.payment.v1"),
            "payments.payment.v1"
        );
        assert_eq!(settings.logical("payments.payment.v1"), "payments.payment.v1");
    }
}
