//! The whole platform: backbone, outside world, four services. What `deploy/up` shows and what system tests run against.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;

use crate::backbone::{Backbone, Broker, Durability, kafka};
use crate::configuration::Wiring;
use crate::distribution::Distribution;
use crate::doors::{Dependency, Doors, OpenDoors};
use crate::http::Http;
use crate::ports::{Endpoint, Ports};
use crate::process::{Launch, Process};
use crate::processes::Layer;
use crate::progress::Progress;
use crate::run::{Entry, Record, Run};
use crate::service::{Instance, Service};
use crate::state::{Secrets, write_private};

const READY_WITHIN: Duration = Duration::from_mins(1);
/// The simulator's name among the processes.
pub const SIMULATOR: &str = "simulator";

/// How a platform is laid out.
#[derive(Debug)]
pub struct Options {
    /// Which services, and how many of each.
    pub instances: Vec<Instance>,
    /// Where they listen.
    pub ports: Ports,
    /// Whether PostgreSQL survives a lost machine.
    pub durability: Durability,
    /// Whether services can be cut off from what they need.
    pub doors: Doors,
    /// Environment variables for every service and the simulator, such as `SETTLEMENT__PAYOUTS__SWEEP_INTERVAL_MS`.
    pub env: Vec<(String, String)>,
    /// Who is told what happens.
    pub progress: Progress,
}

/// A running platform.
#[derive(Debug)]
pub struct Platform {
    run: Arc<Run>,
    ports: Ports,
    secrets: Secrets,
    backbone: Backbone,
    instances: Vec<Instance>,
    env: Vec<(String, String)>,
    doors: Option<OpenDoors>,
    programs: PathBuf,
    http: Http,
    progress: Progress,
}

impl Platform {
    /// Starts everything and returns when every service is ready. On failure the caller stops `run`.
    pub async fn start(run: Arc<Run>, options: Options) -> Result<Self> {
        let progress = options.progress;
        Record::remove(&run.state);
        let programs = programs(&options.instances)?;
        let distribution = Distribution::fetch(&crate::downloads(), progress).await?;
        let backbone = Backbone::start(
            &run.state,
            &options.ports,
            &distribution,
            options.durability,
            &run.processes,
            progress,
        )
        .await?;
        let doors = match options.doors {
            Doors::None => None,
            Doors::Everywhere => Some(OpenDoors::open(&backbone, &options.ports).await?),
        };
        let platform = Self {
            secrets: run.state.secrets()?,
            run,
            ports: options.ports,
            backbone,
            instances: options.instances,
            env: options.env,
            doors,
            programs,
            http: Http::new()?,
            progress,
        };
        platform.record(Phase::Starting)?;
        let step = progress.step("simulator, and the databases' migrations");
        tokio::try_join!(platform.start_simulator(), platform.migrate())?;
        step.done();
        try_join_all(
            platform
                .instances
                .iter()
                .map(|instance| platform.start_instance(*instance, &[])),
        )
        .await?;
        platform.record(Phase::Ready)?;
        Ok(platform)
    }

    /// Starts the simulator and waits for it.
    pub async fn start_simulator(&self) -> Result<()> {
        let launch = Launch::new(SIMULATOR, self.programs.join(SIMULATOR));
        let state = self.run.state.folder("simulator")?;
        let launch = self.wiring().simulator(launch).env("SIMULATOR_STATE", state);
        let process = self
            .run
            .processes
            .start(Layer::Outside, with_env(launch, &self.env))?;
        self.wait_http(&process, &format!("{}/health", self.simulator_url()))
            .await
    }

    async fn migrate(&self) -> Result<()> {
        for instance in &self.instances {
            self.configure(*instance)?;
        }
        let first = self.instances.iter().filter(|instance| instance.replica == 1);
        try_join_all(first.map(|instance| {
            let migrate = self.launch(*instance, &format!("{instance}-migrate"), "migrate");
            self.run.processes.run(with_env(migrate, &self.env))
        }))
        .await?;
        Ok(())
    }

