//! What a history is played on: a backbone of its own, a database for each side, topics, doors and processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use eventing::Clock;
use jiff::{SignedDuration, Timestamp};
use local::backbone::{Backbone, Broker, Brokers, Durability, kafka};
use local::distribution::Distribution;
use local::ports::{Endpoint, Ports};
use local::process::{Launch, Process};
use local::processes::Layer;
use local::progress::Progress;
use local::proxy::{Address, Proxy};
use local::run::Run;
use local::state::State;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use super::model::Kind;
use super::schedule::{Child, Link};
use super::settings::Settings;
use super::timeline::Timeline;
use super::{consumer, writer};

const PARTITIONS: i32 = 6;
/// Each takes as long as a broker may take.
const JOINED_WITHIN_TRIES: u32 = 2;

/// The stage of one run.
#[derive(Debug)]
pub struct Stage {
    /// The folder and the processes.
    pub run: Run,
    /// Where everything listens.
    pub ports: Ports,
    /// What happened when.
    pub timeline: Timeline,
    backbone: Backbone,
    doors: BTreeMap<Link, Proxy>,
    settings: Settings,
}

impl Child {
    /// The database that it works on.
    pub const fn database(self) -> &'static str {
        match self {
            Self::Writer(_) => WRITERS,
            Self::Ordered(_) => database_of(Kind::Ordered),
            Self::Unordered(_) => database_of(Kind::Unordered),
        }
    }

    /// The number of its door in front of PostgreSQL: a socket's name carries a port number, and no server here has such a low one.
    fn door(self) -> u16 {
        (1..)
            .zip(Self::ALL)
            .find(|(_, child)| *child == self)
            .map_or(0, |(number, _)| number)
    }
}

/// The writers' database.
pub const WRITERS: &str = "history_writers";

/// A group's database.
pub const fn database_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Ordered => "history_ordered",
        Kind::Unordered => "history_unordered",
    }
}

/// What a stage is asked for.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The seed.
    pub seed: u64,
    /// How long writers write.
    pub length: std::time::Duration,
    /// How many brokers.
    pub brokers: Brokers,
    /// The folder for everything.
    pub folder: PathBuf,
    /// A mistake to be found.
    pub wrong: Option<String>,
    /// Whether it goes on where an earlier run in this folder has ended, rather than begins.
    pub resumes: bool,
}

impl Stage {
    /// Starts the backbone, and makes what the processes need. None of them runs yet.
    pub async fn build(demand: &Demand) -> Result<Self> {
        let folder = State::at(&demand.folder)?;
        let run = if demand.resumes {
            Run::prepare(folder)?
        } else {
            Run::prepare_afresh(folder)?
        };
        let ports = Ports::free_with_broker_doors(demand.brokers)?;
        let distribution = Distribution::fetch(&local::downloads(), Progress::Shown).await?;
        let backbone = Backbone::start(
            &run.state,
            &ports,
            &distribution,
            Durability::ProcessCrashOnly,
            &run.processes,
            Progress::Shown,
        )
        .await?;
        let journals = run.state.folder("logs")?;
        let mut stage = Self {
            settings: Settings {
                name: String::new(),
                seed: demand.seed,
                database: String::new(),
                brokers: String::new(),
                registry: String::new(),
                began: Timestamp::UNIX_EPOCH,
                write_until: Timestamp::UNIX_EPOCH,
                journals: journals.to_str().context("the folder is not UTF-8")?.to_owned(),
                wrong: demand.wrong.clone(),
            },
            timeline: Timeline::since(Clock::system().now()),
            doors: BTreeMap::new(),
            run,
            ports,
            backbone,
        };
        if !demand.resumes {
            stage.create_databases().await?;
            stage.create_topics().await?;
        }
        stage.open_doors().await?;
        let began = Clock::system().now();
        stage.timeline = Timeline::since(began);
        stage.settings.began = began;
        stage.settings.write_until = began + SignedDuration::try_from(demand.length)?;
        Ok(stage)
    }

    async fn create_databases(&self) -> Result<()> {
        let mut admin = PgConnection::connect(&self.backbone.postgres.admin_url()).await?;
        let tables = [
            (WRITERS, writer::TABLES),
            (database_of(Kind::Ordered), consumer::TABLES),
            (database_of(Kind::Unordered), consumer::TABLES),
        ];
        for (name, tables) in tables {
            let statements = [
                format!("create role {name} login"),
                format!("create database {name} owner {name}"),
            ];
            for statement in statements {
                admin.execute(AssertSqlSafe(statement)).await?;
            }
            let pool = self.pool(name).await?;
            eventing::MIGRATOR.run(&pool).await?;
            pool.execute(tables).await?;
            pool.close().await;
        }
        Ok(())
    }

