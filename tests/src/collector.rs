//! A collector of traces, as far as a service sees one: gRPC over HTTP/2, and it remembers the spans that arrive.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// In front of each message gRPC writes a flag and the length.
const GRPC_PREFIX_BYTES: usize = 5;

/// A span, as far as stories look at it. Ids are hexadecimal.
#[derive(Debug, Clone)]
pub struct Span {
    /// Who exported it.
    pub service: String,
    /// What it is called: `POST /api/v1/payments`.
    pub name: String,
    /// Its trace.
    pub trace_id: String,
    /// The traces that it links to.
    pub links: Vec<String>,
}

/// Takes spans until it is dropped.
#[derive(Debug)]
pub struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    _serving: JoinSet<()>,
}

impl Collector {
    /// On a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&spans)));
        Ok(Self {
            url,
            spans,
            _serving: serving,
        })
    }

    /// What `telemetry.otlp_endpoint` is to be.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What has arrived.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, spans: Arc<Mutex<Vec<Span>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let spans = Arc::clone(&spans);
        let service = service_fn(move |request| collect(request, Arc::clone(&spans)));
        connections.spawn(async move {
            // A service that dies cuts its connection; what had arrived stays.
            let connection = http2::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn collect(
    request: Request<Incoming>,
    spans: Arc<Mutex<Vec<Span>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let is_of_traces = request.uri().path().ends_with("TraceService/Export");
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let message = body
        .ok()
        .and_then(|body| body.get(GRPC_PREFIX_BYTES..).map(Bytes::copy_from_slice))
        .filter(|_| is_of_traces);
    if let Some(export) = message.and_then(|message| ExportTraceServiceRequest::decode(message).ok()) {
        spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(spans_of(export));
    }
    // No message and, as a header, status 0: everything is accepted.
    let mut answer = Response::new(Empty::new());
    let headers = answer.headers_mut();
    headers.insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/grpc"),
    );
    headers.insert("grpc-status", hyper::header::HeaderValue::from_static("0"));
    Ok(answer)
}

fn spans_of(export: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in export.resource_spans {
        let service = resource.resource.map(service_name).unwrap_or_default();
        let exported = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(exported.map(|span| {
            Span {
                service: service.clone(),
                name: span.name,
                trace_id: hex::encode(span.trace_id),
                links: span
                    .links
                    .iter()
                    .map(|link| hex::encode(&link.trace_id))
                    .collect(),
            }
        }));
    }
    spans
}

fn service_name(resource: Resource) -> String {
    let mut attributes = resource.attributes.into_iter();
    let name = attributes.find(|attribute| attribute.key == "service.name");
    match name
        .and_then(|attribute| attribute.value)
        .and_then(|value| value.value)
    {
        Some(Value::StringValue(name)) => name,
        _ => String::new(),
    }
}
