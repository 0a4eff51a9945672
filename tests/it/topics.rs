//! The topics as they are deployed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use local::backbone::kafka::admin;
use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use schemas::catalogue::{self, Deployment};
use system_tests::{World, story};

const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn the_deployed_topics_are_those_of_the_catalogue() {
    story(&[], async |world| {
        let mut wanted = catalogue::deployments();
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(deployed(world).await?, wanted);
        Ok(())
    });
}

async fn deployed(world: &World) -> Result<Vec<Deployment>> {
    let admin = admin(&world.platform.backbone().kafka)?;
    let metadata = admin.inner().fetch_metadata(None, TIMEOUT)?;
    let mut partitions = BTreeMap::new();
    // Kafka's own topics begin with two underscores.
    for topic in metadata
        .topics()
        .iter()
        .filter(|topic| !topic.name().starts_with("__"))
    {
        partitions.insert(topic.name().to_owned(), i32::try_from(topic.partitions().len())?);
    }
    let resources: Vec<_> = partitions
        .keys()
        .map(|name| ResourceSpecifier::Topic(name))
        .collect();
    let described = admin
        .describe_configs(&resources, &AdminOptions::new().request_timeout(Some(TIMEOUT)))
        .await?;
    let mut deployed = Vec::new();
    for ((name, partitions), resource) in partitions.iter().zip(described) {
        let resource = resource.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        let setting = |key: &str| {
            resource
                .get(key)
                .and_then(|entry| entry.value.clone())
                .unwrap_or_default()
        };
        deployed.push(Deployment {
            name: name.clone(),
            partitions: *partitions,
            retention_ms: setting("retention.ms").parse()?,
            max_message_bytes: setting("max.message.bytes").parse()?,
        });
    }
    Ok(deployed)
}
