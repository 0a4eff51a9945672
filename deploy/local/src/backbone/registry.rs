//! A real schema registry (Apicurio, through its Confluent-compatible interface), and the platform's schemas.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;
use schemas::catalogue;
use serde::Deserialize;
use serde_json::json;

use super::postgres::{Postgres, REGISTRY};
use crate::distribution::Distribution;
use crate::http::{Http, answer};
use crate::ports::{Endpoint, Ports};
use crate::process::{Launch, Process};
use crate::processes::{Layer, Processes};

/// The path of the Confluent-compatible interface.
pub const PATH: &str = "/apis/ccompat/v7";
/// Every version can read, and be read by, every other.
const COMPATIBILITY: &str = "FULL_TRANSITIVE";
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Starts the registry and waits until it answers.
pub(super) async fn start(
    ports: &Ports,
    postgres: &Postgres,
    distribution: &Distribution,
    http: &Http,
    processes: &Processes,
) -> Result<()> {
    let (folder, program) = distribution.registry()?;
    let database = format!("jdbc:postgresql://127.0.0.1:{}/{REGISTRY}", postgres.port());
    let settings = [
        ("quarkus.http.host", "127.0.0.1".to_owned()),
        ("quarkus.http.port", ports.of(Endpoint::Registry).to_string()),
        ("quarkus.otel.sdk.disabled", "true".to_owned()),
        // It logs every request otherwise.
        ("quarkus.log.level", "WARN".to_owned()),
        ("quarkus.http.access-log.enabled", "false".to_owned()),
        // The default storage is in memory, where ids vanish with the process; the default pool takes 20 connections.
        ("apicurio.storage.kind", "sql".to_owned()),
        ("apicurio.storage.sql.kind", "postgresql".to_owned()),
        ("apicurio.datasource.url", database),
        ("apicurio.datasource.username", REGISTRY.to_owned()),
        ("apicurio.datasource.jdbc.initial-size", "1".to_owned()),
        ("apicurio.datasource.jdbc.min-size", "1".to_owned()),
        ("apicurio.datasource.jdbc.max-size", "8".to_owned()),
        ("apicurio.rules.global.compatibility", COMPATIBILITY.to_owned()),
        ("apicurio.rules.global.validity", "FULL".to_owned()),
    ];
    let launch = Launch::new("registry", "java")
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(settings.map(|(name, value)| format!("-D{name}={value}")))
        .args(["-jar", &program])
        // Not an argument: those are for everybody to read.
        .env("APICURIO_DATASOURCE_PASSWORD", postgres.password(REGISTRY))
        .folder(folder);
    let registry = processes.start(Layer::Registry, launch)?;
    wait(&registry, http, &url(ports)).await
}

/// The base of the Confluent-compatible interface.
pub(super) fn url(ports: &Ports) -> String {
    format!("{}{PATH}", ports.http(Endpoint::Registry))
}

/// Waits until the registry answers.
pub(crate) async fn wait(registry: &Process, http: &Http, url: &str) -> Result<()> {
    let subjects = format!("{url}/subjects");
    registry
        .ready_when(READY_WITHIN, || async {
            answer(http.get(&subjects)).await.map(|_: serde_json::Value| ())
        })
        .await
}

/// Demands full compatibility and registers every schema of the catalogue.
pub(super) async fn register_schemas(http: &Http, url: &str) -> Result<()> {
    // The rule from the start-up setting is enforced, and yet this version reports it as NONE until it is set so.
    let config = json!({ "compatibility": COMPATIBILITY });
    let _: serde_json::Value = answer(http.put(format!("{url}/config")).json(&config)).await?;
    for topic in catalogue::TOPICS {
        register(http, url, &topic.subject(), topic.schema).await?;
    }
    Ok(())
}

/// Registers a version of a schema and returns its id. The registry refuses one that is not compatible.
pub async fn register(http: &Http, url: &str, subject: &str, schema: &str) -> Result<u32> {
    #[derive(Deserialize)]
    struct Registered {
        id: u32,
    }
    let response = http
        .post(format!("{url}/subjects/{subject}/versions"))
        .json(&json!({ "schema": schema, "schemaType": "AVRO" }))
        .send()
        .await?;
    let status = response.status();
    let text = response.text().await?;
    match status {
        StatusCode::CONFLICT => bail!("the registry refuses the schema of {subject} as incompatible: {text}"),
        status if status.is_success() => serde_json::from_str::<Registered>(&text)
            .map(|registered| registered.id)
            .with_context(|| format!("the registry answered {text}")),
        status => bail!("the registry does not take the schema of {subject}: {status} {text}"),
    }
}
