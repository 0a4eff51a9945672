//! The service's own settings. The README has an example of all of them.

use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use platform::client::Network;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::domain::outcome::RetrySchedule;

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The relay that takes our mail.
    pub smtp: Smtp,
    /// The gateway's contact endpoint.
    pub contacts: Contacts,
    /// Who approves settlements.
    #[serde(default)]
    pub approvers: Approvers,
    /// Merchants' endpoints.
    #[serde(default)]
    pub webhooks: Webhooks,
    /// The delivery workers.
    #[serde(default)]
    pub delivery: Delivery,
}

/// `[smtp]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Name or address of the relay.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who our mail is from: `Payments <no-reply@payments.example>`. Its domain is part of every `Message-ID`.
    pub from: Sender,
    /// How the connection is protected.
    pub security: Security,
    /// Who we are to the relay, if it asks.
    pub username: Option<String>,
    /// The password that belongs to it.
    pub password: Option<SecretString>,
}

/// How an SMTP connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Not at all: on loopback only.
    None,
    /// By `STARTTLS`, which must succeed.
    Starttls,
    /// From the first byte.
    Tls,
}

/// A mailbox that mail is from.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Sender(pub Mailbox);

impl TryFrom<String> for Sender {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let invalid =
            |_| format!("expected a mailbox such as Payments <no-reply@payments.example>, got {text:?}");
        text.parse().map(Self).map_err(invalid)
    }
}

/// `[contacts]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contacts {
    /// The gateway's operations port: `http://127.0.0.1:41003`.
    pub base_url: Url,
    /// The gateway's `operations.service_token`.
    pub service_token: SecretString,
    /// How long one question may take.
    #[serde(default = "default_contacts_timeout_ms")]
    pub timeout_ms: u64,
}

fn default_contacts_timeout_ms() -> u64 {
    5_000
}

/// `[approvers]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvers {
    /// Each gets a mail about each settlement that waits for approval. What is kept of them is their place in this list.
    #[serde(default)]
    pub addresses: AddressList,
}

/// At most [`AddressList::MAX`] mail addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct AddressList(Vec<String>);

impl AddressList {
    /// The database keeps four digits of an approver's place; nobody has that many.
    pub const MAX: usize = 100;

    /// The addresses, in the configured order.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }
}

impl TryFrom<Vec<String>> for AddressList {
    type Error = String;
    fn try_from(addresses: Vec<String>) -> Result<Self, Self::Error> {
        if addresses.len() > Self::MAX {
            return Err(format!(
                "expected at most {} addresses, got {}",
                Self::MAX,
                addresses.len()
            ));
        }
        match addresses
            .iter()
            .position(|address| address.parse::<Address>().is_err())
        {
            Some(index) => Err(format!(
                "expected mail addresses, but number {} is none",
                index + 1
            )),
            None => Ok(Self(addresses)),
        }
    }
}

/// `[webhooks]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// Networks that an endpoint may be in although they are not public: `["127.0.0.0/8"]` on a developer's machine.
    pub allow_private: Vec<Network>,
}

/// `[delivery]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// Deliveries under way at once, for each channel.
    pub concurrency: u16,
    /// Of these, for one merchant.
    pub per_merchant: u16,
    /// Of these, for one host that webhooks go to, whosever it is.
    pub per_host: u16,
    /// How often the schedule is looked at while it is empty.
    pub poll_interval_ms: u64,
    /// How long one attempt may take.
    pub send_timeout_ms: u64,
    /// The pause after each failed attempt; when they are used up, the notification has failed.
    pub retry_delays_ms: Vec<u64>,
}

impl Default for Delivery {
    fn default() -> Self {
        const SECOND: u64 = 1_000;
        const MINUTE: u64 = 60 * SECOND;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            concurrency: 32,
            per_merchant: 4,
            per_host: 16,
            poll_interval_ms: 250,
            send_timeout_ms: 15 * SECOND,
            // Eleven attempts in about two days: a night's outage of a merchant costs nothing.
            retry_delays_ms: vec![
                5 * SECOND,
                30 * SECOND,
                2 * MINUTE,
                10 * MINUTE,
                30 * MINUTE,
                HOUR,
                3 * HOUR,
                6 * HOUR,
                12 * HOUR,
                24 * HOUR,
            ],
        }
    }
}

impl Delivery {
    /// The delays as a schedule.
    pub fn schedule(&self) -> RetrySchedule {
        RetrySchedule::new(
            self.retry_delays_ms
                .iter()
                .copied()
                .map(Duration::from_millis)
                .collect(),
        )
    }

    /// How long one attempt may take.
    pub fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.send_timeout_ms)
    }

    /// How often an empty schedule is looked at.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms.max(1))
    }
}

impl Contacts {
    /// How long one question may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}
