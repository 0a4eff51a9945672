//! The span of a batch.

use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::rows::Row;
use crate::headers::{RecordHeaders, TRACEPARENT};
use crate::trace;

/// A batch's span links to at most so many of its records' creation contexts.
const MAX_LINKS: usize = 64;

/// A span for the batch, with links to where its events were created.
pub(super) fn send_span(rows: &[Row]) -> tracing::Span {
    let span = tracing::info_span!(
        parent: None,
        "send",
        otel.name = "send outbox",
        otel.kind = "client",
        messaging.system = "kafka",
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.batch.message_count = rows.len(),
    );
    if !span.is_disabled() {
        for row in rows.iter().take(MAX_LINKS) {
            let headers = RecordHeaders::from_bytes(&row.headers).unwrap_or_default();
            if let Some(created) = headers.text(TRACEPARENT).and_then(trace::parse_traceparent) {
                span.add_link(created);
            }
        }
    }
    span
}
