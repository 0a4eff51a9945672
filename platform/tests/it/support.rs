//! A server on loopback that ends with its test, and waiting for a condition.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use platform::client::{Client, Settings};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use url::Url;

/// Waiting longer than this for anything is a failure.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Some HTTP server that a test calls.
pub(crate) struct Server {
    pub(crate) url: Url,
    running: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, running }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    /// Ends it: its port refuses connections from now on.
    pub(crate) async fn stop(mut self) {
        self.running.shutdown().await;
    }
}

/// A client that never repeats by itself.
pub(crate) fn client() -> Client {
    Client::new(
        "test",
        Settings {
            max_retries: 0,
            ..Settings::default()
        },
    )
    .unwrap()
}

/// Sends a request through routes, without any network.
pub(crate) async fn answer(routes: &Router, request: Request) -> Response {
    routes.clone().oneshot(request).await.unwrap()
}

/// The body of an answer as JSON.
pub(crate) async fn json(answer: Response) -> serde_json::Value {
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&body).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&body)))
}

/// Waits until `condition` yields something.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// A TCP proxy in front of a server, which a test can take away and bring back.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    target: (String, u16),
    running: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(target: (String, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut proxy = Self {
            address,
            target,
            running: JoinSet::new(),
        };
        proxy.run(listener);
        proxy
    }

    /// Ends its connections, and refuses new ones.
    pub(crate) async fn take_away(&mut self) {
        self.running.shutdown().await;
    }

    pub(crate) async fn bring_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.run(listener);
    }

    fn run(&mut self, listener: TcpListener) {
        let target = self.target.clone();
        self.running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let target = target.clone();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    }
}
