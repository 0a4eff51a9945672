//! A way to PostgreSQL that can be blocked: connections stay open and nothing gets through, as when a switch fails.

use std::io;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Tunnel {
    pub(crate) pool: PgPool,
    open: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

impl Tunnel {
    /// A tunnel to the database of a pool.
    pub(crate) async fn to(pool: &PgPool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = (*pool.connect_options()).clone();
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let through: PgConnectOptions = options
            .host("127.0.0.1")
            .port(listener.local_addr().unwrap().port());
        let open = watch::Sender::new(true);
        let is_open = open.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, is_open) = (server.clone(), is_open.subscribe());
                connections.spawn(async move { carry(client, &server, is_open).await });
            }
        });
        Self {
            pool: PgPoolOptions::new().connect_lazy_with(through),
            open,
            _accepting: accepting,
        }
    }

    pub(crate) fn block(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn clear(&self) {
        self.open.send_replace(true);
    }
}

async fn carry(client: TcpStream, server: &str, mut is_open: watch::Receiver<bool>) -> io::Result<()> {
    let _ = is_open.wait_for(|open| *open).await;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = TcpStream::connect(server).await?.into_split();
    tokio::select! {
        outcome = pass_on(from_client, to_server, is_open.clone()) => outcome,
        outcome = pass_on(from_server, to_client, is_open) => outcome,
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_open: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        let _ = is_open.wait_for(|open| *open).await;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}
