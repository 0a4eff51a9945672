//! A database of one test's own, dropped at its end.

use payment_gateway::PaymentGateway;
use platform::Service;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use uuid::Uuid;

pub(crate) struct Database {
    pub(crate) pool: PgPool,
    name: String,
}

impl Database {
    /// A migrated database that knows the ids of our schemas, so that no registry is needed.
    pub(crate) async fn create() -> Self {
        let name = format!("gateway_test_{}", Uuid::new_v4().simple());
        admin()
            .await
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .connect_with(options().database(&name))
            .await
            .unwrap();
        eventing::MIGRATOR.run(&pool).await.unwrap();
        PaymentGateway::migrations().run(&pool).await.unwrap();
        let topic = &schemas::catalogue::PAYMENTS;
        sqlx::query("insert into eventing.schemas (id, definition, fetched_at) values (1, $1, now())")
            .bind(topic.schema)
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query(
            "insert into eventing.subject_schemas (subject, definition_sha256, schema_id) values ($1, $2, 1)",
        )
        .bind(topic.subject())
        .bind(Sha256::digest(topic.schema).to_vec())
        .execute(&pool)
        .await
        .unwrap();
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
    let url = std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL is not set: run deploy/test, which starts what the tests need");
    url.parse().unwrap()
}
