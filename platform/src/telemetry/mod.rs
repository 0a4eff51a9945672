//! Logs, traces and metrics of a process.
//!
//! The rest of the platform sees only `tracing` and the OpenTelemetry API; this module alone knows the SDK and the exporters.
//! Traces are made and passed on even when nobody collects them: a trace id in a problem or a log line is worth having.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{global, propagation};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

mod setup;
mod verbosity;

pub use setup::TelemetryError;
pub(crate) use setup::init;

/// The trace id of the current span, 32 hexadecimal digits; `None` outside of any trace.
pub fn current_trace_id() -> Option<String> {
    trace_id_of(&tracing::Span::current())
}

/// The trace id of a span.
pub(crate) fn trace_id_of(span: &tracing::Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Writes the current span's context into outgoing headers.
pub(crate) fn inject_trace(headers: &mut HeaderMap) {
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Headers(&mut *headers));
    });
}

/// The context that incoming headers carry.
pub(crate) fn extract_trace(headers: &HeaderMap) -> opentelemetry::Context {
    global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)))
}

/// Lets the propagator write or read HTTP headers.
struct Headers<T>(T);

impl propagation::Injector for Headers<&mut HeaderMap> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

impl propagation::Extractor for Headers<&HeaderMap> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
