//! What works and what does not: every component reports one condition, and readiness is the worst of them.
//!
//! `degraded` means that the service still does its work, later or in part (a broker that is away while the outbox
//! collects), and stays ready. `down` takes the replica out of the load balancer.

use std::collections::BTreeMap;
use std::sync::Arc;

use eventing::Condition;
use serde::Serialize;
use tokio::sync::watch;

/// The conditions of all components of a running service. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    components: Arc<std::sync::Mutex<BTreeMap<String, watch::Receiver<Condition>>>>,
}

/// Through this a component says how it is. Dropping it keeps the last thing said.
#[derive(Debug)]
pub struct Reporter(watch::Sender<Condition>);

/// The state of a service, or of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Works.
    Up,
    /// Works, late or in part; still ready.
    Degraded,
    /// Does not work; not ready.
    Down,
}

/// What `/health/ready` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of the components.
    pub status: Status,
    /// Each component by name.
    pub components: BTreeMap<String, ComponentReport>,
}

/// One component in a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// How it is.
    pub status: Status,
    /// Why it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Health {
    /// Adds a component that starts in the given condition.
    pub fn register(&self, component: impl Into<String>, start: Condition) -> Reporter {
        let (sender, receiver) = watch::channel(start);
        self.watch(component, receiver);
        Reporter(sender)
    }

    /// Adds a component that reports by itself, as relays and consumers do.
    pub fn watch(&self, component: impl Into<String>, condition: watch::Receiver<Condition>) {
        self.lock().insert(component.into(), condition);
    }

    /// How everything is at this moment.
    pub fn report(&self) -> Report {
        let components: BTreeMap<_, _> = self
            .lock()
            .iter()
            .map(|(name, condition)| (name.clone(), ComponentReport::from(&*condition.borrow())))
            .collect();
        let status = components
            .values()
            .map(|component| component.status)
            .max()
            .unwrap_or(Status::Up);
        Report { status, components }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, watch::Receiver<Condition>>> {
        self.components
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Reporter {
    /// Reports a condition; told only when it changed.
    pub fn report(&self, condition: Condition) {
        self.0.send_if_modified(|current| {
            let changed = *current != condition;
            *current = condition;
            changed
        });
    }

    /// Works.
    pub fn up(&self) {
        self.report(Condition::Up);
    }

    /// Works late or in part. The reason is shown to operators: no secrets.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.report(Condition::Degraded(reason.into()));
    }

    /// Does not work.
    pub fn down(&self, reason: impl Into<String>) {
        self.report(Condition::Down(reason.into()));
    }
}

impl From<&Condition> for ComponentReport {
    fn from(condition: &Condition) -> Self {
        match condition {
            Condition::Up => Self {
                status: Status::Up,
                reason: None,
            },
            Condition::Degraded(reason) => Self {
                status: Status::Degraded,
                reason: Some(reason.clone()),
            },
            Condition::Down(reason) => Self {
                status: Status::Down,
                reason: Some(reason.clone()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_component_decides() {
        let health = Health::default();
        let database = health.register("database", Condition::Up);
        let smtp = health.register("smtp", Condition::Up);
        assert_eq!(health.report().status, Status::Up);

        smtp.degraded("refuses connections");
        assert_eq!(health.report().status, Status::Degraded);

        database.down("does not answer");
        assert_eq!(
            serde_json::to_value(health.report()).unwrap(),
            serde_json::json!({
                "status": "down",
                "components": {
                    "database": { "status": "down", "reason": "does not answer" },
                    "smtp": { "status": "degraded", "reason": "refuses connections" },
                },
            })
        );

        database.up();
        smtp.up();
        assert_eq!(health.report().status, Status::Up);
    }

    #[test]
    fn a_component_that_is_gone_keeps_what_it_said_last() {
        let health = Health::default();
        let (condition, watch) = watch::channel(Condition::Up);
        health.watch("relay", watch);
        condition.send_replace(Condition::Down("ended".to_owned()));
        drop(condition);
        assert_eq!(health.report().status, Status::Down);
    }
}
