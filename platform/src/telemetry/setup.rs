//! Setting the SDK up, once per process.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Aggregation, Instrument, InstrumentKind, SdkMeterProvider, Stream};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::verbosity::Verbosity;
use crate::config::{LogFormat, Telemetry};

/// Upper bounds of the buckets of every histogram in seconds, from half a millisecond to half a minute.
const SECONDS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// A collector that is away must not hold up the end of the process.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("configuration: {0} for key `telemetry.log`")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The OTLP endpoint cannot be used.
    #[error("configuration: {0} for key `telemetry.otlp_endpoint`")]
    Otlp(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The Prometheus exporter failed.
    #[error("the metrics exporter cannot be set up: {0}")]
    Metrics(String),
    /// Something else in the process took the place of the log subscriber.
    #[error("the log subscriber cannot be set")]
    Subscriber(#[from] tracing_subscriber::util::TryInitError),
}

/// Holds the exporters; [`Guard::flush`] sends what they still hold.
pub(crate) struct Guard {
    tracer: SdkTracerProvider,
    meter: SdkMeterProvider,
}

/// Sets up logs, traces and metrics for this process. With OTLP it must run inside the runtime.
pub(crate) fn init(service: &'static str, telemetry: &Telemetry) -> Result<Guard, TelemetryError> {
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let guard = Guard {
        tracer: tracer(&resource, telemetry)?,
        meter: meter(&resource, telemetry)?,
    };
    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_tracer_provider(guard.tracer.clone());
    global::set_meter_provider(guard.meter.clone());
    let traces = tracing_opentelemetry::layer().with_tracer(guard.tracer.tracer(service));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match telemetry.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let verbosity = Verbosity(EnvFilter::builder().parse(&telemetry.log)?);
    tracing_subscriber::registry()
        .with(verbosity)
        .with(traces)
        .with(lines)
        .try_init()?;
    log_panics();
    Ok(guard)
}

/// A panic is one log line like any other failure; whoever catches it adds none.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(place, panic = message, "panicked");
    }));
}

fn tracer(resource: &Resource, telemetry: &Telemetry) -> Result<SdkTracerProvider, TelemetryError> {
    let mut provider = SdkTracerProvider::builder().with_resource(resource.clone());
    if let Some(endpoint) = &telemetry.otlp_endpoint {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .build()?;
        provider = provider.with_batch_exporter(exporter);
    }
    Ok(provider.build())
}

fn meter(resource: &Resource, telemetry: &Telemetry) -> Result<SdkMeterProvider, TelemetryError> {
    let prometheus = opentelemetry_prometheus::exporter()
        .with_registry(prometheus::default_registry().clone())
        .scope_info_enabled(false)
        .build()
        .map_err(|error| TelemetryError::Metrics(error.to_string()))?;
    let mut provider = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_reader(prometheus)
        .with_view(seconds);
    if let Some(endpoint) = &telemetry.otlp_endpoint {
        let exporter = opentelemetry_otlp::MetricExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .build()?;
        provider = provider.with_periodic_exporter(exporter);
    }
    Ok(provider.build())
}

/// The SDK's default buckets are made for milliseconds; ours are durations in seconds.
fn seconds(instrument: &Instrument) -> Option<Stream> {
    if instrument.kind() != InstrumentKind::Histogram || instrument.unit() != "s" {
        return None;
    }
    let buckets = Aggregation::ExplicitBucketHistogram {
        boundaries: SECONDS.to_vec(),
        record_min_max: false,
    };
    Stream::builder().with_aggregation(buckets).build().ok()
}

impl Guard {
    /// Sends what the exporters still hold, for a moment at most. It blocks, so it runs after the service's work is done, but
    /// while the runtime is there.
    pub(crate) fn flush(self) {
        // Nothing can be done about telemetry that cannot be delivered while the process ends.
        let _ = self.tracer.shutdown_with_timeout(FLUSH_WITHIN);
        let _ = self.meter.shutdown_with_timeout(FLUSH_WITHIN);
    }
}
