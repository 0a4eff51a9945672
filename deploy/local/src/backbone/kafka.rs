//! Real Apache Kafka brokers, one or three, that are their own controllers (`KRaft`), and the platform's topics.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::metadata::MetadataBroker;
use rdkafka::types::RDKafkaErrorCode;
use schemas::catalogue::{self, Deployment};

use super::brokers::{Broker, Brokers};
use crate::distribution::Distribution;
use crate::ports::{Endpoint, Ports};
use crate::process::{Launch, Process};
use crate::processes::{Layer, Processes};
use crate::state::State;

const LOG_SETTINGS: &str = include_str!("../../kafka/log4j2.properties");
/// One cluster per state folder, so one id serves all: 16 bytes in base64.
const CLUSTER_ID: &str = "cGF5bWVudHMtbG9jYWwtMQ";
/// The file that says how many brokers the topics were made with.
const MADE_WITH: &str = "brokers";
/// As many copies as the brokers' settings say.
const BROKERS_DEFAULT: TopicReplication<'_> = TopicReplication::Fixed(-1);
/// Three of them start side by side, perhaps beside a build: a deadline is met long before, or not at all.
const READY_WITHIN: Duration = Duration::from_mins(3);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const TOPICS_WITHIN: Duration = Duration::from_mins(1);

/// What a broker's Java may take of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Java {
    /// Little memory and a quick start, beside everything else of a platform.
    Small,
    /// As a broker in production has it, for whoever measures: all of the compiler, and a heap of 1 GiB.
    Measured,
}

/// Fails when the folder holds the topics of another number of brokers: one cannot take over from three, nor three from one.
pub(super) fn check_state(state: &State, brokers: Brokers) -> Result<()> {
    let folder = state.join("kafka");
    let made_with = match std::fs::read_to_string(folder.join(MADE_WITH)) {
        Ok(text) => text.trim().parse()?,
        Err(_) if folder.join("data").exists() => Brokers::One,
        Err(_) => brokers,
    };
    if made_with != brokers {
        bail!(
            "the topics in {} were made with --brokers {made_with}, and this start has --brokers {brokers}: \
             start with --brokers {made_with}, erase them with `deploy/down --erase`, or choose another --state",
            folder.display()
        );
    }
    Ok(())
}

/// Starts the brokers that the ports are for, and waits until each knows all.
pub async fn start(
    state: &State,
    ports: &Ports,
    distribution: &Distribution,
    processes: &Processes,
    java: Java,
) -> Result<()> {
    let brokers = ports.brokers();
    check_state(state, brokers)?;
    let folder = state.folder("kafka")?;
    std::fs::write(folder.join(MADE_WITH), brokers.to_string())?;
    std::fs::write(folder.join("log4j2.properties"), LOG_SETTINGS)?;
    let class_path = distribution.kafka_class_path()?;
    try_join_all(
        brokers
            .each()
            .map(|broker| format(broker, ports, &folder, &class_path, processes, java)),
    )
    .await?;
    // A controller alone has no quorum, so all are started before one is waited for.
    let started = brokers
        .each()
        .map(|broker| {
            let launch = java
                .launch(&broker.to_string(), &class_path, &folder)
                .args(["kafka.Kafka", &settings_file(broker)]);
            Ok((broker, processes.start(Layer::Store, launch)?))
        })
        .collect::<Result<Vec<_>>>()?;
    try_join_all(
        started
            .iter()
            .map(|(broker, process)| wait(process, ports, *broker, brokers.count())),
    )
    .await?;
    Ok(())
}

/// Writes a broker's settings, and makes its data folder what Kafka expects unless it is.
async fn format(
    broker: Broker,
    ports: &Ports,
    folder: &Path,
    class_path: &str,
    processes: &Processes,
    java: Java,
) -> Result<()> {
    let file = settings_file(broker);
    std::fs::write(folder.join(&file), settings(ports, broker))?;
    let formatted = folder.join(format!("data/{}/meta.properties", broker.node_id()));
    if formatted.exists() {
        return Ok(());
    }
    let launch = java
        .launch(&format!("{broker}-format"), class_path, folder)
        .args(["kafka.tools.StorageTool", "format", "--ignore-formatted"])
        .args(["-t", CLUSTER_ID, "-c", &file]);
    processes.run(launch).await
}

fn settings_file(broker: Broker) -> String {
    format!("{broker}.properties")
}

/// Waits until the broker answers, and knows as many brokers as `known` with itself.
pub async fn wait(process: &Process, ports: &Ports, broker: Broker, known: u8) -> Result<()> {
    let admin = Arc::new(admin(&ports.address(Endpoint::Kafka(broker)))?);
    process
        .ready_when(READY_WITHIN, || knows(Arc::clone(&admin), broker, known))
        .await
}

