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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use secrecy::{ExposeSecret, SecretString};
    use serde::Deserialize;

    use super::*;

    const FILE: &str = r#"
        [http]
        listen = "127.0.0.1:40013"
        [operations]
        service_token = "operators-only"
        [database]
        url = "postgres://app:hunter2@localhost/app"
        [kafka]
        brokers = "localhost:9092"
        [registry]
        url = "http://localhost:8081"
        [[trust]]
        issuer = "https://staff.example"
        jwks_url = "https://staff.example/jwks.json"
        audience = "payments-platform"
        algorithms = ["ES256"]
        principal = "staff"
        [bank]
        api_key = "sk_bank"
    "#;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        bank: Bank,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Bank {
        api_key: SecretString,
        #[serde(default)]
        retries: u32,
        #[serde(default)]
        addresses: Vec<String>,
    }

    /// A configuration file that is removed again.
    struct ConfigFile(PathBuf);

    impl ConfigFile {
        fn new(text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("platform-{}.toml", uuid::Uuid::new_v4()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for ConfigFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Settings<Own>, String> {
        let file = ConfigFile::new(text);
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::read("pay-out", Some(&file.0), environment).map_err(|error| error.to_string())
    }

    /// What is said about a file in which `from` is replaced by `to`.
    fn refusal(from: &str, to: &str) -> String {
        assert!(FILE.contains(from), "{from}");
        read(&FILE.replace(from, to), &[]).unwrap_err()
    }

    #[test]
    fn a_file_is_read_and_the_rest_has_defaults() {
        let settings = read(FILE, &[]).unwrap();
        assert_eq!(settings.own.bank.api_key.expose_secret(), "sk_bank");
        assert_eq!(settings.common.operations_listen().to_string(), "127.0.0.1:41013");
        assert_eq!(settings.common.limits.timeout_ms, 10_000);
        assert_eq!(settings.common.trust[0].principal, PrincipalKind::Staff);
    }

    #[test]
    fn the_environment_overrides_the_file_also_with_numbers_and_lists() {
        let settings = read(
            FILE,
            &[
                ("PAY_OUT__BANK__RETRIES", "7"),
                ("PAY_OUT__DATABASE__MAX_CONNECTIONS", "3"),
                (
                    "PAY_OUT__BANK__ADDRESSES",
                    r#"["a@example.org", "b@example.org"]"#,
                ),
                ("PAY_OUT__OPERATIONS__LISTEN", "0.0.0.0:9"),
                ("PAY_OUT_DATABASE_URL", "not ours: one underscore"),
                ("OTHER__BANK__RETRIES", "9"),
            ],
        )
        .unwrap();
        assert_eq!(
            (
                settings.own.bank.retries,
                settings.common.database.max_connections
            ),
            (7, 3)
        );
        assert_eq!(settings.own.bank.addresses, ["a@example.org", "b@example.org"]);
        assert_eq!(settings.common.operations_listen().to_string(), "0.0.0.0:9");
    }

    #[test]
    fn everything_can_come_from_the_environment() {
        let environment = [
            ("PAY_OUT__HTTP__LISTEN", "127.0.0.1:1"),
            ("PAY_OUT__OPERATIONS__SERVICE_TOKEN", "t"),
            ("PAY_OUT__DATABASE__URL", "postgres://localhost/x"),
            ("PAY_OUT__KAFKA__BROKERS", "localhost:9092"),
            ("PAY_OUT__REGISTRY__URL", "http://localhost:8081"),
            ("PAY_OUT__BANK__API_KEY", "0123"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::<Own>::read("pay-out", None, environment).unwrap();
        assert_eq!(
            settings.own.bank.api_key.expose_secret(),
            "0123",
            "digits stay text"
        );
    }

    #[test]
    fn a_key_nobody_knows_is_refused_wherever_it_comes_from() {
        let refused = refusal("[bank]", "[bank]\nretrys = 3");
        assert!(
            refused.contains("unknown field `retrys`") && refused.contains("bank"),
            "{refused}"
        );
        let refused = refusal("[kafka]", "[kafka]\nbroker = 1");
        assert!(
            refused.contains("unknown field `broker`") && refused.contains("kafka"),
            "{refused}"
        );
        let refused = refusal("[bank]", "[notices]\na = 1\n[bank]");
        assert!(refused.contains("unknown field `notices`"), "{refused}");
        let refused = read(FILE, &[("PAY_OUT__BANK__RETRYS", "1")]).unwrap_err();
        assert!(refused.contains("unknown field `retrys`"), "{refused}");
    }

    #[test]
    fn a_bad_or_missing_value_names_its_key() {
        for (from, to, key) in [
            ("\"127.0.0.1:40013\"", "\"here\"", "http.listen"),
            (
                "principal = \"staff\"",
                "principal = \"root\"",
                "trust[0]principal",
            ),
            (
                "algorithms = [\"ES256\"]",
                "algorithms = [\"HS256\"]",
                "trust[0]algorithms",
            ),
            (
                "algorithms = [\"ES256\"]",
                "algorithms = []",
                "trust[0]algorithms",
            ),
            (
                "service_token = \"operators-only\"",
                "",
                "operations.service_token",
            ),
            (
                "service_token = \"operators-only\"",
                "service_token = \"\"",
                "operations.service_token",
            ),
            ("[bank]", "[bank]\nretries = \"many\"", "bank.retries"),
        ] {
            let refused = refusal(from, to);
            assert!(
                refused.starts_with("configuration: ") && refused.contains(key),
                "{refused}"
            );
        }
    }

    #[test]
    fn secrets_are_printed_neither_with_the_settings_nor_with_a_refusal() {
        let printed = format!("{:?}", read(FILE, &[]).unwrap());
        for secret in ["hunter2", "operators-only", "sk_bank"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        let refused = refusal("localhost/app\"", "localhost/app");
        assert!(
            !refused.contains("hunter2") && refused.contains("line"),
            "{refused}"
        );
        let refused = read(FILE, &[("PAY_OUT__BANK__ADDRESSES", "[\"hunter2")]).unwrap_err();
        assert!(
            !refused.contains("hunter2") && refused.contains("PAY_OUT__BANK__ADDRESSES"),
            "{refused}"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let file = Path::new("/nowhere/pay-out.toml");
        let refused = Settings::<Own>::read("pay-out", Some(file), [])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("/nowhere/pay-out.toml"), "{refused}");
    }
}