    fn configure(&self, instance: Instance) -> Result<()> {
        self.run.state.folder("config")?;
        let service = instance.service;
        let postgres = &self.backbone.postgres;
        let (port, registry) = match &self.doors {
            None => (postgres.port(), self.backbone.registry.clone()),
            Some(doors) => (doors.database_port(service)?, doors.registry_url()),
        };
        let database = postgres.socket_url(service.database(), port);
        let text = self.wiring().service(instance, &database, &registry);
        write_private(&self.config_file(instance), &text)
    }

    fn config_file(&self, instance: Instance) -> PathBuf {
        self.run.state.join("config").join(format!("{instance}.toml"))
    }

    fn launch(&self, instance: Instance, name: &str, subcommand: &str) -> Launch {
        Launch::new(name, self.programs.join(instance.service.name()))
            .arg(subcommand)
            .arg("--config")
            .arg(self.config_file(instance))
    }

    /// Starts an instance with more in its environment, and waits until it is ready.
    pub async fn start_instance(&self, instance: Instance, env: &[(String, String)]) -> Result<()> {
        let step = self.progress.step(instance.to_string());
        let process = self.spawn_instance(instance, env)?;
        self.wait_ready(instance, &process).await?;
        step.done();
        Ok(())
    }

    /// Starts an instance and does not wait: it may be meant to die.
    pub fn spawn_instance(&self, instance: Instance, env: &[(String, String)]) -> Result<Arc<Process>> {
        let serve = with_env(self.launch(instance, &instance.to_string(), "serve"), &self.env);
        self.run.processes.start(Layer::Service, with_env(serve, env))
    }

    /// Waits until a child that was started again answers.
    pub async fn wait_for(&self, process: &Process) -> Result<()> {
        let instance = self
            .instances
            .iter()
            .find(|instance| instance.to_string() == process.name());
        match (instance, process.name()) {
            (Some(instance), _) => self.wait_ready(*instance, process).await,
            (None, SIMULATOR) => {
                self.wait_http(process, &format!("{}/health", self.simulator_url()))
                    .await
            }
            (None, name) => match self.broker(name) {
                // The others may be down for now, and are waited for by themselves.
                Some(broker) => kafka::wait(process, &self.ports, broker, 1).await,
                None => Ok(()),
            },
        }
    }

    async fn wait_ready(&self, instance: Instance, process: &Process) -> Result<()> {
        self.wait_http(process, &self.health_url(instance)).await
    }

    async fn wait_http(&self, process: &Process, url: &str) -> Result<()> {
        process
            .ready_when(READY_WITHIN, || async {
                let response = self.http.get(url).send().await?;
                let status = response.status();
                if !status.is_success() {
                    bail!("{url} answers {status}: {}", response.text().await?);
                }
                Ok(())
            })
            .await
    }

    /// The running process of an instance.
    pub fn process(&self, instance: Instance) -> Result<Arc<Process>> {
        self.run
            .processes
            .get(&instance.to_string())
            .with_context(|| format!("{instance} was never started"))
    }

    /// Takes a dependency away.
    pub async fn cut(&self, dependency: Dependency) -> Result<()> {
        self.doors()?.of(dependency)?.cut().await;
        Ok(())
    }

    /// Gives it back.
    pub async fn restore(&self, dependency: Dependency) -> Result<()> {
        self.doors()?
            .of(dependency)?
            .restore()
            .await
            .with_context(|| format!("cannot restore {dependency:?}"))
    }

    fn doors(&self) -> Result<&OpenDoors> {
        self.doors.as_ref().context("this platform has no doors")
    }

