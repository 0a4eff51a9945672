//! A PostgreSQL cluster of our own: a database and a role per service, and one for the registry.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::ports::{Endpoint, Ports};
use crate::process::{Launch, Signal};
use crate::processes::{Layer, Processes};
use crate::service::Service;
use crate::state::{Secrets, State, write_private};

/// The registry's database and role.
pub const REGISTRY: &str = "registry";
const SUPERUSER: &str = "postgres";
/// PostgreSQL refuses to run as root; then it runs as the user that Debian's package makes.
const SERVER_USER: &str = "postgres";
const READY_WITHIN: Duration = Duration::from_mins(1);
/// The kernel's bound on a unix socket's path is 107 bytes; the file's own name takes up to 20 of them.
const SOCKET_FOLDER_BYTES: usize = 85;

/// Whether a crash of the machine may lose what was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in production.
    Full,
    /// No fsync: for tests, which survive a killed PostgreSQL but not a lost machine.
    ProcessCrashOnly,
}

/// The running cluster.
#[derive(Debug, Clone)]
pub struct Postgres {
    port: u16,
    sockets: PathBuf,
    secrets: Secrets,
}

impl Postgres {
    /// Creates the cluster where there is none, starts it, and makes sure of the databases.
    pub async fn start(
        state: &State,
        ports: &Ports,
        durability: Durability,
        processes: &Processes,
    ) -> Result<Self> {
        let secrets = state.secrets()?;
        let user = rustix::process::geteuid().is_root().then_some(SERVER_USER);
        let folder = choose_folder(state, user)?;
        state.check_disk(&folder)?;
        let postgres = Self {
            port: ports.of(Endpoint::Postgresql),
            sockets: folder.join("sockets"),
            secrets,
        };
        let programs = programs()?;
        postgres
            .create_cluster(&folder, &programs, user, processes)
            .await?;
        let launch = postgres.server(&folder, &programs, user, durability);
        let server = processes.start(Layer::Store, launch)?;
        server
            .ready_when(READY_WITHIN, || async {
                postgres.admin_connection().await.map(drop).map_err(Into::into)
            })
            .await?;
        postgres.create_databases().await?;
        Ok(postgres)
    }

    async fn create_cluster(
        &self,
        folder: &Path,
        programs: &Path,
        user: Option<&str>,
        processes: &Processes,
    ) -> Result<()> {
        let cluster = folder.join("data");
        if cluster.join("PG_VERSION").exists() {
            return Ok(());
        }
        // An attempt that was cut short leaves a folder that initdb refuses.
        if cluster.exists() {
            std::fs::remove_dir_all(&cluster)?;
        }
        let password = folder.join("password");
        write_private(&password, &self.secrets.of(SUPERUSER))?;
        own(&password, user)?;
        let initdb = Launch::new("postgresql-initdb", programs.join("initdb"))
            .arg("--pgdata")
            .arg(&cluster)
            .arg("--pwfile")
            .arg(&password)
            .args(["--username", SUPERUSER])
            .args(["--auth-local", "trust", "--auth-host", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"])
            .folder("/")
            .user(user);
        let done = processes.run(initdb).await;
        std::fs::remove_file(&password)?;
        done
    }

    fn server(&self, folder: &Path, programs: &Path, user: Option<&str>, durability: Durability) -> Launch {
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", quoted(&self.sockets)),
            "max_connections=300".to_owned(),
            "shared_buffers=128MB".to_owned(),
            "log_min_messages=warning".to_owned(),
        ];
        if durability == Durability::ProcessCrashOnly {
            settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        }
        // SIGINT disconnects its clients and writes everything out; an orphan ends at once and recovers at the next start.
        Launch::new("postgresql", programs.join("postgres"))
            .arg("-D")
            .arg(folder.join("data"))
            .args(
                settings
                    .into_iter()
                    .flat_map(|setting| ["-c".to_owned(), setting]),
            )
            .folder("/")
            .user(user)
            .ends_by(Signal::INT, "QUIT")
    }

    async fn create_databases(&self) -> Result<()> {
        let mut connection = self.admin_connection().await?;
        for name in Service::ALL.map(Service::database).into_iter().chain([REGISTRY]) {
            create_database(&mut connection, name, &self.secrets.of(name))
                .await
                .with_context(|| format!("cannot create the database {name}"))?;
        }
        Ok(())
    }

    async fn admin_connection(&self) -> sqlx::Result<PgConnection> {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.sockets)
            .port(self.port)
            .username(SUPERUSER)
            .database("postgres")
            .connect()
            .await
    }

