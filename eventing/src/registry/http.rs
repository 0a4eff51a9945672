//! The three questions we ask, in Confluent's HTTP interface.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::RegistryError;

/// Over the whole exchange. The registry is close by and answers from memory.
const DEADLINE: Duration = Duration::from_secs(5);

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

#[derive(Debug)]
pub(super) struct Client {
    base: Url,
    http: reqwest::Client,
}

/// What the registry says about a schema that it knows under a subject.
#[derive(Debug, Deserialize)]
pub(super) struct Registered {
    pub(super) id: u32,
    /// As it was registered; it may be written otherwise than the one that was asked for.
    pub(super) schema: String,
}

impl Client {
    pub(super) fn new(url: &str) -> Result<Self, RegistryError> {
        let address = || RegistryError::Address(url.to_owned());
        let mut base = Url::parse(url).map_err(|_| address())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(address());
        }
        base.path_segments_mut().map_err(|()| address())?.pop_if_empty();
        #[expect(
            clippy::disallowed_methods,
            reason = "the registry is infrastructure: its caller holds and tries again, as for Kafka"
        )]
        let http = reqwest::Client::builder()
            .timeout(DEADLINE)
            .connect_timeout(Duration::from_secs(2))
            .build()
            .map_err(|cause| RegistryError::Unreachable {
                url: url.to_owned(),
                cause: chain(&cause),
            })?;
        Ok(Self { base, http })
    }

    pub(super) async fn definition(&self, id: u32) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            schema: String,
        }
        let url = self.url(&["schemas", "ids", &id.to_string()]);
        let answer: Answer = self
            .ask(Method::GET, url, None, || format!("schema id {id}"))
            .await?;
        Ok(answer.schema)
    }

    pub(super) async fn look_up(&self, subject: &str, definition: &str) -> Result<Registered, RegistryError> {
        let body = serde_json::json!({ "schema": definition });
        let what = || {
            format!("this service's schema under subject {subject}; register it before the service starts")
        };
        self.ask(Method::POST, self.url(&["subjects", subject]), Some(body), what)
            .await
    }

    pub(super) async fn check(&self) -> Result<(), RegistryError> {
        let _subjects: Vec<String> = self
            .ask(Method::GET, self.url(&["subjects"]), None, || {
                "its subjects".to_owned()
            })
            .await?;
        Ok(())
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        url
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<serde_json::Value>,
        what: impl Fn() -> String,
    ) -> Result<T, RegistryError> {
        // Without query and password, neither of which belongs in a log.
        let shown = format!(
            "{}://{}{}",
            url.scheme(),
            url.host_str().unwrap_or_default(),
            url.path()
        );
        let unreachable = |cause: String| RegistryError::Unreachable {
            url: shown.clone(),
            cause,
        };

        let mut request = self.http.request(method, url).header("accept", MEDIA_TYPE);
        if let Some(body) = body {
            request = request.header("content-type", MEDIA_TYPE).body(body.to_string());
        }
        let answer = request
            .send()
            .await
            .map_err(|cause| unreachable(chain(&cause.without_url())))?;
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .map_err(|cause| unreachable(chain(&cause.without_url())))?;
        if status == StatusCode::NOT_FOUND && is_registry_error(&body) {
            return Err(RegistryError::NotFound(what()));
        }
        if !status.is_success() {
            return Err(unreachable(format!("it answered {status}")));
        }
        serde_json::from_slice(&body)
            .map_err(|cause| unreachable(format!("its answer cannot be read: {cause}")))
    }
}

/// A 404 counts only from the registry: a proxy or a registry that is still starting answers 404 as well, and nothing may be
/// declared undecodable because of that.
fn is_registry_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        error_code: u32,
    }
    serde_json::from_slice::<Answer>(body)
        .is_ok_and(|answer| answer.error_code / 100 == 404 || answer.error_code == 404)
}

/// An error with its causes, because reqwest's own text stops at "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