    /// Runs a subcommand of a service, such as `dead-letters list`, and returns what it prints.
    pub async fn ask(&self, service: Service, arguments: &[&str]) -> Result<String> {
        let output = tokio::process::Command::new(self.programs.join(service.name()))
            .args(arguments)
            .arg("--config")
            .arg(self.config_file(service.first()))
            .env("NO_COLOR", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true)
            .output()
            .await?;
        if !output.status.success() {
            bail!(
                "{service} {} failed ({}): {}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes down what runs.
    pub fn record(&self, phase: Phase) -> Result<()> {
        let list = self.run.processes.list();
        let processes = list.iter().map(|(_, process)| self.entry(process)).collect();
        Record {
            ready: phase == Phase::Ready,
            processes,
        }
        .write(&self.run.state)
    }

    /// The broker of this name among the processes.
    fn broker(&self, name: &str) -> Option<Broker> {
        self.ports
            .brokers()
            .each()
            .find(|broker| broker.to_string() == name)
    }

    fn entry(&self, process: &Process) -> Entry {
        let name = process.name();
        let instance = self
            .instances
            .iter()
            .find(|instance| instance.to_string() == name);
        let (url, health) = match (instance, name) {
            (Some(instance), _) => (
                Some(self.ports.http(Endpoint::Public(*instance))),
                Some(self.health_url(*instance)),
            ),
            (None, SIMULATOR) => {
                let url = self.simulator_url();
                (Some(url.clone()), Some(format!("{url}/health")))
            }
            (None, "registry") => {
                let url = &self.backbone.registry;
                (Some(url.clone()), Some(format!("{url}/subjects")))
            }
            (None, "postgresql") => (Some(self.ports.address(Endpoint::Postgresql)), None),
            (None, name) => {
                let address = |broker| self.ports.address(Endpoint::Kafka(broker));
                (self.broker(name).map(address), None)
            }
        };
        Entry {
            name: name.to_owned(),
            pid: process.pid(),
            url,
            health,
        }
    }

    fn health_url(&self, instance: Instance) -> String {
        format!("{}/health/ready", self.ports.http(Endpoint::Operations(instance)))
    }

    pub(crate) fn wiring(&self) -> Wiring<'_> {
        Wiring {
            ports: &self.ports,
            secrets: &self.secrets,
            backbone: &self.backbone,
        }
    }

    /// The folder, the children and the lock.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Where everything listens.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Every instance, those included that do not run now.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// PostgreSQL, Kafka, registry: the real ones, with no door in between.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// The simulator's base URL.
    pub fn simulator_url(&self) -> String {
        self.ports.http(Endpoint::Simulator)
    }

    /// The folder of the programs that it runs.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// What the PSP signs its webhooks with.
    pub fn stripe_webhook_secret(&self) -> String {
        self.wiring().stripe_webhook_secret()
    }

    /// What the bank signs its webhooks with.
    pub fn bank_webhook_secret(&self) -> String {
        self.wiring().bank_webhook_secret()
    }

    /// What a service's internal endpoints ask for.
    pub fn service_token(&self, service: Service) -> String {
        self.wiring().service_token(service)
    }
}

/// How far a start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Something is not ready yet.
    Starting,
    /// Everything is.
    Ready,
}

fn with_env(launch: Launch, env: &[(String, String)]) -> Launch {
    env.iter()
        .fold(launch, |launch, (name, value)| launch.env(name, value))
}

/// The folder of the built programs: this program's own, or for a test its parent.
fn programs(instances: &[Instance]) -> Result<PathBuf> {
    let this = std::env::current_exe().context("where is this program?")?;
    let folder = this.parent().context("this program lies in no folder")?;
    let folder = match folder.parent() {
        Some(parent) if folder.ends_with("deps") => parent,
        _ => folder,
    };
    let names = instances.iter().map(|instance| instance.service.name());
    for name in names.chain([SIMULATOR]) {
        if !folder.join(name).exists() {
            bail!("{name} is not built: run `cargo build --workspace --bins` first");
        }
    }
    Ok(folder.to_owned())
}
