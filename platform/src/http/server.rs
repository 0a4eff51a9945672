//! Listening and answering until told to stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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
pub(crate) async fn run(
    listener: Listener,
    routes: Router,
    stop: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    let stopped = stop.clone();
    let serving =
        axum::serve(listener.socket, routes).with_graceful_shutdown(async move { stop.cancelled().await });
    let bound = async {
        stopped.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = bound => {
            tracing::warn!("requests were still in work when the time to finish them was over");
            Ok(())
        }
    }
}
