//! Members of a group as processes of their own: this test binary, asked for one ignored test.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use eventing::consumer::Resources;
use eventing::{Clock, KafkaSettings, SchemaRegistry};
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;

use super::stage::Stage;
use crate::support::{address, eventually};

/// The least that brokers allow, so that a killed member's partitions do not wait longer than they must.
const SESSION_TIMEOUT_MS: &str = "6000";
const DATABASE: &str = "PROCESS_DATABASE_URL";
const TOPIC_PREFIX: &str = "PROCESS_TOPIC_PREFIX";
const DIES_WITHIN: Duration = Duration::from_mins(1);

/// What the process works with: the same as the stage that started it.
pub(crate) async fn resources() -> Resources {
    let pool = PgPoolOptions::new()
        .connect(&std::env::var(DATABASE).unwrap())
        .await
        .unwrap();
    let mut kafka = KafkaSettings::new(address("TEST_KAFKA_BROKERS"));
    kafka.topic_prefix = std::env::var(TOPIC_PREFIX).unwrap();
    kafka
        .properties
        .insert("session.timeout.ms".to_owned(), SESSION_TIMEOUT_MS.to_owned());
    Resources {
        registry: SchemaRegistry::new(&address("TEST_SCHEMA_REGISTRY_URL"), pool.clone()).unwrap(),
        kafka,
        pool,
        clock: Clock::system(),
    }
}

/// Cancelled when the process that started this one asks it to leave, or is gone.
pub(crate) fn until_asked_to_leave() -> CancellationToken {
    let token = CancellationToken::new();
    let leave = token.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        leave.cancel();
    });
    token
}

/// A process; dropped, it is killed.
pub(crate) struct Process(Child);

impl Process {
    /// Starts an ignored test as a process, on a stage, with more environment variables.
    pub(crate) fn start(stage: &Stage, test: &str, variables: &[(&str, &str)]) -> Self {
        let options = stage.pool.connect_options();
        let server = address("TEST_DATABASE_URL");
        let (server, _) = server.rsplit_once('/').unwrap();
        let database = options.get_database().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(DATABASE, format!("{server}/{database}"))
            .env(TOPIC_PREFIX, &stage.kafka.topic_prefix)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Waits until it has ended by itself, and answers what it said.
    pub(crate) async fn until_dead(mut self) -> String {
        let mut stderr = self.0.stderr.take().unwrap();
        let said = tokio::task::spawn_blocking(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).unwrap();
            String::from_utf8_lossy(&said).into_owned()
        });
        let Ok(said) = tokio::time::timeout(DIES_WITHIN, said).await else {
            panic!("it lives on, and was to die");
        };
        assert!(!self.0.wait().unwrap().success());
        said.unwrap()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to leave its group, and waits until it has.
    pub(crate) async fn leave(mut self) {
        drop(self.0.stdin.take());
        let child = std::sync::Mutex::new(&mut self.0);
        let ended = || child.lock().unwrap().try_wait().unwrap();
        eventually("the process has left", async || ended().is_some()).await;
        assert!(ended().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
