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

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced(test: impl FnOnce()) {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let subscriber =
            tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
        tracing::subscriber::with_default(subscriber, test);
    }

    #[test]
    fn a_call_carries_the_trace_of_the_request_that_makes_it() {
        traced(|| {
            let mut incoming = HeaderMap::new();
            incoming.insert("traceparent", HeaderValue::from_static(TRACEPARENT));
            let span = tracing::info_span!("request");
            span.set_parent(extract_trace(&incoming)).unwrap();
            let _entered = span.entered();
            assert_eq!(current_trace_id().unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");

            let mut outgoing = HeaderMap::new();
            inject_trace(&mut outgoing);
            let sent = outgoing["traceparent"].to_str().unwrap();
            assert!(
                sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent.ends_with("-01"),
                "{sent}"
            );
            assert!(!sent.contains("00f067aa0ba902b7"), "the parent is our own span");
        });
    }

    #[test]
    fn without_a_trace_nothing_is_sent_and_a_broken_one_is_ignored() {
        traced(|| {
            assert_eq!(current_trace_id(), None);
            let mut outgoing = HeaderMap::new();
            inject_trace(&mut outgoing);
            assert!(outgoing.is_empty());

            let mut incoming = HeaderMap::new();
            incoming.insert("traceparent", HeaderValue::from_static("00-nonsense-01"));
            let span = tracing::info_span!("request");
            span.set_parent(extract_trace(&incoming)).unwrap();
            assert_ne!(trace_id_of(&span).unwrap(), "00000000000000000000000000000000");
        });
    }
}
