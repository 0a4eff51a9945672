//! Traces are read back: from the request, over the outbox row and the record's header, into every consumer.

use anyhow::{Context as _, Result, ensure};
use local::service::Service;
use system_tests::collector::{Collector, Span};
use system_tests::{World, eventually, story};

const CONSUMERS: [Service; 3] = [Service::Settlement, Service::Notifier, Service::AnalyticsConsumer];

/// The spans of one payment, once every consumer has told of it.
async fn traced(world: &World, collector: &Collector) -> Result<()> {
    let shop = world.shop().await?;
    shop.charged().await?;
    let request = eventually("the request's span", async || {
        let is_it = |span: &Span| {
            span.service == Service::PaymentGateway.name() && span.name == "POST /api/v1/payments"
        };
        Ok(collector.spans().into_iter().find(is_it))
    })
    .await?;
    for consumer in CONSUMERS {
        let process = eventually(
            &format!("a span of {consumer} that links to the request"),
            async || {
                Ok(collector
                    .spans()
                    .into_iter()
                    .find(|span| span.service == consumer.name() && span.links.contains(&request.trace_id)))
            },
        )
        .await?;
        ensure!(
            process.name == "process payments.payment.v1" && process.trace_id != request.trace_id,
            "{process:?}"
        );
    }
    eventually("a span of the relay that links to the request", async || {
        let spans = collector.spans();
        let mut ours = spans
            .iter()
            .filter(|span| span.service == Service::PaymentGateway.name());
        Ok(ours
            .any(|span| span.name == "send outbox" && span.links.contains(&request.trace_id))
            .then_some(()))
    })
    .await?;
    let psp = collector
        .spans()
        .into_iter()
        .find(|span| span.name == "POST stripe" && span.trace_id == request.trace_id);
    psp.context("the call to the PSP is not in the request's trace")?;
    Ok(())
}

#[test]
fn a_payments_trace_leads_from_its_request_into_every_consumer() {
    story(&[], async |world| {
        let collector = Collector::start().await?;
        for service in Service::ALL {
            let variable = format!(
                "{}__TELEMETRY__OTLP_ENDPOINT",
                service.name().to_uppercase().replace('-', "_")
            );
            world
                .restart_with(service, &[(variable, collector.url().to_owned())])
                .await?;
        }
        let told = traced(world, &collector).await;
        for service in Service::ALL {
            world.restart_with(service, &[]).await?;
        }
        told
    });
}
