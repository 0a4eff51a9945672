//! All children of a run, by name, and the order in which they end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;

use crate::process::{Launch, Process};

/// How long a child may take to stop by itself: a service finishes its requests and tasks within 25 s.
const GRACE: Duration = Duration::from_secs(30);

/// What depends on what: a layer stops before those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// PostgreSQL and Kafka.
    Store,
    /// The schema registry.
    Registry,
    /// The simulator.
    Outside,
    /// The services.
    Service,
    /// The demo traffic.
    Traffic,
}

impl Layer {
    const TOP_DOWN: [Self; 5] = [
        Self::Traffic,
        Self::Service,
        Self::Outside,
        Self::Registry,
        Self::Store,
    ];
}

/// The children of a run.
#[derive(Debug)]
pub struct Processes {
    logs: PathBuf,
    all: Mutex<Vec<(Layer, Arc<Process>)>>,
}

impl Processes {
    /// None yet; their logs go to this folder.
    pub fn new(logs: PathBuf) -> Self {
        Self {
            logs,
            all: Mutex::new(Vec::new()),
        }
    }

    /// Where the output of the child of this name goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts a child. One of the same name must have ended; the new one takes its place.
    pub fn start(&self, layer: Layer, launch: Launch) -> Result<Arc<Process>> {
        let log = self.log(launch.name());
        let process = Arc::new(launch.start(&log)?);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|(_, old)| old.name() == process.name()) {
            Some(place) => place.1 = Arc::clone(&process),
            None => all.push((layer, Arc::clone(&process))),
        }
        Ok(process)
    }

    /// Runs a program that ends by itself.
    pub async fn run(&self, launch: Launch) -> Result<()> {
        let log = self.log(launch.name());
        launch.run(&log).await
    }

    /// Starts a child that has ended once more, as it was.
    pub fn restart(&self, name: &str) -> Result<Arc<Process>> {
        let (layer, old) = self
            .list()
            .into_iter()
            .find(|(_, process)| process.name() == name)
            .with_context(|| format!("{name} was never started"))?;
        self.start(layer, old.launch().clone())
    }

    /// The child of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Process>> {
        self.list()
            .into_iter()
            .map(|(_, process)| process)
            .find(|process| process.name() == name)
    }

    /// All of them, in the order of their start.
    pub fn list(&self) -> Vec<(Layer, Arc<Process>)> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One that ended although nobody asked it to.
    pub fn died(&self) -> Option<Arc<Process>> {
        self.list()
            .into_iter()
            .map(|(_, process)| process)
            .find(|process| !process.runs() && !process.end_expected())
    }

    /// Stops all, layer by layer from the top.
    pub async fn stop(&self) {
        let all = self.list();
        for layer in Layer::TOP_DOWN {
            let of_layer = all.iter().filter(|(other, _)| *other == layer);
            join_all(of_layer.map(|(_, process)| process.stop(GRACE))).await;
        }
    }
}
