//! The database: bounds, and transactions that conflict.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use platform::config::Database as Section;
use platform::database::{is_conflict, is_unavailable, pool, with_retries};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgPool};
use tokio::sync::Barrier;

/// A database of this test's own, dropped by [`TestDatabase::drop`].
pub(crate) struct TestDatabase {
    name: String,
    admin: PgConnectOptions,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let url = std::env::var("TEST_DATABASE_URL").expect(
            "TEST_DATABASE_URL must name a PostgreSQL where databases may be created; deploy/test sets it",
        );
        let name = format!("platform_{}", uuid::Uuid::new_v4().simple());
        let database = Self {
            name,
            admin: url.parse().unwrap(),
        };
        database
            .administer(format!("create database {}", database.name))
            .await;
        database
    }

    pub(crate) fn url(&self) -> String {
        self.admin.clone().database(&self.name).to_url_lossy().to_string()
    }

    /// Its URL through a proxy at this address.
    pub(crate) fn url_through(&self, proxy: SocketAddr) -> String {
        let options = self.admin.clone().database(&self.name);
        options
            .host(&proxy.ip().to_string())
            .port(proxy.port())
            .to_url_lossy()
            .to_string()
    }

    /// Where the server is, for a proxy.
    pub(crate) fn server(&self) -> (String, u16) {
        (self.admin.get_host().to_owned(), self.admin.get_port())
    }

    pub(crate) fn pool(&self) -> PgPool {
        pool(
            "test",
            &Section {
                url: self.url().into(),
                max_connections: 4,
            },
        )
        .unwrap()
    }

    pub(crate) async fn drop(self) {
        self.administer(format!("drop database {} with (force)", self.name))
            .await;
    }

    async fn administer(&self, statement: String) {
        let mut connection = self.admin.connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn connections_are_named_and_bounded() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    for (setting, expected) in [
        ("application_name", "test"),
        ("statement_timeout", "20s"),
        ("lock_timeout", "8s"),
        ("idle_in_transaction_session_timeout", "1min"),
    ] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(value, expected, "{setting}");
    }
    pool.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_being_shown() {
    let section = Section {
        url: "mysql:secret@/x".into(),
        max_connections: 1,
    };
    let refused = pool("test", &section).unwrap_err().to_string();
    assert!(
        refused.contains("database.url") && !refused.contains("secret"),
        "{refused}"
    );
}

/// Reads the sum and adds a row of it: two of these at once cannot both be right. Between the two it waits for whom it is to meet.
async fn add_sum(pool: &PgPool, meet: Option<&Barrier>) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query("set transaction isolation level serializable")
        .execute(&mut *tx)
        .await?;
    let sum: i64 = sqlx::query_scalar("select coalesce(sum(n), 1)::bigint from numbers")
        .fetch_one(&mut *tx)
        .await?;
    if let Some(barrier) = meet {
        barrier.wait().await;
    }
    sqlx::query("insert into numbers values ($1)")
        .bind(sum)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

#[tokio::test]
async fn transactions_that_conflict_are_run_again() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    sqlx::query("create table numbers (n bigint)")
        .execute(&pool)
        .await
        .unwrap();
    let (runs, both_have_read) = (AtomicU32::new(0), Barrier::new(2));
    let add = async || {
        let is_first = AtomicBool::new(true);
        with_retries(async || {
            runs.fetch_add(1, Ordering::SeqCst);
            let meet = is_first.swap(false, Ordering::SeqCst).then_some(&both_have_read);
            add_sum(&pool, meet).await
        })
        .await
    };
    let (first, second) = tokio::join!(add(), add());
    first.unwrap();
    second.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 3, "the one that lost ran twice");
    let sum: i64 = sqlx::query_scalar("select max(n) from numbers")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(sum, 1, "1, then the sum of what was there");
    pool.close().await;
    database.drop().await;
}

#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error(transparent)]
    Transparent(sqlx::Error),
    #[error("the store failed")]
    Wrapped(#[source] sqlx::Error),
}

#[tokio::test]
async fn only_conflicts_are_tried_again_however_they_are_wrapped() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let fail = async |code: &str| {
        let statement = format!("do $$ begin raise exception using errcode = '{code}'; end $$");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .unwrap_err()
    };
    for (code, tries) in [("40001", 5), ("40P01", 5), ("23505", 1), ("57014", 1)] {
        for wrap in [StoreError::Transparent, StoreError::Wrapped] {
            let runs = AtomicU32::new(0);
            let outcome = with_retries(async || {
                runs.fetch_add(1, Ordering::SeqCst);
                Err::<(), _>(wrap(fail(code).await))
            })
            .await;
            assert_eq!(runs.load(Ordering::SeqCst), tries, "{code}");
            assert_eq!(is_conflict(&outcome.unwrap_err()), tries > 1);
        }
    }
    for (code, away) in [
        ("57P01", true),
        ("53300", true),
        ("55P03", true),
        ("40001", true),
        ("23505", false),
    ] {
        assert_eq!(is_unavailable(&fail(code).await), away, "{code}");
    }
    pool.close().await;
    database.drop().await;
}
