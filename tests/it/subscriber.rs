//! A downstream team's view: stock Python libraries read the topics.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use system_tests::answer::text;
use system_tests::wait::eventually;
use system_tests::{World, story};

#[test]
fn a_stock_python_subscriber_reads_the_events() {
    story(&[], async |world| {
        let shop = world.shop().await?;
        let payment = shop
            .order_payment(&shop.order(Some("pm_card_visa")))
            .await?
            .success()?;
        let payment_no = text(&payment, "payment_no")?;
        let events = eventually("the subscriber to see the payment succeed", async || {
            let mut events = subscribe(world).await?;
            events.retain(|event| event["key"] == payment_no);
            Ok((events.len() >= 2).then_some(events))
        })
        .await?;
        for (event, expected) in events.iter().zip(["payment.created", "payment.succeeded"]) {
            ensure!(event["headers"]["ce_type"] == expected, "{event}");
            ensure!(event["event"]["event_type"] == expected, "{event}");
            ensure!(event["event"]["merchant_id"].is_string(), "{event}");
            ensure!(event["event"]["amount"] == payment["amount"], "{event}");
        }
        Ok(())
    });
}

/// What the sample subscriber prints of all that is on the topic.
async fn subscribe(world: &World) -> Result<Vec<Value>> {
    let python = std::env::var("TEST_PYTHON")
        .context("TEST_PYTHON must name a Python with confluent-kafka and fastavro: deploy/test makes one")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/samples/subscribe.py");
    let backbone = world.platform.backbone();
    let output = tokio::process::Command::new(python)
        .arg(script)
        .args(["payments.payment.v1", "--to-end"])
        .env("KAFKA_BROKERS", &backbone.kafka)
        .env("SCHEMA_REGISTRY_URL", &backbone.registry)
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "the subscriber failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout)?;
    lines
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}
