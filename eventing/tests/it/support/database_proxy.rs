//! A TCP proxy in front of PostgreSQL. It counts statements, all and those of each transaction, and can take the answer to a commit away.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sqlx::PgPool;
use sqlx::postgres::{PgPoolOptions, PgSslMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) struct DatabaseProxy {
    /// The same database, through the proxy.
    pub(crate) pool: PgPool,
    link: Arc<Link>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Link {
    /// How many statements there were in all.
    statements: AtomicUsize,
    /// How many statements each transaction had that was committed.
    committed: Mutex<Vec<usize>>,
    /// The next commit gets to the server, and its answer does not come back.
    cut_at_commit: AtomicBool,
    cuts: AtomicUsize,
}

impl DatabaseProxy {
    pub(crate) async fn start(direct: &PgPool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = direct.connect_options();
        let server = (options.get_host().to_owned(), options.get_port());
        let through = (*options)
            .clone()
            .host("127.0.0.1")
            .port(listener.local_addr().unwrap().port())
            .ssl_mode(PgSslMode::Disable);
        let link = Arc::<Link>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let link = Arc::clone(&link);
            async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    let (server, link) = (server.clone(), Arc::clone(&link));
                    connections.spawn(async move {
                        let server = TcpStream::connect(server).await?;
                        link.serve(client, server).await
                    });
                }
            }
        });
        Self {
            pool: PgPoolOptions::new()
                .max_connections(10)
                .connect_lazy_with(through),
            link,
            _accepting: accepting,
        }
    }

    /// Lets the next commit get to the server, and cuts the connection before its answer.
    pub(crate) fn cut_at_commit(&self) {
        self.link.cut_at_commit.store(true, Ordering::SeqCst);
    }

    /// How many statements there were in all.
    pub(crate) fn statements(&self) -> usize {
        self.link.statements.load(Ordering::SeqCst)
    }

    /// How many statements each transaction had that was committed, with its begin and its commit.
    pub(crate) fn committed(&self) -> Vec<usize> {
        self.link.committed.lock().unwrap().clone()
    }

    pub(crate) fn cuts(&self) -> usize {
        self.link.cuts.load(Ordering::SeqCst)
    }
}

impl Link {
    async fn serve(&self, client: TcpStream, server: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        let cut = AtomicBool::new(false);
        let answers = async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let length = from_server.read(&mut buffer).await?;
                // The server has answered, so the commit is done.
                if length == 0 || cut.load(Ordering::SeqCst) {
                    return Ok(());
                }
                to_client.write_all(&buffer[..length]).await?;
            }
        };
        tokio::select! {
            outcome = self.requests(from_client, to_server, &cut) => outcome,
            outcome = answers => outcome,
        }
    }

    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        cut: &AtomicBool,
    ) -> io::Result<()> {
        let startup = from.read_u32().await?;
        let mut message = startup.to_be_bytes().to_vec();
        message.resize(usize::try_from(startup).unwrap(), 0);
        from.read_exact(&mut message[4..]).await?;
        to.write_all(&message).await?;
        let mut statements = 0;
        loop {
            let kind = from.read_u8().await?;
            let length = from.read_u32().await?;
            let mut message = vec![kind];
            message.extend(length.to_be_bytes());
            message.resize(1 + usize::try_from(length).unwrap(), 0);
            from.read_exact(&mut message[5..]).await?;
            let simple =
                |command: &[u8]| kind == b'Q' && message[5..].to_ascii_uppercase().starts_with(command);
            if simple(b"BEGIN") {
                statements = 0;
            }
            // A simple query, or the execution of a prepared one.
            if matches!(kind, b'Q' | b'E') {
                statements += 1;
                self.statements.fetch_add(1, Ordering::SeqCst);
            }
            let commits = simple(b"COMMIT");
            if commits {
                self.committed.lock().unwrap().push(statements);
            }
            if commits && self.cut_at_commit.swap(false, Ordering::SeqCst) {
                cut.store(true, Ordering::SeqCst);
                self.cuts.fetch_add(1, Ordering::SeqCst);
            }
            to.write_all(&message).await?;
        }
    }
}
