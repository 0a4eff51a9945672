//! A database of one test's own, dropped at its end.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

pub(crate) struct Database {
    pub(crate) pool: PgPool,
    name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let name = format!("notifier_test_{}", Uuid::new_v4().simple());
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
        <notifier::Notifier as platform::Service>::migrations()
            .run(&pool)
            .await
            .unwrap();
        Self { pool, name }
    }

    /// Everything in the service's own tables, as text.
    pub(crate) async fn dump(&self) -> String {
        let notifications = "select coalesce(string_agg(n::text, E'\\n'), '') from notifications n";
        let attempts = "select coalesce(string_agg(a::text, E'\\n'), '') from attempts a";
        let notifications: String = sqlx::query_scalar(notifications)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        let attempts: String = sqlx::query_scalar(attempts).fetch_one(&self.pool).await.unwrap();
        format!("{notifications}\n{attempts}")
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
    let url = std::env::var("TEST_DATABASE_URL");
    url.unwrap_or_else(|_| panic!("TEST_DATABASE_URL must name a PostgreSQL for tests; deploy/test sets it"))
        .parse()
        .unwrap()
}
