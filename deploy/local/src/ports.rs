//! Which port everything listens on: the documented ones, or free ones for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::backbone::{Broker, Brokers};
use crate::service::{Instance, Service};

/// Replica n of a service listens this many ports × (n − 1) above the first.
const REPLICA_STRIDE: u16 = 100;
const CONTROLLER_STRIDE: u16 = 10_000;

/// Something with a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// PostgreSQL.
    Postgresql,
    /// A broker, for clients.
    Kafka(Broker),
    /// A broker, for the other controllers.
    KafkaController(Broker),
    /// The door in front of a broker, for clients that tests cut off.
    KafkaDoor(Broker),
    /// Where a broker expects those who come in by its door.
    KafkaBehindDoor(Broker),
    /// The schema registry.
    Registry,
    /// The simulator's pages, its PSP, bank and issuer.
    Simulator,
    /// The simulator's SMTP server.
    Mail,
    /// A service's public interface.
    Public(Instance),
    /// A service's operations port.
    Operations(Instance),
}

impl Endpoint {
    /// The documented port.
    fn documented(self) -> u16 {
        match self {
            Self::Postgresql => 15432,
            Self::Kafka(broker) => 9090 + 2 * u16::from(broker.node_id()),
            Self::KafkaController(broker) => 9093 + CONTROLLER_STRIDE * u16::from(broker.node_id()),
            // Only tests have doors, and they take free ports.
            Self::KafkaDoor(broker) | Self::KafkaBehindDoor(broker) => 9093 + 2 * u16::from(broker.node_id()),
            Self::Registry => 8081,
            Self::Simulator => 40100,
            Self::Mail => 40125,
            Self::Public(instance) => instance.service.port() + replica_offset(instance),
            Self::Operations(instance) => instance.service.port() + 1000 + replica_offset(instance),
        }
    }
}

fn replica_offset(instance: Instance) -> u16 {
    REPLICA_STRIDE * u16::from(instance.replica - 1)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgresql => f.write_str("postgresql"),
            Self::Kafka(broker) => write!(f, "{broker}"),
            Self::KafkaController(broker) => match broker.node_id() {
                1 => f.write_str("kafka-controller"),
                id => write!(f, "kafka-controller-{id}"),
            },
            Self::KafkaDoor(broker) => write!(f, "{broker}-door"),
            Self::KafkaBehindDoor(broker) => write!(f, "{broker}-behind-door"),
            Self::Registry => f.write_str("registry"),
            Self::Simulator => f.write_str("simulator"),
            Self::Mail => f.write_str("mail"),
            Self::Public(instance) => write!(f, "{instance}"),
            Self::Operations(instance) => write!(f, "{instance}-operations"),
        }
    }
}

/// `NAME=PORT`, as `--port` takes it.
#[derive(Debug, Clone)]
pub struct PortChoice {
    name: String,
    port: u16,
}

impl FromStr for PortChoice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, port) = text.split_once('=').context("expected NAME=PORT")?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .with_context(|| format!("{port} is no port"))?;
        Ok(Self {
            name: name.to_owned(),
            port,
        })
    }
}

/// The port of every endpoint.
#[derive(Debug, Clone)]
pub struct Ports(BTreeMap<Endpoint, u16>);

impl Ports {
    /// The documented ports, save those that `choices` moves.
    pub fn documented(instances: &[Instance], brokers: Brokers, choices: &[PortChoice]) -> Result<Self> {
        let mut ports: BTreeMap<_, _> = endpoints(instances, brokers)
            .map(|endpoint| (endpoint, endpoint.documented()))
            .collect();
        for choice in choices {
            let Some((_, port)) = ports
                .iter_mut()
                .find(|(endpoint, _)| endpoint.to_string() == choice.name)
            else {
                let names: Vec<_> = ports.keys().map(ToString::to_string).collect();
                bail!(
                    "nothing here is called {}; ports can be chosen for {}",
                    choice.name,
                    names.join(", ")
                );
            };
            *port = choice.port;
        }
        Ok(Self(ports))
    }

    /// Ports that are free now, with one broker. Another process may take one before we do; then the start fails and names it.
    pub fn free(instances: &[Instance]) -> Result<Self> {
        Self::free_with(instances, Brokers::One)
    }

    /// The same with any number of brokers.
    pub fn free_with(instances: &[Instance], brokers: Brokers) -> Result<Self> {
        Self::find_free(endpoints(instances, brokers))
    }

    /// The same for a backbone alone, with a door in front of each broker that a test can put a proxy at.
    pub fn free_with_broker_doors(brokers: Brokers) -> Result<Self> {
        let doors = brokers
            .each()
            .flat_map(|broker| [Endpoint::KafkaDoor(broker), Endpoint::KafkaBehindDoor(broker)]);
        Self::find_free(endpoints(&[], brokers).chain(doors))
    }

    fn find_free(endpoints: impl Iterator<Item = Endpoint>) -> Result<Self> {
        // All are held until the last is found, so that none is found twice.
        let held: Vec<(Endpoint, TcpListener)> = endpoints
            .map(|endpoint| Ok((endpoint, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)))
            .collect::<Result<_>>()
            .context("no free port on 127.0.0.1")?;
        let ports = held
            .iter()
            .map(|(endpoint, listener)| Ok((*endpoint, listener.local_addr()?.port())))
            .collect::<Result<_>>()?;
        Ok(Self(ports))
    }