    async fn create_topics(&self) -> Result<()> {
        let mut names = Vec::new();
        for group in Kind::BOTH.map(consumer::group) {
            names.extend((1..).take(group.tiers.len()).map(|tier| group.retry_topic(tier)));
            names.push(group.dead_letter_topic());
        }
        // As many copies as the brokers' settings say.
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(-1)))
            .collect();
        let admin = kafka::admin(&self.backbone.kafka)?;
        for created in admin.create_topics(&topics, &AdminOptions::new()).await? {
            if let Err((name, error)) = created {
                bail!("cannot create the topic {name}: {error}");
            }
        }
        Ok(())
    }

    async fn open_doors(&mut self) -> Result<()> {
        let postgres = &self.backbone.postgres;
        let server = Address::Unix(postgres.socket(postgres.port()));
        for child in Child::ALL {
            let door = Proxy::open(Address::Unix(postgres.socket(child.door())), server.clone()).await?;
            self.doors.insert(Link::Database(child), door);
        }
        let mut brokers = Vec::new();
        for broker in self.ports.brokers().each() {
            let door = self.ports.broker_door(broker).context("brokers without doors")?;
            let proxy = Proxy::open(Address::Tcp(door.listen), Address::Tcp(door.behind)).await?;
            self.doors.insert(Link::Kafka(broker), proxy);
            brokers.push(format!("127.0.0.1:{}", door.listen));
        }
        let port = free_port()?;
        let registry = Address::Tcp(self.ports.of(Endpoint::Registry));
        let door = Proxy::open(Address::Tcp(port), registry).await?;
        self.doors.insert(Link::Registry, door);
        self.settings.brokers = brokers.join(",");
        self.settings.registry = format!("http://127.0.0.1:{port}{}", local::backbone::registry::PATH);
        Ok(())
    }

    /// The door at a link.
    pub fn door(&self, link: Link) -> Result<&Proxy> {
        self.doors.get(&link).with_context(|| format!("no door {link}"))
    }

    /// Every door.
    pub fn doors(&self) -> impl Iterator<Item = &Proxy> {
        self.doors.values()
    }

    /// Starts a process.
    pub fn start(&self, child: Child) -> Result<Arc<Process>> {
        let this = std::env::current_exe().context("where is this program?")?;
        let name = child.to_string();
        let arguments: &[&str] = match child {
            Child::Writer(_) => &["writer-relay"],
            Child::Ordered(_) => &["consumer", "ordered"],
            Child::Unordered(_) => &["consumer", "unordered"],
        };
        let settings = Settings {
            database: self.backbone.postgres.socket_url(child.database(), child.door()),
            name: name.clone(),
            ..self.settings.clone()
        };
        let launch = Launch::new(name, this).args(arguments.iter().copied());
        let launch = settings
            .variables()
            .into_iter()
            .fold(launch, |launch, (name, value)| launch.env(name, value));
        self.run.processes.start(Layer::Service, launch)
    }

    /// What an operator of a group is told: the same, by ways that nobody cuts.
    pub fn operator(&self, kind: Kind) -> Settings {
        let postgres = &self.backbone.postgres;
        Settings {
            name: format!("operator-{}", kind.group()),
            database: postgres.socket_url(database_of(kind), postgres.port()),
            brokers: self.backbone.kafka.clone(),
            registry: self.backbone.registry.clone(),
            ..self.settings.clone()
        }
    }

    /// A pool on one of the databases, by no door.
    pub async fn pool(&self, database: &str) -> Result<PgPool> {
        let postgres = &self.backbone.postgres;
        let url = postgres.socket_url(database, postgres.port());
        Ok(sqlx::postgres::PgPoolOptions::new()
            .max_connections(2)
            .connect(&url)
            .await?)
    }

    /// The brokers, by no door.
    pub fn brokers(&self) -> &str {
        &self.backbone.kafka
    }

    /// The folder of the journals.
    pub fn journals(&self) -> PathBuf {
        PathBuf::from(&self.settings.journals)
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.settings.seed
    }

    /// Waits until a broker that was started again is one of all; on a machine that has other things to do that takes a while.
    pub async fn until_joined(&self, process: &Process, broker: Broker) -> Result<()> {
        let all = self.ports.brokers().count();
        let mut tries = 0;
        loop {
            tries += 1;
            match kafka::wait(process, &self.ports, broker, all).await {
                Err(error) if tries == JOINED_WITHIN_TRIES || !process.runs() => return Err(error),
                Err(_) => {}
                Ok(()) => return Ok(()),
            }
        }
    }
}

fn free_port() -> Result<u16> {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(free.local_addr()?.port())
}
