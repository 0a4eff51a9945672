//! A real Apache Kafka broker that is its own controller (`KRaft`), and the platform's topics.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use schemas::catalogue::{self, Deployment};

use crate::distribution::Distribution;
use crate::ports::{Endpoint, Ports};
use crate::process::{Launch, Process};
use crate::processes::{Layer, Processes};
use crate::state::State;

const LOG_SETTINGS: &str = include_str!("../../kafka/log4j2.properties");
/// One cluster per state folder, so one id serves all: 16 bytes in base64.
const CLUSTER_ID: &str = "cGF5bWVudHMtbG9jYWwtMQ";
const READY_WITHIN: Duration = Duration::from_mins(1);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const TOPICS_WITHIN: Duration = Duration::from_mins(1);

/// What the broker's Java may take of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Java {
    /// Little memory and a quick start, beside everything else of a platform.
    Small,
    /// As a broker in production has it, for whoever measures: all of the compiler, and a heap of 1 GiB.
    Measured,
}

/// Starts the broker and waits until it answers.
pub async fn start(
    state: &State,
    ports: &Ports,
    distribution: &Distribution,
    processes: &Processes,
    java: Java,
) -> Result<()> {
    let folder = state.folder("kafka")?;
    std::fs::write(folder.join("server.properties"), settings(ports))?;
    std::fs::write(folder.join("log4j2.properties"), LOG_SETTINGS)?;
    let class_path = distribution.kafka_class_path()?;
    if !folder.join("data/1/meta.properties").exists() {
        let format = java
            .launch("kafka-format", &class_path, &folder)
            .args(["kafka.tools.StorageTool", "format", "--ignore-formatted"])
            .args(["-t", CLUSTER_ID, "-c", "server.properties"]);
        processes.run(format).await?;
    }
    let broker = java
        .launch("kafka", &class_path, &folder)
        .args(["kafka.Kafka", "server.properties"]);
    let broker = processes.start(Layer::Store, broker)?;
    wait(&broker, &ports.address(Endpoint::Kafka)).await
}

/// Waits until the broker answers.
pub(crate) async fn wait(broker: &Process, address: &str) -> Result<()> {
    let admin = Arc::new(admin(address)?);
    broker
        .ready_when(READY_WITHIN, || brokers(Arc::clone(&admin)))
        .await
}

async fn brokers(admin: Arc<AdminClient<DefaultClientContext>>) -> Result<()> {
    let ask = move || {
        admin
            .inner()
            .fetch_metadata(None, ASK_TIMEOUT)
            .map(|found| found.brokers().len())
    };
    match tokio::task::spawn_blocking(ask).await?? {
        0 => bail!("it knows no broker yet"),
        _ => Ok(()),
    }
}

impl Java {
    fn launch(self, name: &str, class_path: &str, folder: &Path) -> Launch {
        let machine: &[&str] = match self {
            Self::Small => &[
                "-Xms192m",
                "-Xmx384m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-XX:MaxDirectMemorySize=128m",
            ],
            Self::Measured => &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"],
        };
        Launch::new(name, "java")
            .args(machine.iter().copied())
            .arg("-Dlog4j2.configurationFile=log4j2.properties")
            .args(["-cp", class_path])
            .folder(folder)
    }
}

/// One broker, so every replication factor is 1. Three would be node ids 1 to 3 with the data folders beside this one.
fn settings(ports: &Ports) -> String {
    let clients = ports.address(Endpoint::Kafka);
    let controller = ports.address(Endpoint::KafkaController);
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{clients},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{clients}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=data/1
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A small machine: the defaults are 50 partitions each and a buffer of 128 MiB.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=4
log.segment.bytes=67108864
group.initial.rebalance.delay.ms=0
"
    )
}

/// A client for administration.
pub fn admin(brokers: &str) -> Result<AdminClient<DefaultClientContext>> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("client.id", "local")
        .create()
        .context("no Kafka client")
}

/// Creates every topic of the catalogue that is missing, as the catalogue says.
pub async fn create_topics(brokers: &str) -> Result<()> {
    let admin = admin(brokers)?;
    let deployments = catalogue::deployments();
    let texts: Vec<(String, String)> = deployments
        .iter()
        .map(|topic| {
            (
                topic.retention_ms.to_string(),
                topic.max_message_bytes.to_string(),
            )
        })
        .collect();
    let topics: Vec<NewTopic<'_>> = deployments
        .iter()
        .zip(&texts)
        .map(|(topic, (retention, max_bytes))| new_topic(topic, retention, max_bytes))
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(TOPICS_WITHIN))
        .request_timeout(Some(TOPICS_WITHIN));
    for result in admin.create_topics(&topics, &options).await? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, error)) => bail!("cannot create the topic {name}: {error}"),
        }
    }
    Ok(())
}

fn new_topic<'a>(topic: &'a Deployment, retention_ms: &'a str, max_message_bytes: &'a str) -> NewTopic<'a> {
    NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(1))
        .set("retention.ms", retention_ms)
        .set("max.message.bytes", max_message_bytes)
}