    /// The superuser's URL, over TCP.
    pub fn admin_url(&self) -> String {
        let password = self.secrets.of(SUPERUSER);
        format!(
            "postgres://{SUPERUSER}:{password}@127.0.0.1:{}/postgres",
            self.port
        )
    }

    /// The URL of a database as its owner, over TCP: for people and for Java.
    pub fn url(&self, database: &str) -> String {
        let password = self.secrets.of(database);
        format!(
            "postgres://{database}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The URL of a database as its owner, over the socket with this port number. Services use it: their driver leaves
    /// TCP's delay on, and small writes over TCP then stall for 40 ms; and checking a password costs unoptimised code a
    /// tenth of a second for each connection, so here the folder's mode is the door.
    pub fn socket_url(&self, database: &str, port: u16) -> String {
        let folder: String =
            url::form_urlencoded::byte_serialize(self.sockets.as_os_str().as_encoded_bytes()).collect();
        format!("postgres://{database}@localhost:{port}/{database}?host={folder}")
    }

    /// The socket that clients look for when they are given this port number.
    pub fn socket(&self, port: u16) -> PathBuf {
        self.sockets.join(format!(".s.PGSQL.{port}"))
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of a database's owner.
    pub fn password(&self, database: &str) -> String {
        self.secrets.of(database)
    }
}

async fn create_database(connection: &mut PgConnection, name: &str, password: &str) -> Result<()> {
    // Names are constants of ours and passwords hexadecimal: nothing needs quoting.
    let exists = sqlx::query("select from pg_roles where rolname = $1")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?
        .is_some();
    let verb = if exists { "alter" } else { "create" };
    sqlx::query(AssertSqlSafe(format!(
        "{verb} role {name} login password '{password}'"
    )))
    .execute(&mut *connection)
    .await?;
    let exists = sqlx::query("select from pg_database where datname = $1")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?
        .is_some();
    if !exists {
        sqlx::query(AssertSqlSafe(format!("create database {name} owner {name}")))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The state's own folder if PostgreSQL can live there, else one outside.
fn choose_folder(state: &State, user: Option<&str>) -> Result<PathBuf> {
    for folder in [state.join("postgres"), state.outside()] {
        let sockets = folder.join("sockets");
        if folder.is_symlink() {
            bail!(
                "{} is a link, and following it may change what it points to: remove it",
                folder.display()
            );
        }
        std::fs::create_dir_all(&sockets).with_context(|| format!("cannot create {}", sockets.display()))?;
        own(&folder, user)?;
        own(&sockets, user)?;
        // Whoever reaches the sockets is let in without a password, so only this user does, and root, who always does.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("{} belongs to somebody else", folder.display()))?;
        if sockets.as_os_str().len() <= SOCKET_FOLDER_BYTES && reaches(user, &folder) {
            return Ok(folder);
        }
        // Only if they are empty: what lies there may be somebody's database.
        let _ = std::fs::remove_dir(&sockets).and_then(|()| std::fs::remove_dir(&folder));
    }
    bail!(
        "PostgreSQL can write neither under {} nor in /var/tmp",
        state.path().display()
    )
}

fn reaches(user: Option<&str>, folder: &Path) -> bool {
    let Some(user) = user else { return true };
    Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--init-groups", "test", "-w"])
        .arg(folder)
        .current_dir("/")
        .status()
        .is_ok_and(|status| status.success())
}

fn own(path: &Path, user: Option<&str>) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    let owned = Command::new("chown")
        .arg(format!("{user}:"))
        .arg(path)
        .status()
        .context("cannot run chown")?;
    if !owned.success() {
        bail!(
            "cannot give {} to the user {user}: is the package postgresql installed?",
            path.display()
        );
    }
    Ok(())
}

/// The folder of `initdb` and `postgres`: the newest of Debian's, else what is on the path.
fn programs() -> Result<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = debian
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|version| {
            let folder = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
            folder.join("initdb").exists().then_some((version, folder))
        })
        .max();
    if let Some((_, folder)) = newest {
        return Ok(folder);
    }
    std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).find(|folder| folder.join("initdb").exists()))
        .context("PostgreSQL is not installed: there is no initdb")
}

/// A value in a list of folders: a comma or a space in it must not end it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}
