//! The configuration file of each service, and the simulator's flags: who is where, and which secrets they share.

use std::fmt::Write as _;

use crate::backbone::Backbone;
use crate::ports::{Endpoint, Ports};
use crate::process::Launch;
use crate::service::{Instance, Service};
use crate::state::Secrets;

/// `aud` of every token.
const AUDIENCE: &str = "payments-platform";
/// Long enough for a day of trying things out by hand.
const MERCHANT_TOKEN_SECONDS: u32 = 12 * 3600;
/// Connections of one replica: some replicas of four services stay far below the server's limit.
const MAX_CONNECTIONS: u32 = 20;

/// Everything that configurations are made of.
#[derive(Debug)]
pub(crate) struct Wiring<'a> {
    pub(crate) ports: &'a Ports,
    pub(crate) secrets: &'a Secrets,
    pub(crate) backbone: &'a Backbone,
}

impl Wiring<'_> {
    /// The TOML of one instance, which reaches its database and the registry at these URLs.
    pub(crate) fn service(&self, instance: Instance, database_url: &str, registry_url: &str) -> String {
        let mut text = self.common(instance, database_url, registry_url);
        text += &match instance.service {
            Service::PaymentGateway => self.gateway(),
            Service::Settlement => self.settlement(),
            Service::Notifier => self.notifier(),
            Service::AnalyticsConsumer => self.analytics(),
        };
        text
    }

    fn common(&self, instance: Instance, database_url: &str, registry_url: &str) -> String {
        let public = self.ports.address(Endpoint::Public(instance));
        let operations = self.ports.address(Endpoint::Operations(instance));
        let token = self.service_token(instance.service);
        let kafka = &self.backbone.kafka;
        let mut text = format!(
            r#"[http]
listen = "{public}"

[operations]
listen = "{operations}"
service_token = "{token}"

[database]
url = "{database_url}"
max_connections = {MAX_CONNECTIONS}

[kafka]
brokers = "{kafka}"

[registry]
url = "{registry_url}"

[telemetry]
log = "info"
format = "text"
"#
        );
        let simulator = self.ports.http(Endpoint::Simulator);
        let gateway = self.ports.public(Service::PaymentGateway);
        trust(
            &mut text,
            "merchant",
            &gateway,
            &format!("{gateway}/.well-known/jwks.json"),
        );
        let staff = format!("{simulator}/issuer");
        trust(&mut text, "staff", &staff, &format!("{staff}/jwks.json"));
        text
    }

    fn gateway(&self) -> String {
        let simulator = self.ports.http(Endpoint::Simulator);
        let issuer = self.ports.public(Service::PaymentGateway);
        format!(
            r#"
[psp.stripe]
base_url = "{simulator}/stripe"
secret_key = "{}"
webhook_secrets = ["{}"]

[tokens]
issuer = "{issuer}"
audience = "{AUDIENCE}"
ttl_seconds = {MERCHANT_TOKEN_SECONDS}

[secrets]
master_key = "{}"

[payments]
return_url = "{simulator}/"
"#,
            self.stripe_secret_key(),
            self.stripe_webhook_secret(),
            self.secrets.of("payment-gateway master key"),
        )
    }

    fn settlement(&self) -> String {
        let simulator = self.ports.http(Endpoint::Simulator);
        format!(
            r#"
[bank]
base_url = "{simulator}/bank"
api_key = "{}"
webhook_secret = "{}"
"#,
            self.bank_api_key(),
            self.bank_webhook_secret(),
        )
    }

    fn notifier(&self) -> String {
        let contacts = self.ports.operations(Service::PaymentGateway);
        format!(
            r#"
[smtp]
host = "127.0.0.1"
port = {}
from = "payments@example.com"
security = "none"

[contacts]
base_url = "{contacts}"
service_token = "{}"

[approvers]
addresses = ["approvals@example.com"]

[webhooks]
allow_private = ["127.0.0.0/8"]
"#,
            self.ports.of(Endpoint::Mail),
            self.service_token(Service::PaymentGateway),
        )
    }

    fn analytics(&self) -> String {
        let origin = self.ports.public(Service::AnalyticsConsumer);
        let port = self
            .ports
            .of(Endpoint::Public(Service::AnalyticsConsumer.first()));
        format!(
            r#"
[dashboard]
allowed_origins = ["{origin}", "http://localhost:{port}"]
# The page comes over plain HTTP here, from loopback.
secure_cookie = false
"#
        )
    }

    /// The simulator's process.
    pub(crate) fn simulator(&self, launch: Launch) -> Launch {
        let gateway = self.ports.public(Service::PaymentGateway);
        let settlement = self.ports.public(Service::Settlement);
        // By environment rather than by flag: a process's arguments are for everybody to read.
        launch
            .arg("serve")
            .env("SIMULATOR_LISTEN", self.ports.address(Endpoint::Simulator))
            .env("SIMULATOR_SMTP_LISTEN", self.ports.address(Endpoint::Mail))
            .env("SIMULATOR_STRIPE_SECRET_KEY", self.stripe_secret_key())
            .env(
                "SIMULATOR_STRIPE_WEBHOOK_URL",
                format!("{gateway}/webhooks/stripe"),
            )
            .env("SIMULATOR_STRIPE_WEBHOOK_SECRET", self.stripe_webhook_secret())
            .env("SIMULATOR_BANK_API_KEY", self.bank_api_key())
            .env(
                "SIMULATOR_BANK_WEBHOOK_URL",
                format!("{settlement}/webhooks/bank"),
            )
            .env("SIMULATOR_BANK_WEBHOOK_SECRET", self.bank_webhook_secret())
            .env("SIMULATOR_AUDIENCE", AUDIENCE)
    }

    /// What a service's internal endpoints ask for.
    pub(crate) fn service_token(&self, service: Service) -> String {
        self.secrets.of(&format!("{service} service token"))
    }

    /// What the PSP signs its webhooks with.
    pub(crate) fn stripe_webhook_secret(&self) -> String {
        format!("whsec_{}", self.secrets.of("stripe webhooks"))
    }

    fn stripe_secret_key(&self) -> String {
        format!("sk_test_{}", self.secrets.of("stripe"))
    }

    fn bank_api_key(&self) -> String {
        format!("bank_test_{}", self.secrets.of("bank"))
    }

    /// What the bank signs its webhooks with.
    pub(crate) fn bank_webhook_secret(&self) -> String {
        format!("bwhsec_{}", self.secrets.of("bank webhooks"))
    }
}

fn trust(text: &mut String, principal: &str, issuer: &str, keys: &str) {
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#"
[[trust]]
principal = "{principal}"
issuer = "{issuer}"
jwks_url = "{keys}"
audience = "{AUDIENCE}"
algorithms = ["ES256"]
"#
    );
}
