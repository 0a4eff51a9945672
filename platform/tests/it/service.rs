//! A whole service as a process: the example `greeter`.
//!
//! `cargo test -p platform` builds it with these tests; `--test it` alone would run them on an old one.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::http::{StatusCode, header};
use platform::client::Answer;
use serde_json::Value;

use crate::database::TestDatabase;
use crate::support::{Proxy, client, eventually};

const SERVICE_TOKEN: &str = "for-operators-only";

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
struct Settings {
    public: u16,
    operations: u16,
    variables: Vec<(String, String)>,
}

impl Settings {
    fn new(database_url: &str) -> Self {
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

    fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.variables
            .push((format!("GREETER__{key}"), value.to_string()));
        self
    }

    fn command(&self, subcommand: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(subcommand).envs(self.variables.iter().cloned());
        command
    }

    fn run(&self, subcommand: &[&str]) -> Output {
        self.command(subcommand)
            .output()
            .expect("the example greeter is built with the tests")
    }

    fn migrate(&self) {
        let output = self.run(&["migrate"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn serve(self) -> Greeter {
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
struct Greeter {
    child: Child,
    settings: Settings,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Drop for Greeter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Greeter {
    async fn get(&self, port: u16, path: &str) -> Option<Answer> {
        client()
            .get(format!("http://127.0.0.1:{port}{path}").parse().unwrap())
            .send()
            .await
            .ok()
    }

    async fn public(&self, path: &str) -> Answer {
        self.get(self.settings.public, path)
            .await
            .expect("the public listener answers")
    }

    async fn operations(&self, path: &str) -> Answer {
        self.get(self.settings.operations, path)
            .await
            .expect("the operators' listener answers")
    }

    async fn until_health(&self, what: &str, mut condition: impl FnMut(&Answer, &Value) -> bool) {
        eventually(what, async || {
            let answer = self.get(self.settings.operations, "/health/ready").await?;
            let report = answer.json().ok()?;
            condition(&answer, &report).then_some(())
        })
        .await;
    }

    async fn until_ready(&self) {
        self.until_health("the greeter is ready", |answer, _| answer.is_success())
            .await;
    }

    fn signal(&self, signal: &str) {
        let killed = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    async fn until_ended(&mut self) -> ExitStatus {
        eventually("the greeter has ended", async || self.child.try_wait().unwrap()).await
    }

    fn log(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or(Value::String(line.clone())))
            .collect()
    }
}

#[test]
fn a_service_that_cannot_start_says_why_in_one_line() {
    let settings = || Settings::new("postgres://postgres:hunter2@127.0.0.1:1/x");
    for (settings, expected) in [
        (settings().with("GREETING__PAUSE_MS", "long"), "greeting.pause_ms"),
        (settings().with("GREETING__PAUZE", "1"), "unknown field `pauze`"),
        (
            settings().with("DATABASE__URL", "nonsense:hunter2"),
            "database.url",
        ),
        (settings().with("TELEMETRY__LOG", "=loud="), "telemetry.log"),
    ] {
        let output = settings.run(&["serve"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.lines().count()),
            (Some(1), 1),
            "{said}"
        );
        assert!(
            said.starts_with("greeter: configuration: ") && said.contains(expected),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let settings = Settings::new("postgres://127.0.0.1:1/x").with("OPERATIONS__LISTEN", address);
    let output = settings.run(&["serve"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        last.contains(&address.to_string()) && last.contains("operations.listen"),
        "{said}"
    );
}

#[test]
fn a_database_that_is_away_fails_a_migration_in_one_line() {
    let settings = Settings::new("postgres://postgres:hunter2@127.0.0.1:1/x").with("TELEMETRY__LOG", "error");
    let output = settings.run(&["migrate"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), said.lines().count()),
        (Some(1), 1),
        "{said}"
    );
    assert!(
        said.contains("the database cannot be reached") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn the_command_line_offers_what_the_service_has() {
    let help = Settings::new("").run(&["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    for (subcommand, is_offered) in [
        ("serve", true),
        ("migrate", true),
        ("outbox", true),
        ("dead-letters", false),
    ] {
        assert_eq!(help.contains(&format!("\n  {subcommand} ")), is_offered, "{help}");
    }
    let outbox = Settings::new("").run(&["outbox", "--help"]);
    assert!(String::from_utf8(outbox.stdout).unwrap().contains("discard"));
}

#[tokio::test]
async fn two_migrations_at_once_and_one_more_leave_one_database() {
    let database = TestDatabase::create().await;
    let settings = Settings::new(&database.url());
    let both = [(); 2].map(|()| {
        settings
            .command(&["migrate"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    for mut migration in both {
        assert!(migration.wait().unwrap().success());
    }
    settings.migrate();
    let pool = database.pool();
    let (eventing, own): (i64, i64) = sqlx::query_as(
        "select (select count(*) from eventing._sqlx_migrations), (select count(*) from _sqlx_migrations)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        (eventing, own),
        (i64::try_from(eventing::MIGRATOR.iter().count()).unwrap(), 1)
    );
    let output = settings.run(&["outbox", "list"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    pool.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_service_serves_is_watched_and_ends_in_order() {
    let database = TestDatabase::create().await;
    let settings = Settings::new(&database.url())
        .with("GREETING__PAUSE_MS", 300)
        .with("TELEMETRY__LOG", "info");
    settings.migrate();
    let mut greeter = settings.serve();
    greeter.until_ready().await;

    let answer = greeter.public("/api/v1/greetings/Ada").await;
    assert_eq!(
        answer.json::<Value>().unwrap(),
        serde_json::json!({ "greeting": "Hello Ada", "times": 1 })
    );
    assert!(greeter.operations("/health/live").await.is_success());

    let metrics = greeter.operations("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let series = "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
                  http_response_status_code=\"200\",http_route=\"/api/v1/greetings/{name}\"";
    assert!(metrics.contains(series), "{metrics}");
    assert!(
        metrics.contains("le=\"0.0005\""),
        "buckets are for seconds: {metrics}"
    );

    // A request in work is finished after the signal; what comes later finds nobody.
    let (in_work, ()) = tokio::join!(greeter.public("/api/v1/greetings/Bob"), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        greeter.signal("-TERM");
    });
    assert!(in_work.is_success());
    assert!(greeter.until_ended().await.success());
    database.drop().await;
}

#[tokio::test]
async fn the_internal_endpoints_ask_for_the_service_token() {
    let database = TestDatabase::create().await;
    let settings = Settings::new(&database.url());
    settings.migrate();
    let greeter = settings.serve();
    greeter.until_ready().await;
    let url = format!(
        "http://127.0.0.1:{}/internal/v1/count",
        greeter.settings.operations
    );
    for (token, expected) in [(SERVICE_TOKEN, 200), ("wrong", 401), ("", 401)] {
        let request = client().get(url.parse().unwrap()).bearer(&token.into());
        assert_eq!(request.send().await.unwrap().status.as_u16(), expected, "{token}");
    }
    assert_eq!(
        greeter.operations("/internal/v1/count").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        greeter.operations("/nowhere").await.status,
        StatusCode::UNAUTHORIZED
    );
    let elsewhere = greeter.public("/internal/v1/count").await;
    assert_eq!(
        elsewhere.status,
        StatusCode::NOT_FOUND,
        "the public listener has no such thing"
    );
    drop(greeter);
    database.drop().await;
}

// The proxy must go on while the test waits for a process.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_database() {
    let database = TestDatabase::create().await;
    let mut proxy = Proxy::start(database.server()).await;
    let greeter = Settings::new(&database.url_through(proxy.address)).serve();
    greeter
        .until_health("health says what is missing", |answer, report| {
            let reason = report["components"]["database"]["reason"]
                .as_str()
                .unwrap_or_default();
            answer.status == StatusCode::SERVICE_UNAVAILABLE && reason.contains("migrate")
        })
        .await;
    greeter.settings.migrate();
    greeter.until_ready().await;

    proxy.take_away().await;
    greeter
        .until_health("the database is down", |answer, report| {
            answer.status == StatusCode::SERVICE_UNAVAILABLE
                && report["components"]["database"]["status"] == "down"
        })
        .await;
    let refused = greeter.public("/api/v1/greetings/Ada").await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{:?}",
        refused.body
    );
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    assert!(
        greeter.operations("/health/live").await.is_success(),
        "it lives, and is not restarted for it"
    );

    proxy.bring_back().await;
    greeter.until_ready().await;
    assert!(greeter.public("/api/v1/greetings/Ada").await.is_success());
    drop(greeter);
    database.drop().await;
}

#[tokio::test]
async fn a_failure_is_one_line_of_the_log_found_by_the_trace_id_of_its_problem() {
    let database = TestDatabase::create().await;
    let settings = Settings::new(&database.url()).with("TELEMETRY__LOG", "warn");
    settings.migrate();
    let greeter = settings.serve();
    greeter.until_ready().await;
    sqlx::query("drop table greetings")
        .execute(&database.pool())
        .await
        .unwrap();

    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (path, logged) in [
        ("/api/v1/greetings/Ada", "greetings"),
        ("/api/v1/mistakes", "a mistake"),
    ] {
        let already = greeter.log().len();
        let url = format!("http://127.0.0.1:{}{path}", greeter.settings.public)
            .parse()
            .unwrap();
        let traced = header::HeaderName::from_static("traceparent");
        let request = client()
            .get(url)
            .header(traced, format!("00-{trace_id}-00f067aa0ba902b7-01"));
        let answer = request.send().await.unwrap();
        let problem: Value = answer.json().unwrap();
        assert_eq!(
            (answer.status.as_u16(), &problem["trace_id"]),
            (500, &Value::from(trace_id)),
            "{problem}"
        );
        assert!(!problem.to_string().contains(logged), "{problem}");

        let lines = eventually("the failure is logged", async || {
            let lines = greeter.log().split_off(already);
            (!lines.is_empty()).then_some(lines)
        })
        .await;
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let line = lines[0].to_string();
        assert!(
            line.contains(trace_id) && line.contains(logged) && line.contains("ERROR"),
            "{line}"
        );
    }
    drop(greeter);
    database.drop().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let database = TestDatabase::create().await;
    let settings = Settings::new(&database.url())
        .with("GREETING__PAUSE_MS", 9_000)
        .with("TELEMETRY__LOG", "info");
    settings.migrate();
    let mut greeter = settings.serve();
    greeter.until_ready().await;
    let url = format!(
        "http://127.0.0.1:{}/api/v1/greetings/Ada",
        greeter.settings.public
    )
    .parse()
    .unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(async move { client().get(url).send().await.is_err() });
    eventually("a request is in work", async || {
        let metrics = greeter.operations("/metrics").await;
        let active = "http_server_active_requests{http_request_method=\"GET\"} 2";
        String::from_utf8_lossy(&metrics.body)
            .contains(active)
            .then_some(())
    })
    .await;
    greeter.signal("-TERM");
    eventually("it says that it shuts down", async || {
        greeter
            .log()
            .iter()
            .any(|line| line["message"] == "shutting down")
            .then_some(())
    })
    .await;
    greeter.signal("-INT");
    assert_eq!(greeter.until_ended().await.code(), Some(1));
    assert!(
        waiting.join_next().await.unwrap().unwrap(),
        "the request was cut off"
    );
    database.drop().await;
}
