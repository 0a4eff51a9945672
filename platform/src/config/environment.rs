//! Environment variables as a source of configuration.

use config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

/// The variables of one service, as a tree.
#[derive(Debug, Clone)]
pub(super) struct Environment(Map<String, Value>);

impl Environment {
    /// Takes the variables that begin with the service's name and two underscores.
    pub(super) fn of(
        service: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let prefix = format!("{}__", service.to_uppercase().replace('-', "_"));
        let mut settings = Map::new();
        for (name, text) in variables {
            if let Some(key) = name.strip_prefix(&prefix) {
                let key = key.to_lowercase().replace("__", ".");
                settings.insert(key, parse(&name, text)?);
            }
        }
        Ok(Self(settings))
    }
}

/// A list or a table is written as in TOML; anything else is text, which numbers and addresses are parsed from later.
fn parse(name: &str, text: String) -> Result<Value, ConfigError> {
    let origin = format!("environment variable {name}");
    if !text.starts_with(['[', '{']) {
        return Ok(Value::new(Some(&origin), ValueKind::String(text)));
    }
    File::from_str(&format!("value = {text}"), FileFormat::Toml)
        .collect()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .map(|value| Value::new(Some(&origin), value.kind))
        // The parser's own message would print the text, which may hold a secret.
        .ok_or_else(|| ConfigError::Message(format!("{origin}: expected a TOML list or table")))
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}
