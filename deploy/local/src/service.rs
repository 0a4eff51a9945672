//! The four services and their replicas.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result};

/// One of the platform's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Merchants' API and PSP channels.
    PaymentGateway,
    /// Ledger, settlements, withdrawals.
    Settlement,
    /// Notices to merchants and customers.
    Notifier,
    /// Dashboards.
    AnalyticsConsumer,
}

impl Service {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [
        Self::PaymentGateway,
        Self::Settlement,
        Self::Notifier,
        Self::AnalyticsConsumer,
    ];

    /// Name, program and consumer group.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PaymentGateway => "payment-gateway",
            Self::Settlement => "settlement",
            Self::Notifier => "notifier",
            Self::AnalyticsConsumer => "analytics-consumer",
        }
    }

    /// Its database and the role that owns it.
    pub const fn database(self) -> &'static str {
        match self {
            Self::PaymentGateway => "payment_gateway",
            Self::Settlement => "settlement",
            Self::Notifier => "notifier",
            Self::AnalyticsConsumer => "analytics_consumer",
        }
    }

    /// The documented port.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::PaymentGateway => 40003,
            Self::Settlement => 40013,
            Self::Notifier => 40008,
            Self::AnalyticsConsumer => 40009,
        }
    }

    /// The first, and usually only, replica.
    pub const fn first(self) -> Instance {
        Instance {
            service: self,
            replica: 1,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == text)
            .with_context(|| {
                format!(
                    "{text} is no service; there are {}",
                    Self::ALL.map(Self::name).join(", ")
                )
            })
    }
}

/// One running copy of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    /// Which service.
    pub service: Service,
    /// From 1.
    pub replica: u8,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.replica {
            1 => write!(f, "{}", self.service),
            replica => write!(f, "{}-{replica}", self.service),
        }
    }
}

/// `SERVICE=N`, as `--replicas` takes it.
#[derive(Debug, Clone, Copy)]
pub struct Replicas {
    service: Service,
    count: u8,
}

impl Replicas {
    /// More would reach into another service's ports.
    const MAX: u8 = 5;
}

impl FromStr for Replicas {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (service, count) = text.split_once('=').context("expected SERVICE=N")?;
        let count = count
            .parse()
            .ok()
            .filter(|count| (1..=Self::MAX).contains(count))
            .with_context(|| format!("expected 1 to {} replicas, not {count}", Self::MAX))?;
        Ok(Self {
            service: service.parse()?,
            count,
        })
    }
}

/// Every instance of a run: one of each service, more where asked for.
pub fn instances(replicas: &[Replicas]) -> Vec<Instance> {
    Service::ALL
        .into_iter()
        .flat_map(|service| {
            let chosen = replicas.iter().rev().find(|chosen| chosen.service == service);
            (1..=chosen.map_or(1, |chosen| chosen.count)).map(move |replica| Instance { service, replica })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_added_to_the_service_that_was_named() {
        let names: Vec<String> = instances(&["settlement=2".parse().unwrap()])
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            names,
            [
                "payment-gateway",
                "settlement",
                "settlement-2",
                "notifier",
                "analytics-consumer"
            ]
        );
    }

    #[test]
    fn a_wrong_service_or_count_is_refused_with_what_is_right() {
        assert!(
            "ledger=2"
                .parse::<Replicas>()
                .unwrap_err()
                .to_string()
                .contains("settlement")
        );
        assert!(
            "settlement=0"
                .parse::<Replicas>()
                .unwrap_err()
                .to_string()
                .contains("1 to 5")
        );
    }
}
