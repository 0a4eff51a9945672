//! What is seen of every request: a span, a duration by route, an id.

use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::metrics::{Histogram, UpDownCounter};
use opentelemetry::{KeyValue, global};
use tokio::time::Instant;
use tracing::{Instrument, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::telemetry;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id of a client's making is not repeated.
const MAX_REQUEST_ID_BYTES: usize = 64;

struct Instruments {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
    let meter = global::meter("platform");
    Instruments {
        duration: meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("Time to answer a request, by method, route and status")
            .build(),
        active: meter
            .i64_up_down_counter("http.server.active_requests")
            .with_description("Requests in work")
            .build(),
    }
});

/// Gives the request an id, its own if it came with a sound one, and repeats it in the answer.
pub(super) async fn request_id(mut request: Request, next: Next) -> Response {
    let id = sound_id(request.headers()).unwrap_or_else(new_id);
    request.headers_mut().insert(X_REQUEST_ID, id.clone());
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(X_REQUEST_ID, id);
    answer
}

fn sound_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(X_REQUEST_ID)?;
    let is_sound =
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    is_sound.then(|| id.clone())
}

fn new_id() -> HeaderValue {
    HeaderValue::try_from(uuid::Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("none"))
}

/// Runs the request in its server span, and measures it.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let method = KeyValue::new("http.request.method", method_label(&request));
    let route = route_label(&request);
    let span = server_span(&request, &route);
    let started_at = Instant::now();
    let active = Active::begin(method.clone());
    let answer = next.run(request).instrument(span.clone()).await;
    drop(active);
    let status = answer.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let labels = [
        method,
        KeyValue::new("http.route", route),
        KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
    ];
    INSTRUMENTS
        .duration
        .record(started_at.elapsed().as_secs_f64(), &labels);
    answer
}

/// A request counted as in work; also when its connection goes away and it is dropped.
struct Active(KeyValue);

impl Active {
    fn begin(method: KeyValue) -> Self {
        INSTRUMENTS.active.add(1, std::slice::from_ref(&method));
        Self(method)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        INSTRUMENTS.active.add(-1, std::slice::from_ref(&self.0));
    }
}

fn server_span(request: &Request, route: &str) -> Span {
    let span = tracing::info_span!(
        "http.server",
        otel.name = %format_args!("{} {route}", request.method()),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = field::Empty,
        request_id = request.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()),
        trace_id = field::Empty,
    );
    // The only failure is that nobody traces.
    let _ = span.set_parent(telemetry::extract_trace(request.headers()));
    if let Some(trace_id) = telemetry::trace_id_of(&span) {
        span.record("trace_id", trace_id);
    }
    span
}

/// The route's pattern: paths themselves are too many to be labels.
fn route_label(request: &Request) -> String {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned()
}

/// Anybody can invent methods; labels must not follow.
fn method_label(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
