//! Which port everything listens on: the documented ones, or free ones for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::service::{Instance, Service};

/// Replica n of a service listens this many ports × (n − 1) above the first.
const REPLICA_STRIDE: u16 = 100;

/// Something with a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// PostgreSQL.
    Postgresql,
    /// Kafka, for clients.
    Kafka,
    /// Kafka, for its controller.
    KafkaController,
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
            Self::Kafka => 9092,
            Self::KafkaController => 19093,
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
            Self::Kafka => f.write_str("kafka"),
            Self::KafkaController => f.write_str("kafka-controller"),
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
    pub fn documented(instances: &[Instance], choices: &[PortChoice]) -> Result<Self> {
        let mut ports: BTreeMap<_, _> = endpoints(instances)
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

    /// Ports that are free now. Another process may take one before we do; then the start fails and names it.
    pub fn free(instances: &[Instance]) -> Result<Self> {
        let held: Vec<(Endpoint, TcpListener)> = endpoints(instances)
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

fn endpoints(instances: &[Instance]) -> impl Iterator<Item = Endpoint> {
    [
        Endpoint::Postgresql,
        Endpoint::Kafka,
        Endpoint::KafkaController,
        Endpoint::Registry,
        Endpoint::Simulator,
        Endpoint::Mail,
    ]
    .into_iter()
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
        let ports = Ports::documented(&one_of_each(), &[]).unwrap();
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
            Ports::documented(&one_of_each(), &[choice])
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
    fn an_unknown_name_lists_the_known_ones() {
        let error = Ports::documented(&one_of_each(), &["postgres=1".parse().unwrap()])
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
