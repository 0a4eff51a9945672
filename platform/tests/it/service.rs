//! A whole service as a process: how it starts, what its command line offers, how it ends.

use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use crate::database::TestDatabase;
use crate::greeter::{Greeter, Settings};
use crate::support::{client, eventually};

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
        .with("GREETING__PAUSE_MS", 1_500)
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
        until_in_work(&greeter).await;
        greeter.signal("-TERM");
    });
    assert!(in_work.is_success());
    assert!(greeter.until_ended().await.success());
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
    until_in_work(&greeter).await;
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

/// Waits until a request is in work beside the one that asks.
async fn until_in_work(greeter: &Greeter) {
    eventually("a request is in work", async || {
        let metrics = greeter.operations("/metrics").await;
        let active = "http_server_active_requests{http_request_method=\"GET\"} 2";
        String::from_utf8_lossy(&metrics.body)
            .contains(active)
            .then_some(())
    })
    .await;
}
