//! `environment`: what a shell needs to talk to the running platform.

use std::fmt::Write as _;

use anyhow::Result;

use crate::merchant::{ALICE, BOB, Desk, Merchant};
use crate::platform::Platform;
use crate::ports::Endpoint;
use crate::service::Service;
use crate::state::{State, write_private};

/// The file's name in the state folder.
pub const FILE: &str = "environment";

/// The variables, in the order in which they are written.
#[derive(Debug)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// The variables of a running platform and its demo merchant.
    pub async fn of(platform: &Platform, desk: &Desk, merchant: &Merchant) -> Result<Self> {
        let ports = platform.ports();
        let mut all = Vec::new();
        let mut set = |name: &str, value: String| all.push((name.to_owned(), value));
        set("GATEWAY_URL", ports.public(Service::PaymentGateway));
        set("SETTLEMENT_URL", ports.public(Service::Settlement));
        set("NOTIFIER_URL", ports.public(Service::Notifier));
        set("ANALYTICS_URL", ports.public(Service::AnalyticsConsumer));
        set("SIMULATOR_URL", platform.simulator_url());
        set("SMTP_ADDRESS", ports.address(Endpoint::Mail));
        for service in Service::ALL {
            let name = format!("OPERATIONS_URL_{}", service.database().to_uppercase());
            set(&name, ports.operations(service));
        }
        set("KAFKA_BROKERS", platform.backbone().kafka.clone());
        set("SCHEMA_REGISTRY_URL", platform.backbone().registry.clone());
        for service in Service::ALL {
            let name = format!("DATABASE_URL_{}", service.database().to_uppercase());
            set(&name, platform.backbone().postgres.url(service.database()));
        }
        set("MERCHANT_ID", merchant.merchant_id.clone());
        set("API_KEY", merchant.api_key.clone());
        set("API_SECRET", merchant.api_secret.clone());
        set(
            "MERCHANT_WEBHOOK_SECRET",
            merchant.webhook_secret.clone().unwrap_or_default(),
        );
        set("STRIPE_WEBHOOK_SECRET", platform.stripe_webhook_secret());
        set("BANK_WEBHOOK_SECRET", platform.bank_webhook_secret());
        set("MERCHANT_TOKEN", desk.merchant_token(merchant).await?);
        set("STAFF_TOKEN", desk.staff_token(ALICE).await?);
        set("SECOND_STAFF_TOKEN", desk.staff_token(BOB).await?);
        Ok(Self(all))
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// Writes the file, for its owner only: it holds secrets.
    pub fn write(&self, state: &State) -> Result<()> {
        let mut text =
            String::from("# What runs here now. `source` it; `deploy/token` prints fresh tokens.\n");
        for (name, value) in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "export {name}={}", quoted(value));
        }
        write_private(&state.join(FILE), &text)
    }

    /// Reads the file.
    pub fn read(state: &State) -> Option<Self> {
        let text = std::fs::read_to_string(state.join(FILE)).ok()?;
        let variables = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), unquoted(value)))
        });
        Some(Self(variables.collect()))
    }

    /// Removes the file: nothing that it names runs any more.
    pub fn remove(state: &State) {
        // There is none before the first run.
        let _ = std::fs::remove_file(state.join(FILE));
    }
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    inner.unwrap_or(value).replace(r"'\''", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_every_value_as_it_was() {
        let path = std::env::temp_dir().join(format!("local-environment-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let state = State::at(&path).unwrap();
        let value = "it's $HOME `pwd` \"x\" \\ end";
        Environment(vec![("TRICKY".into(), value.into())])
            .write(&state)
            .unwrap();
        let shell = std::process::Command::new("sh")
            .args(["-c", ". \"$0\"; printf %s \"$TRICKY\""])
            .arg(state.join(FILE))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), value);
        assert_eq!(Environment::read(&state).unwrap().get("TRICKY"), Some(value));
    }
}