    /// Fails, naming them, when ports are taken or chosen twice.
    pub fn check(&self) -> Result<()> {
        let mut seen = BTreeMap::new();
        let mut problems = Vec::new();
        for (endpoint, port) in &self.0 {
            if let Some(other) = seen.insert(port, endpoint) {
                problems.push(format!("port {port} is meant for both {other} and {endpoint}"));
            } else if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)) {
                problems.push(format!("port {port}, for {endpoint}, is taken ({error})"));
            }
        }
        if let Some(first) = self.0.values().next()
            && !problems.is_empty()
        {
            bail!(
                "{}\nFree it (`ss -ltnp` shows who listens), or choose another with --port NAME=PORT, such as --port {}={}",
                problems.join("\n"),
                Endpoint::Postgresql,
                first.saturating_add(10_000),
            );
        }
        Ok(())
    }

    /// The port of an endpoint that this run has.
    ///
    /// # Panics
    /// If the run has no such endpoint: replicas are fixed when the ports are.
    #[expect(
        clippy::panic,
        reason = "asking for a replica that was never planned is a bug in the caller"
    )]
    pub fn of(&self, endpoint: Endpoint) -> u16 {
        match self.0.get(&endpoint) {
            Some(port) => *port,
            None => panic!("{endpoint} has no port in this run"),
        }
    }

    /// How many brokers these ports are for.
    pub fn brokers(&self) -> Brokers {
        let last =
            |endpoint: &Endpoint| matches!(endpoint, Endpoint::Kafka(broker) if *broker > Broker::FIRST);
        if self.0.keys().any(last) {
            Brokers::Three
        } else {
            Brokers::One
        }
    }

    /// Every broker's address for clients, with commas in between.
    pub fn kafka(&self) -> String {
        let addresses: Vec<String> = self
            .brokers()
            .each()
            .map(|broker| self.address(Endpoint::Kafka(broker)))
            .collect();
        addresses.join(",")
    }

    /// The door in front of a broker, where these ports have doors.
    pub fn broker_door(&self, broker: Broker) -> Option<BrokerDoor> {
        Some(BrokerDoor {
            listen: *self.0.get(&Endpoint::KafkaDoor(broker))?,
            behind: *self.0.get(&Endpoint::KafkaBehindDoor(broker))?,
        })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn http(&self, endpoint: Endpoint) -> String {
        format!("http://{}", self.address(endpoint))
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self, endpoint: Endpoint) -> String {
        format!("127.0.0.1:{}", self.of(endpoint))
    }

    /// A service's public base URL.
    pub fn public(&self, service: Service) -> String {
        self.http(Endpoint::Public(service.first()))
    }

    /// A service's operations base URL.
    pub fn operations(&self, service: Service) -> String {
        self.http(Endpoint::Operations(service.first()))
    }
}

/// The two ports of a door in front of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerDoor {
    /// Where clients knock: a proxy of the test's listens here, and the broker names it to whoever came in by the door.
    pub listen: u16,
    /// Where the broker listens for them.
    pub behind: u16,
}

fn endpoints(instances: &[Instance], brokers: Brokers) -> impl Iterator<Item = Endpoint> {
    [
        Endpoint::Postgresql,
        Endpoint::Registry,
        Endpoint::Simulator,
        Endpoint::Mail,
    ]
    .into_iter()
    .chain(
        brokers
            .each()
            .flat_map(|broker| [Endpoint::Kafka(broker), Endpoint::KafkaController(broker)]),
    )
    .chain(
        instances
            .iter()
            .flat_map(|instance| [Endpoint::Public(*instance), Endpoint::Operations(*instance)]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Instance> {
        Service::ALL.map(Service::first).to_vec()
    }

    #[test]
    fn the_documented_ports_are_those_of_the_documentation() {
        let ports = Ports::documented(&one_of_each(), Brokers::One, &[]).unwrap();
        assert_eq!(ports.public(Service::PaymentGateway), "http://127.0.0.1:40003");
        assert_eq!(ports.operations(Service::Settlement), "http://127.0.0.1:41013");
        assert_eq!(ports.of(Endpoint::Registry), 8081);
    }

    #[test]
    fn a_taken_port_is_named_with_what_it_is_for() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let choice = format!("registry={port}").parse().unwrap();
        let ports = Ports(
            Ports::documented(&one_of_each(), Brokers::One, &[choice])
                .unwrap()
                .0
                .into_iter()
                .filter(|(endpoint, _)| *endpoint == Endpoint::Registry)
                .collect(),
        );
        let error = ports.check().unwrap_err().to_string();
        assert!(
            error.contains(&format!("port {port}, for registry, is taken")),
            "{error}"
        );
    }

    #[test]
    fn three_brokers_have_ports_of_their_own() {
        let ports = Ports::documented(
            &one_of_each(),
            Brokers::Three,
            &["kafka-3=19096".parse().unwrap()],
        )
        .unwrap();
        assert_eq!(ports.kafka(), "127.0.0.1:9092,127.0.0.1:9094,127.0.0.1:19096");
        assert_eq!(ports.brokers(), Brokers::Three);
        let unknown = Ports::documented(&one_of_each(), Brokers::One, &["kafka-3=19096".parse().unwrap()]);
        assert!(unknown.unwrap_err().to_string().contains("kafka"));
        Ports::free_with_broker_doors(Brokers::Three)
            .unwrap()
            .check()
            .unwrap();
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Ports::documented(&one_of_each(), Brokers::One, &["postgres=1".parse().unwrap()])
            .unwrap_err()
            .to_string();
        assert!(error.contains("postgresql"), "{error}");
    }

    #[test]
    fn free_ports_are_all_different() {
        let ports = Ports::free(&one_of_each()).unwrap();
        ports.check().unwrap();
    }
}
