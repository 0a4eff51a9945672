//! The sections that every service's configuration has.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use eventing::KafkaSettings;
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use secrecy::{ExposeSecret, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use url::Url;

/// What every service is told; its own sections are `Service::Config`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// The public listener.
    pub http: Http,
    /// The operators' listener.
    pub operations: Operations,
    /// The service's own PostgreSQL.
    pub database: Database,
    /// The brokers.
    pub kafka: KafkaSettings,
    /// The schema registry.
    pub registry: Registry,
    /// Logs, traces, metrics.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// What a request may cost.
    #[serde(default)]
    pub limits: Limits,
    /// Whose tokens are believed.
    #[serde(default)]
    pub trust: Vec<Trust>,
}

/// The names of the sections of [`Common`], which a service's own sections must not take.
pub(super) const COMMON_SECTIONS: [&str; 8] = [
    "http",
    "operations",
    "database",
    "kafka",
    "registry",
    "telemetry",
    "limits",
    "trust",
];

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address of the public listener, `127.0.0.1:40013`.
    pub listen: SocketAddr,
}

/// `[operations]`: health, metrics, pages for operators, and internal endpoints.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operations {
    /// Address of the operators' listener; 127.0.0.1 and the public port + 1000 when not given. On any address but a loopback
    /// one, everything but the probes asks for a token.
    pub listen: Option<SocketAddr>,
    /// Bearer token that the internal endpoints ask for, and `/metrics` beyond loopback.
    #[serde(deserialize_with = "not_empty")]
    pub service_token: SecretString,
    /// Names, without port, under which browsers reach this listener beside `localhost` and its address: `ops.example.org`.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://…`; a Unix socket (`?host=/var/run/postgresql`) is the faster way on one machine.
    pub url: SecretString,
    /// Connections this replica holds at most; it needs a few beyond this for its relay.
    #[serde(default = "Database::default_max_connections")]
    pub max_connections: u32,
}

/// `[registry]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Base of the Confluent-compatible API.
    pub url: Url,
}

/// `[telemetry]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Log filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// How log lines look.
    pub format: LogFormat,
    /// Where traces and metrics go in OTLP over gRPC; nowhere when not given.
    pub otlp_endpoint: Option<Url>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person at a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[limits]`: what a request may cost, so that one client cannot take the service down.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body; a larger one is 413.
    pub body_bytes: usize,
    /// Requests in work at once; one more is 429.
    pub concurrency: usize,
    /// Time until a request is answered; later it is 504, and what the request started goes on.
    pub timeout_ms: u64,
}

/// `[[trust]]`: an issuer, and what it may assert. The token chooses none of this.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// `iss` of its tokens.
    pub issuer: String,
    /// Where its public keys are.
    pub jwks_url: Url,
    /// `aud` that its tokens must carry for us.
    pub audience: String,
    /// The only signature algorithms accepted from it.
    #[serde(deserialize_with = "asymmetric")]
    pub algorithms: Vec<Algorithm>,
    /// What kind of caller its tokens name.
    pub principal: PrincipalKind,
}

/// What kind of caller a token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A merchant: `sub` is a merchant id.
    Merchant,
    /// A member of staff: `sub` is a person, and the token has roles.
    Staff,
}

impl Common {
    /// Where the operators' listener is.
    pub fn operations_listen(&self) -> SocketAddr {
        const OPERATIONS_PORT_OFFSET: u16 = 1000;
        self.operations.listen.unwrap_or_else(|| {
            let port = self.http.listen.port().saturating_add(OPERATIONS_PORT_OFFSET);
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        })
    }
}

impl Database {
    fn default_max_connections() -> u32 {
        16
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: LogFormat::Json,
            otlp_endpoint: None,
        }
    }
}

impl Limits {
    /// The deadline of a request.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 256 * 1024,
            concurrency: 512,
            timeout_ms: 10_000,
        }
    }
}

/// A key that is public must not be taken for a shared secret: with HMAC, who can verify can sign.
fn asymmetric<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Algorithm>, D::Error> {
    let algorithms = Vec::<Algorithm>::deserialize(deserializer)?;
    if algorithms.is_empty()
        || algorithms
            .iter()
            .any(|algorithm| algorithm.family() == AlgorithmFamily::Hmac)
    {
        return Err(D::Error::custom(
            "expected one or more algorithms with public keys, such as ES256",
        ));
    }
    Ok(algorithms)
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    let secret = SecretString::deserialize(deserializer)?;
    if secret.expose_secret().is_empty() {
        return Err(D::Error::custom("expected a secret that is not empty"));
    }
    Ok(secret)
}
