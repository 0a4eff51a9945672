//! A collector of traces and metrics, as far as a service sees one: gRPC over HTTP/2, and it remembers what arrives.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What arrived: the method called, and the bytes sent.
type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    received: Received,
    _running: JoinSet<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, received) = (listener.local_addr().unwrap(), Received::default());
        let mut running = JoinSet::new();
        running.spawn(accept(listener, received.clone()));
        Self {
            address,
            received,
            _running: running,
        }
    }

    /// Whether the method was called with bytes that hold this text.
    pub(crate) fn has_received(&self, method: &str, text: &str) -> bool {
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.received
            .lock()
            .unwrap()
            .iter()
            .any(|(path, bytes)| path.ends_with(method) && holds(bytes))
    }
}

async fn accept(listener: TcpListener, received: Received) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let received = received.clone();
        let service = service_fn(move |request: Request<Incoming>| collect(request, received.clone()));
        connections.spawn(async move {
            let _ = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn collect(request: Request<Incoming>, received: Received) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let bytes = axum::body::to_bytes(Body::new(request.into_body()), 1 << 20)
        .await
        .unwrap();
    received.lock().unwrap().push((path, bytes.to_vec()));
    // No message and, as a header, status 0: everything is accepted.
    let answer = Response::builder()
        .header(header::CONTENT_TYPE, "application/grpc")
        .header("grpc-status", "0");
    Ok(answer.body(Body::empty()).unwrap())
}
