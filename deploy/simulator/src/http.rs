//! The HTTP server: axum's router on hyper's connections, because axum alone cannot close a connection without an
//! answer, and that is how an answer gets lost.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// A client that connects and says nothing is let go after this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Marks a response that must never leave: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
struct Lost;

#[derive(Debug, thiserror::Error)]
#[error("the answer is dropped on purpose")]
struct DroppedOnPurpose;

/// A response that the client will see as a connection closed without an answer.
pub(crate) fn lost_answer() -> Response {
    let mut response = ().into_response();
    response.extensions_mut().insert(Lost);
    response
}

/// Serves until `shutdown`; connections are owned by `tasks` and end with it too.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                tasks.spawn(connection(stream, peer, router.clone(), shutdown.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: a pause lets some be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: CancellationToken) {
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let answered: Result<Response, Infallible> = router.oneshot(request.map(Body::new)).await;
            match answered {
                Ok(response) if response.extensions().get::<Lost>().is_some() => Err(DroppedOnPurpose),
                Ok(response) => Ok(response),
                Err(impossible) => match impossible {},
            }
        }
    });
    let _ = stream.set_nodelay(true);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
