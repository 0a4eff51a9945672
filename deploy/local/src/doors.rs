//! The doors of a platform under test: one in front of each service's PostgreSQL, one in front of the registry.

use anyhow::{Context, Result};

use crate::backbone::Backbone;
use crate::ports::{Endpoint, Ports};
use crate::proxy::{Address, Proxy};
use crate::service::Service;

/// Whether there is a door in front of each service's PostgreSQL and of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doors {
    /// Services reach them directly.
    None,
    /// A test can shut each.
    Everywhere,
}

/// What a service can lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    /// The PostgreSQL of one service.
    Database(Service),
    /// The schema registry, for all services.
    Registry,
}

/// The doors, opened.
#[derive(Debug)]
pub(crate) struct OpenDoors {
    databases: Vec<(Service, u16, Proxy)>,
    registry: (u16, Proxy),
}

impl OpenDoors {
    pub(crate) async fn open(backbone: &Backbone, ports: &Ports) -> Result<Self> {
        let postgres = &backbone.postgres;
        let mut databases = Vec::new();
        // A socket's name carries a port number; these doors are numbered from 1, which no server here uses.
        for (service, number) in Service::ALL.into_iter().zip(1..) {
            let listen = Address::Unix(postgres.socket(number));
            let upstream = Address::Unix(postgres.socket(postgres.port()));
            let door = Proxy::open(listen, upstream).await?;
            databases.push((service, number, door));
        }
        let free = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let port = free.local_addr()?.port();
        drop(free);
        let upstream = Address::Tcp(ports.of(Endpoint::Registry));
        let registry = Proxy::open(Address::Tcp(port), upstream).await?;
        Ok(Self {
            databases,
            registry: (port, registry),
        })
    }

    pub(crate) fn of(&self, dependency: Dependency) -> Result<&Proxy> {
        match dependency {
            Dependency::Registry => Ok(&self.registry.1),
            Dependency::Database(service) => self.database(service).map(|(_, _, door)| door),
        }
    }

    fn database(&self, service: Service) -> Result<&(Service, u16, Proxy)> {
        self.databases
            .iter()
            .find(|(of, _, _)| *of == service)
            .with_context(|| format!("{service} has no door"))
    }

    pub(crate) fn database_port(&self, service: Service) -> Result<u16> {
        self.database(service).map(|(_, number, _)| *number)
    }

    pub(crate) fn registry_url(&self) -> String {
        let port = self.registry.0;
        format!("http://127.0.0.1:{port}{}", crate::backbone::registry::PATH)
    }
}
