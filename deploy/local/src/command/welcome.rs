//! What a person reads when everything is ready.

use crate::platform::Platform;
use crate::ports::Endpoint;
use crate::service::Service;

/// The last line's beginning: `--detach` waits for it.
pub(super) const END: &str = "To stop: ";

/// Prints where everything is and what to do next.
pub(super) fn print(platform: &Platform, detached: bool) {
    let ports = platform.ports();
    let state = platform.run().state.path().display();
    let simulator = platform.simulator_url();
    let gateway = ports.public(Service::PaymentGateway);
    let rows = [
        ("payment-gateway", gateway.clone(), "merchants' API; /docs"),
        (
            "settlement",
            ports.public(Service::Settlement),
            "ledger, settlements, payouts; /docs",
        ),
        (
            "notifier",
            ports.public(Service::Notifier),
            "what was told to whom; /docs",
        ),
        (
            "analytics-consumer",
            format!("{}/dashboard", ports.public(Service::AnalyticsConsumer)),
            "live dashboard",
        ),
        ("simulator", simulator.clone(), "PSP, bank, issuer; /control"),
        ("mail", format!("{simulator}/mail"), "every mail that was sent"),
        (
            "merchants' webhooks",
            format!("{simulator}/hooks"),
            "every webhook that was received",
        ),
        ("Kafka", platform.backbone().kafka.clone(), "plaintext"),
        (
            "schema registry",
            platform.backbone().registry.clone(),
            "Confluent-compatible",
        ),
        (
            "PostgreSQL",
            ports.address(Endpoint::Postgresql),
            "URLs in the environment file",
        ),
    ];
    println!("\nReady.\n");
    for (name, url, note) in rows {
        println!("  {name:<20} {url:<42} {note}");
    }
    println!(
        "
Next:
  source '{state}/environment'
  body='{{\"order_no\":\"first-1\",\"amount\":1999,\"currency\":\"USD\",\"customer_email\":\"you@example.com\",\"payment_method\":\"pm_card_visa\"}}'
  curl -sS \"$GATEWAY_URL/api/v1/payments\" -H 'Content-Type: application/json' -H @<(deploy/sign POST /api/v1/payments \"$body\") -d \"$body\"

deploy/status shows what runs, deploy/logs SERVICE what it says, deploy/token ROLE a fresh token."
    );
    let stop = if detached {
        "deploy/down"
    } else {
        "Ctrl-C, or deploy/down from elsewhere"
    };
    println!("{END}{stop}. The state stays in {state}; deploy/down --erase removes it.");
}
