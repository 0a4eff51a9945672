//! A database of one test's own, dropped at its end.

use platform::Service as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

pub(crate) struct Database {
    pub(crate) pool: PgPool,
    name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let name = format!("analytics_test_{}", Uuid::new_v4().simple());
        admin()
            .await
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .unwrap();
        let pool = PgPoolOptions::new()
            .connect_with(options().database(&name))
            .await
            .unwrap();
        analytics_consumer::AnalyticsConsumer::migrations()
            .run(&pool)
            .await
            .unwrap();
        Self { pool, name }
    }

    /// Drops the database. A test that fails leaves it behind, to be looked at.
    pub(crate) async fn drop(self) {
        self.pool.close().await;
        admin()
            .await
            .execute(AssertSqlSafe(format!("drop database {}", self.name)))
            .await
            .unwrap();
    }
}

async fn admin() -> PgConnection {
    PgConnection::connect_with(&options()).await.unwrap()
}

fn options() -> PgConnectOptions {
    let url = std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL names a PostgreSQL to test on; deploy/test starts one");
    url.parse().unwrap()
}
