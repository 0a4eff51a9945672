//! A database of one test's own, dropped at its end.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use super::address;

pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) name: String,
    drop_at_end: bool,
}

impl Database {
    /// Creates a database with the schema `eventing`, and an aggregate table as a service would have one.
    pub(crate) async fn create() -> Self {
        let database = Self::create_empty().await;
        let pool = &database.pool;
        eventing::MIGRATOR.run(pool).await.unwrap();
        pool.execute(
            "create table payments (payment_no uuid primary key, sequence bigint not null default 0)",
        )
        .await
        .unwrap();
        database
    }

    /// Creates a database with nothing in it.
    pub(crate) async fn create_empty() -> Self {
        let name = format!("eventing_test_{}", Uuid::new_v4().simple());
        admin()
            .await
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .unwrap();
        let mut database = Self::join(&name).await;
        database.drop_at_end = true;
        database
    }

    /// A database that another process has created, and will drop.
    pub(crate) async fn join(name: &str) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(40)
            .connect_with(options().database(name))
            .await
            .unwrap();
        Self {
            pool,
            name: name.to_owned(),
            drop_at_end: false,
        }
    }

    /// A connection beside the pool.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.pool.connect_options())
            .await
            .unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.drop_at_end {
            return;
        }
        let drop_database = format!("drop database if exists {} with (force)", self.name);
        // A runtime of its own, because this may run while the test's is already shutting down.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                admin()
                    .await
                    .execute(AssertSqlSafe(drop_database))
                    .await
                    .map(drop)
            })
        });
        let dropped = dropping.join();
        if !std::thread::panicking() {
            dropped.unwrap().unwrap();
        }
    }
}

/// A connection to the server's administrative database.
pub(crate) async fn admin() -> PgConnection {
    PgConnection::connect_with(&options()).await.unwrap()
}

fn options() -> PgConnectOptions {
    address("TEST_DATABASE_URL").parse().unwrap()
}
