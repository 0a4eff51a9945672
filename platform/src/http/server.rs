//! Listening and answering until told to stop.
//!
//! axum's own server has no bound on the time a client takes to send its headers, nor on the number of connections, so the
//! loop is written out here; the rest is hyper's.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A client that takes longer to send its headers, or leaves a connection idle for longer, loses it.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// Open connections; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// Pause after accepting failed, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket, not yet accepting.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers until `stop`, then lets requests in work finish for at most `drain`.
pub(crate) async fn run(listener: Listener, routes: Router, stop: CancellationToken, drain: Duration) {
    let connections = TaskTracker::new();
    let abandon = CancellationToken::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Some((stream, leave)) = next(&listener.socket, &room, &stop).await {
        let connection = answer(stream, routes.clone(), stop.clone());
        let abandoned = abandon.clone().cancelled_owned();
        connections.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = abandoned => {}
            }
            drop(leave);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests were cut off: they took longer than shutdown may"
        );
        abandon.cancel();
        connections.wait().await;
    }
}

/// The next connection, with its leave to be open; `None` once stopped.
async fn next(
    socket: &TcpListener,
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let accepted = async {
        let leave = Arc::clone(room).acquire_owned().await.ok()?;
        loop {
            match socket.accept().await {
                Ok((stream, _)) => return Some((stream, leave)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        accepted = accepted => accepted,
        () = stop.cancelled() => None,
    }
}

/// Serves one connection; when stopped, it ends after the request in work.
async fn answer(stream: TcpStream, routes: Router, stop: CancellationToken) {
    // Small answers go out at once; without this they wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = pin!(connection.with_upgrades());
    // What a connection ends with is the client's affair: it went away, or spoke no HTTP.
    tokio::select! {
        _ = &mut connection => return,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
