//! The example `greeter` as a process of a test.
//!
//! `cargo test -p platform` builds it with these tests; `--test it` alone would run them on an old one.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use platform::client::Answer;
use serde_json::Value;

use crate::support::{client, eventually};

pub(crate) const SERVICE_TOKEN: &str = "for-operators-only";

/// The example's binary, beside the folder of this test's.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent()
        .and_then(|deps| deps.parent())
        .unwrap()
        .join("examples")
        .join("greeter")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What the greeter is told, all of it by environment.
pub(crate) struct Settings {
    pub(crate) public: u16,
    pub(crate) operations: u16,
    variables: Vec<(String, String)>,
}

impl Settings {
    pub(crate) fn new(database_url: &str) -> Self {
        let (public, operations) = (free_port(), free_port());
        let variables = [
            ("HTTP__LISTEN", format!("127.0.0.1:{public}")),
            ("OPERATIONS__LISTEN", format!("127.0.0.1:{operations}")),
            ("OPERATIONS__SERVICE_TOKEN", SERVICE_TOKEN.to_owned()),
            ("DATABASE__URL", database_url.to_owned()),
            ("KAFKA__BROKERS", "127.0.0.1:1".to_owned()),
            ("REGISTRY__URL", "http://127.0.0.1:1".to_owned()),
            ("GREETING__WORD", "Hello".to_owned()),
        ];
        let variables = variables
            .map(|(key, value)| (format!("GREETER__{key}"), value))
            .into();
        Self {
            public,
            operations,
            variables,
        }
    }

    pub(crate) fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.variables
            .push((format!("GREETER__{key}"), value.to_string()));
        self
    }

    pub(crate) fn command(&self, subcommand: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(subcommand).envs(self.variables.iter().cloned());
        command
    }

    pub(crate) fn run(&self, subcommand: &[&str]) -> Output {
        self.command(subcommand)
            .output()
            .expect("the example greeter is built with the tests")
    }

    pub(crate) fn migrate(&self) {
        let output = self.run(&["migrate"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn serve(self) -> Greeter {
        let mut child = self.command(&["serve"]).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (log, stderr) = (lines.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .for_each(|line| log.lock().unwrap().push(line));
        });
        Greeter {
            child,
            settings: self,
            lines,
        }
    }
}

/// A running greeter, killed with its test.
pub(crate) struct Greeter {
    child: Child,
    pub(crate) settings: Settings,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Drop for Greeter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Greeter {
    pub(crate) async fn get(&self, port: u16, path: &str) -> Option<Answer> {
        client()
            .get(format!("http://127.0.0.1:{port}{path}").parse().unwrap())
            .send()
            .await
            .ok()
    }

    pub(crate) async fn public(&self, path: &str) -> Answer {
        self.get(self.settings.public, path)
            .await
            .expect("the public listener answers")
    }

    pub(crate) async fn operations(&self, path: &str) -> Answer {
        self.get(self.settings.operations, path)
            .await
            .expect("the operators' listener answers")
    }

    pub(crate) async fn until_health(&self, what: &str, mut condition: impl FnMut(&Answer, &Value) -> bool) {
        eventually(what, async || {
            let answer = self.get(self.settings.operations, "/health/ready").await?;
            let report = answer.json().ok()?;
            condition(&answer, &report).then_some(())
        })
        .await;
    }

    pub(crate) async fn until_ready(&self) {
        self.until_health("the greeter is ready", |answer, _| answer.is_success())
            .await;
    }

    pub(crate) fn signal(&self, signal: &str) {
        let killed = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    pub(crate) async fn until_ended(&mut self) -> ExitStatus {
        eventually("the greeter has ended", async || self.child.try_wait().unwrap()).await
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or(Value::String(line.clone())))
            .collect()
    }
}
