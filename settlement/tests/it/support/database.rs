//! A database of one test's own, dropped at its end.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use super::address;

pub(crate) struct Database {
    pub(crate) pool: PgPool,
    name: String,
}

impl Database {
    /// Creates a database with the tables of `eventing` and of this service.
    pub(crate) async fn create() -> Self {
        let name = format!("settlement_test_{}", Uuid::new_v4().simple());
        admin()
            .await
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(20)
            .connect_with(options().database(&name))
            .await
            .unwrap();
        eventing::MIGRATOR.run(&pool).await.unwrap();
        sqlx::migrate!().run(&pool).await.unwrap();
        Self { pool, name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
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

async fn admin() -> PgConnection {
    PgConnection::connect_with(&options()).await.unwrap()
}

fn options() -> PgConnectOptions {
    address("TEST_DATABASE_URL").parse().unwrap()
}
