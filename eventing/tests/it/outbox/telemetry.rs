//! What is seen from outside: traces and metrics.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::{SpanId, TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use schemas::PaymentNo;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{World, eventually, metrics};

/// Keeps the spans that have ended.
#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Ended {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

#[tokio::test]
async fn a_record_carries_the_context_in_which_its_event_was_created() {
    let world = World::new().await;
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(ended.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    // While there is one subscriber only, a span that the thread of another test meets first is enabled or not by what that
    // thread has. A second one makes all of them count.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());

    let request = tracing::info_span!("request");
    world
        .commit(PaymentNo::generate())
        .instrument(request.clone())
        .await;
    let requested = request.context().span().span_context().clone();
    drop(request);
    let relay = world.start_relay();
    world.until_published().await;
    relay.stop().await;

    let records = world.records(1).await;
    let created =
        eventing::trace::parse_traceparent(records[0].headers.text("traceparent").unwrap()).unwrap();
    assert_eq!(created.trace_id(), requested.trace_id());

    let ended = ended.0.lock().unwrap();
    let named = |name: &str| ended.iter().find(|span| span.name == name).unwrap();
    let create = named("create payments.payment.v1");
    assert_eq!(
        (create.span_context.span_id(), create.parent_span_id),
        (created.span_id(), requested.span_id())
    );
    let send = named("send outbox");
    assert_eq!(
        send.parent_span_id,
        SpanId::INVALID,
        "a batch belongs to no single request"
    );
    assert_eq!(
        send.links
            .iter()
            .map(|link| link.span_context.span_id())
            .collect::<Vec<_>>(),
        [created.span_id()]
    );
}

#[tokio::test]
async fn an_event_is_appended_without_a_trace_when_nobody_traces() {
    let world = World::new().await;
    world.commit(PaymentNo::generate()).await;
    let relay = world.start_relay();
    world.until_published().await;
    relay.stop().await;
    assert_eq!(world.records(1).await[0].headers.get("traceparent"), None);
}

#[tokio::test]
async fn the_outbox_is_measured() {
    metrics::collect();
    let world = World::new().await;
    let relay = world.start_relay();
    world.commit(PaymentNo::generate()).await;
    world.until_published().await;

    // Other tests' relays may be counted too, so only what must be there is looked for.
    for metric in [
        "outbox_published_total{",
        "topic=\"payments.payment.v1\"",
        "outbox_publish_latency_seconds_count{",
        "outbox_depth{",
        "outbox_oldest_age_seconds{",
        "outbox_set_aside_rows{",
        "outbox_lanes_owned{",
        "outbox_lanes_without_owner{",
    ] {
        eventually(&format!("{metric} is shown"), async || {
            metrics::shown().contains(metric)
        })
        .await;
    }
    relay.stop().await;
}
