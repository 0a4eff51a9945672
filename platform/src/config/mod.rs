//! Configuration: one TOML file, environment variables over it, and nothing that is not known.
//!
//! `SETTLEMENT__DATABASE__URL` overrides `url` of `[database]` for the service `settlement`. A value that begins with `[` or
//! `{` is read as TOML, so lists can be set too: `SETTLEMENT__APPROVERS__ADDRESSES='["a@example.org"]'`. A key nobody knows
//! is refused wherever it comes from, because it is a typing error in something that matters.

use std::path::Path;

use config::builder::DefaultState;
use config::{ConfigBuilder, ConfigError, File, FileFormat, Map, Value, ValueKind};
use serde::de::DeserializeOwned;

mod environment;
mod sections;

pub use sections::{
    Common, Database, Http, Limits, LogFormat, Operations, PrincipalKind, Registry, Telemetry, Trust,
};

/// The whole configuration of a service: what every service has, and its own.
#[derive(Debug)]
pub struct Settings<C> {
    /// The sections that every service has.
    pub common: Common,
    /// The service's own sections.
    pub own: C,
}

/// A setting is missing, unknown or unacceptable; the text names its key, and holds no value of a file that does not parse.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct SettingsError(String);

impl From<ConfigError> for SettingsError {
    fn from(error: ConfigError) -> Self {
        let text = error.to_string();
        // A parser quotes the line it stumbled over, and that line may hold a secret.
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.contains('|'));
        Self(lines.collect::<Vec<_>>().join(", "))
    }
}

impl<C: DeserializeOwned> Settings<C> {
    /// Reads `file`, then the process's environment for the service of this name.
    pub fn load(service: &str, file: Option<&Path>) -> Result<Self, SettingsError> {
        Self::read(service, file, std::env::vars())
    }

    /// As [`Settings::load`], with the environment given.
    pub fn read(
        service: &str,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut builder = ConfigBuilder::<DefaultState>::default();
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        builder = builder.add_source(environment::Environment::of(service, environment)?);
        let (common, own) = builder
            .build()?
            .cache
            .into_table()?
            .into_iter()
            .partition(is_common);
        Ok(Self {
            common: parse(common)?,
            own: parse(own)?,
        })
    }
}

fn is_common((section, _): &(String, Value)) -> bool {
    sections::COMMON_SECTIONS.contains(&section.as_str())
}

fn parse<T: DeserializeOwned>(sections: Map<String, Value>) -> Result<T, ConfigError> {
    T::deserialize(Value::new(None, ValueKind::Table(sections)))
}
