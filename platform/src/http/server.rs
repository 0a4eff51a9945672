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

/// Pause after accepting failed, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// A client that takes longer to send its headers, or leaves a connection idle for longer, loses it.
    pub(crate) headers_within: Duration,
    /// Open connections; further ones wait to be accepted.
    pub(crate) max_connections: usize,
    /// How long requests in work may take to finish when stopped.
    pub(crate) drain: Duration,
}

impl Bounds {
    /// The platform's bounds, with this time to drain.
    pub(crate) fn draining_within(drain: Duration) -> Self {
        Self {
            headers_within: Duration::from_secs(30),
            max_connections: 4096,
            drain,
        }
    }
}

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

/// Answers until `stop`, then lets requests in work finish.
pub(crate) async fn run(listener: Listener, routes: Router, stop: CancellationToken, bounds: Bounds) {
    let connections = TaskTracker::new();
    let abandon = CancellationToken::new();
    let room = Arc::new(Semaphore::new(bounds.max_connections));
    while let Some((stream, leave)) = next(&listener.socket, &room, &stop).await {
        let connection = answer(stream, routes.clone(), stop.clone(), bounds.headers_within);
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
    if tokio::time::timeout(bounds.drain, connections.wait())
        .await
        .is_err()
    {
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
async fn answer(stream: TcpStream, routes: Router, stop: CancellationToken, headers_within: Duration) {
    // Small answers go out at once; without this they wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(headers_within);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        headers_within: Duration::from_secs(30),
        max_connections: 8,
        drain: Duration::from_secs(30),
    };

    struct Server {
        address: SocketAddr,
        stop: CancellationToken,
        running: JoinSet<()>,
    }

    impl Server {
        async fn start(routes: Router, bounds: Bounds) -> Self {
            let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
            let (address, stop, mut running) = (listener.address(), CancellationToken::new(), JoinSet::new());
            running.spawn(run(listener, routes, stop.clone(), bounds));
            Self {
                address,
                stop,
                running,
            }
        }

        async fn request(&self, path: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            stream
        }
    }

    /// Everything until the server closes the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await;
        let _ = read.expect("the server closes the connection");
        text
    }

    /// A route that says when it is entered and answers when it is told to.
    fn waiting() -> (Router, Arc<Notify>, Arc<Notify>) {
        let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (is_entered, may_go) = (entered.clone(), go.clone());
        let route = get(async move || {
            is_entered.notify_one();
            may_go.notified().await;
            "done"
        });
        (Router::new().route("/", route), entered, go)
    }

    #[tokio::test]
    async fn a_request_in_work_is_finished_after_stop_and_no_further_one_is_accepted() {
        let (routes, entered, go) = waiting();
        let mut server = Server::start(routes, BOUNDS).await;
        let stream = server.request("/").await;
        entered.notified().await;
        server.stop.cancel();
        // The listener is closed before the requests in work are waited for.
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        assert!(rest(stream).await.ends_with("done"));
        server.running.join_next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_that_outlasts_the_drain_is_cut_off() {
        let (routes, entered, _go) = waiting();
        let mut server = Server::start(
            routes,
            Bounds {
                drain: Duration::from_millis(50),
                ..BOUNDS
            },
        )
        .await;
        let stream = server.request("/").await;
        entered.notified().await;
        server.stop.cancel();
        server.running.join_next().await.unwrap().unwrap();
        assert_eq!(rest(stream).await, "");
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_shutdown() {
        let mut server = Server::start(Router::new(), BOUNDS).await;
        let idle = TcpStream::connect(server.address).await.unwrap();
        let used = server.request("/").await;
        used.readable().await.unwrap();
        server.stop.cancel();
        server.running.join_next().await.unwrap().unwrap();
        drop(idle);
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_headers_loses_its_connection() {
        let bounds = Bounds {
            headers_within: Duration::from_millis(50),
            ..BOUNDS
        };
        let server = Server::start(Router::new(), bounds).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: te").await.unwrap();
        rest(stream).await;
    }

    #[tokio::test]
    async fn a_connection_over_the_bound_waits_until_one_is_free() {
        let (routes, entered, go) = waiting();
        let server = Server::start(
            routes,
            Bounds {
                max_connections: 1,
                ..BOUNDS
            },
        )
        .await;
        let first = server.request("/").await;
        entered.notified().await;
        let second = server.request("/").await;
        let is_entered = tokio::time::timeout(Duration::from_millis(100), entered.notified()).await;
        assert!(
            is_entered.is_err(),
            "the second connection was served beside the first"
        );
        go.notify_one();
        drop(first);
        entered.notified().await;
        go.notify_one();
        drop(second);
    }
}
