//! A door in front of PostgreSQL or the registry that a test can shut, so that one service loses what the others keep.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Where something listens.
#[derive(Debug, Clone)]
pub enum Address {
    /// A port on 127.0.0.1.
    Tcp(u16),
    /// A unix socket.
    Unix(PathBuf),
}

/// A door: shut, nothing listens and open connections end; open, bytes pass.
#[derive(Debug)]
pub struct Proxy {
    listen: Address,
    upstream: Address,
    tasks: TaskTracker,
    open: Mutex<Option<DropGuard>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Proxy {
    /// Opens a door at `listen` that leads to `upstream`. Its tasks live on the runtime that this is called on.
    pub async fn open(listen: Address, upstream: Address) -> io::Result<Self> {
        let proxy = Self {
            listen,
            upstream,
            tasks: TaskTracker::new(),
            open: Mutex::new(None),
        };
        proxy.restore().await?;
        Ok(proxy)
    }

    /// Shuts it, and returns when nothing listens any more.
    pub async fn cut(&self) {
        drop(self.guard().take());
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Opens it again; an open one stays as it is.
    pub async fn restore(&self) -> io::Result<()> {
        if self.guard().is_some() {
            return Ok(());
        }
        let listener = Listener::bind(&self.listen).await?;
        let token = CancellationToken::new();
        let serve = serve(listener, self.upstream.clone(), self.tasks.clone(), token.clone());
        self.tasks.spawn(token.clone().run_until_cancelled_owned(serve));
        *self.guard() = Some(token.drop_guard());
        Ok(())
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Option<DropGuard>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: Listener, upstream: Address, tasks: TaskTracker, token: CancellationToken) {
    loop {
        // A failed accept is a client that has gone again, or no file descriptor left; both pass.
        let Ok(mut client) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let upstream = upstream.clone();
        let carry = async move {
            // An upstream that is away closes the client's connection, as it would without us.
            if let Ok(mut server) = upstream.connect().await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        };
        tasks.spawn(token.clone().run_until_cancelled_owned(carry));
    }
}

impl Address {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

impl Listener {
    async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(port) => TcpListener::bind(("127.0.0.1", *port)).await.map(Self::Tcp),
            Address::Unix(path) => {
                if path.exists() {
                    std::fs::remove_file(path)?;
                }
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn echo(tasks: &TaskTracker) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    stream.write_all(&byte).await.unwrap();
                }
            }
        });
        port
    }

    async fn round_trip(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_door_that_is_shut_ends_connections_and_refuses_new_ones_until_it_opens_again() {
        let tasks = TaskTracker::new();
        let upstream = Address::Tcp(echo(&tasks).await);
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let door = Proxy::open(Address::Tcp(port), upstream).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(round_trip(&mut stream).await.unwrap(), b'x');

        door.cut().await;
        assert!(round_trip(&mut stream).await.is_err());
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());

        door.restore().await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(round_trip(&mut stream).await.unwrap(), b'x');
    }
}