async fn knows(admin: Arc<AdminClient<DefaultClientContext>>, broker: Broker, known: u8) -> Result<()> {
    let ask = move || {
        let metadata = admin.inner().fetch_metadata(None, ASK_TIMEOUT)?;
        let ids: Vec<i32> = metadata.brokers().iter().map(MetadataBroker::id).collect();
        anyhow::Ok(ids)
    };
    let ids = tokio::task::spawn_blocking(ask).await??;
    // A broker that is back is fenced until it has caught up, and others still name it for a while after its death.
    if !ids.contains(&i32::from(broker.node_id())) || ids.len() < usize::from(known) {
        bail!("it knows the brokers {ids:?} only");
    }
    Ok(())
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

/// What a broker is told. Every topic that names no replication factor of its own gets the cluster's.
fn settings(ports: &Ports, broker: Broker) -> String {
    let brokers = ports.brokers();
    let id = broker.node_id();
    let copies = brokers.count();
    let in_sync = brokers.min_in_sync();
    let clients = ports.address(Endpoint::Kafka(broker));
    let controller = ports.address(Endpoint::KafkaController(broker));
    let voters: Vec<String> = brokers
        .each()
        .map(|voter| {
            let address = ports.address(Endpoint::KafkaController(voter));
            format!("{}@{address}", voter.node_id())
        })
        .collect();
    let voters = voters.join(",");
    // Who comes in by the door is sent to the doors of the other brokers too.
    let (door, advertised_door) = match ports.broker_door(broker) {
        None => (String::new(), String::new()),
        Some(door) => (
            format!(",DOOR://127.0.0.1:{}", door.behind),
            format!(",DOOR://127.0.0.1:{}", door.listen),
        ),
    };
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{clients},CONTROLLER://{controller}{door}
advertised.listeners=PLAINTEXT://{clients}{advertised_door}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,DOOR:PLAINTEXT
log.dirs=data/{id}
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
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
    NewTopic::new(&topic.name, topic.partitions, BROKERS_DEFAULT)
        .set("retention.ms", retention_ms)
        .set("max.message.bytes", max_message_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting<'a>(settings: &'a str, name: &str) -> &'a str {
        let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
        settings.lines().find_map(value).unwrap()
    }

    #[test]
    fn three_brokers_vote_for_a_controller_and_keep_three_copies_of_which_two_suffice() {
        let ports = Ports::documented(&[], Brokers::Three, &[]).unwrap();
        let second = Brokers::Three.each().nth(1).unwrap();
        let settings = settings(&ports, second);
        assert_eq!(setting(&settings, "node.id"), "2");
        assert_eq!(
            setting(&settings, "controller.quorum.voters"),
            "1@127.0.0.1:19093,2@127.0.0.1:29093,3@127.0.0.1:39093"
        );
        assert_eq!(
            setting(&settings, "listeners"),
            "PLAINTEXT://127.0.0.1:9094,CONTROLLER://127.0.0.1:29093"
        );
        assert_eq!(setting(&settings, "log.dirs"), "data/2");
        for copies in [
            "default.replication.factor",
            "offsets.topic.replication.factor",
            "transaction.state.log.replication.factor",
        ] {
            assert_eq!(setting(&settings, copies), "3", "{copies}");
        }
        assert_eq!(setting(&settings, "min.insync.replicas"), "2");
    }

    #[test]
    fn a_single_broker_keeps_one_copy() {
        let ports = Ports::documented(&[], Brokers::One, &[]).unwrap();
        let settings = settings(&ports, Broker::FIRST);
        assert_eq!(
            setting(&settings, "controller.quorum.voters"),
            "1@127.0.0.1:19093"
        );
        assert_eq!(setting(&settings, "default.replication.factor"), "1");
        assert_eq!(setting(&settings, "min.insync.replicas"), "1");
    }

    #[test]
    fn the_topics_of_one_broker_are_not_given_to_three() {
        let path = std::env::temp_dir().join(format!("local-kafka-state-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let state = State::at(&path).unwrap();
        check_state(&state, Brokers::Three).unwrap();

        // As a start wrote it before there was a choice.
        std::fs::create_dir_all(path.join("kafka/data/1")).unwrap();
        check_state(&state, Brokers::One).unwrap();
        let error = check_state(&state, Brokers::Three).unwrap_err().to_string();
        assert!(error.contains("made with --brokers 1"), "{error}");

        std::fs::write(path.join("kafka").join(MADE_WITH), "3").unwrap();
        check_state(&state, Brokers::Three).unwrap();
        let error = check_state(&state, Brokers::One).unwrap_err().to_string();
        assert!(error.contains("made with --brokers 3"), "{error}");
    }
}
