//! The AsyncAPI document says what the catalogue says.

use schemas::catalogue::{TOPICS, deployments};
use schemas::payment::PaymentEventType;
use schemas::settlement::SettlementEventType;
use schemas::withdrawal::WithdrawalEventType;
use serde_json::Value;

fn document() -> Value {
    serde_saphyr::from_str(include_str!("../../asyncapi.yaml")).unwrap()
}

#[test]
fn the_document_lists_the_topics_of_the_catalogue_as_they_are_deployed() {
    let document = document();
    let channels = document["channels"].as_object().unwrap();
    assert_eq!(channels.len(), TOPICS.len());
    for topic in TOPICS {
        let channel = &channels[topic.name];
        let deployed = deployments().into_iter().find(|d| d.name == topic.name).unwrap();
        let binding = &channel["bindings"]["kafka"];
        assert_eq!(channel["address"], topic.name);
        assert_eq!(binding["topic"], topic.name);
        assert_eq!(binding["partitions"], deployed.partitions);
        assert_eq!(
            binding["topicConfiguration"]["retention.ms"],
            deployed.retention_ms
        );
        assert_eq!(
            binding["topicConfiguration"]["max.message.bytes"],
            deployed.max_message_bytes
        );
        assert!(
            channel["description"]
                .as_str()
                .unwrap()
                .contains(&format!("Written by {}.", topic.writer))
        );
    }
}

#[test]
fn each_message_has_the_schema_the_key_and_the_event_types_of_its_topic() {
    let types: [Vec<&str>; 3] = [
        PaymentEventType::ALL.iter().map(|t| t.as_str()).collect(),
        SettlementEventType::ALL.iter().map(|t| t.as_str()).collect(),
        WithdrawalEventType::ALL.iter().map(|t| t.as_str()).collect(),
    ];
    let document = document();
    for (topic, types) in TOPICS.iter().zip(types) {
        let messages = document["channels"][topic.name]["messages"].as_object().unwrap();
        let (name, _) = messages.iter().next().unwrap();
        let message = &document["components"]["messages"][name];
        assert_eq!(
            message["payload"]["schema"]["$ref"],
            format!("./events/{}.avsc", topic.name)
        );
        assert_eq!(
            message["bindings"]["kafka"]["key"]["description"],
            topic.key_field
        );
        assert_eq!(message["x-event-types"], serde_json::json!(types));
        for event_type in types {
            assert!(
                topic.schema.contains(event_type),
                "the doc of event_type in {} omits {event_type}",
                topic.name
            );
        }
    }
}
