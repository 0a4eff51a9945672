//! A door in front of PostgreSQL or the registry that a test can shut, so that one service loses what the others keep.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
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

/// How fast bytes pass through an open door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    #[default]
    Free,
    /// Each piece of up to 16 KiB waits so long, one after the other.
    Slow(Duration),
    /// Nothing passes, and nobody is told: connections stay open, as when a network loses everything.
    Stalled,
}

/// A door: shut, nothing listens and open connections end; open, bytes pass.
#[derive(Debug)]
pub struct Proxy {
    listen: Address,
    upstream: Address,
    tasks: TaskTracker,
    open: Mutex<Option<DropGuard>>,
    pace: watch::Sender<Pace>,
}

/// How much is passed on at once.
const PIECE_BYTES: usize = 16 * 1024;

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
            pace: watch::Sender::new(Pace::Free),
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
        let serve = serve(
            listener,
            self.upstream.clone(),
            self.tasks.clone(),
            token.clone(),
            self.pace.subscribe(),
        );
        self.tasks.spawn(token.clone().run_until_cancelled_owned(serve));
        *self.guard() = Some(token.drop_guard());
        Ok(())
    }

    /// Changes how fast bytes pass, also those of connections that are open.
    pub fn set_pace(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Option<DropGuard>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(
    listener: Listener,
    upstream: Address,
    tasks: TaskTracker,
    token: CancellationToken,
    pace: watch::Receiver<Pace>,
) {
    loop {
        // A failed accept is a client that has gone again, or no file descriptor left; both pass.
        let Ok(client) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (upstream, pace) = (upstream.clone(), pace.clone());
        let carry = async move {
            // An upstream that is away closes the client's connection, as it would without us.
            if let Ok(server) = upstream.connect().await {
                let (from_client, to_client) = split(client);
                let (from_server, to_server) = split(server);
                let _ = tokio::try_join!(
                    pass(from_client, to_server, pace.clone()),
                    pass(from_server, to_client, pace)
                );
            }
        };
        tasks.spawn(token.clone().run_until_cancelled_owned(carry));
    }
}

/// Passes on what comes, until its end or the first failure.
async fn pass(
    mut from: ReadHalf<Box<dyn Stream>>,
    mut to: WriteHalf<Box<dyn Stream>>,
    mut pace: watch::Receiver<Pace>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut piece).await?;
        let wait = match *pace.borrow_and_update() {
            Pace::Free => None,
            Pace::Slow(wait) => Some(wait),
            Pace::Stalled => Some(Duration::MAX),
        };
        if let Some(wait) = wait {
            // Whoever changes the pace lets what waits go; without a door there is nobody to change it.
            let changed = pace.wait_for(|pace| !matches!(pace, Pace::Slow(_) | Pace::Stalled));
            if let Ok(Err(_)) = tokio::time::timeout(wait, changed).await {
                return Ok(());
            }
        }
        match piece.get(..length) {
            None | Some([]) => return to.shutdown().await,
            Some(read) => to.write_all(read).await?,
        }
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

    /// An open door, and the port on which it is.
    async fn door_to_an_echo() -> (Proxy, u16) {
        let upstream = Address::Tcp(echo(&TaskTracker::new()).await);
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        (Proxy::open(Address::Tcp(port), upstream).await.unwrap(), port)
    }

    async fn connected(port: u16) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(round_trip(&mut stream).await.unwrap(), b'x');
        stream
    }

    async fn round_trip(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_door_that_is_shut_ends_connections_and_refuses_new_ones_until_it_opens_again() {
        let (door, port) = door_to_an_echo().await;
        let mut stream = connected(port).await;

        door.cut().await;
        assert!(round_trip(&mut stream).await.is_err());
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());

        door.restore().await.unwrap();
        connected(port).await;
    }

    #[tokio::test]
    async fn a_stalled_door_keeps_what_comes_and_its_connections_until_it_is_free_again() {
        let (door, port) = door_to_an_echo().await;
        let mut stream = connected(port).await;

        door.set_pace(Pace::Stalled);
        let answer = tokio::time::timeout(Duration::from_millis(200), round_trip(&mut stream)).await;
        assert!(answer.is_err(), "{answer:?}");

        door.set_pace(Pace::Free);
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }
}
