//! Which lane an aggregate is in.

use std::ops::RangeInclusive;

use eventing::Clock;
use eventing::outbox::Lane;
use eventing::outbox::set_aside::{self, Decision};
use schemas::PaymentNo;
use schemas::catalogue::TOPICS;
use sqlx::{Executor as _, PgPool};

use crate::support::World;
use crate::support::database::Database;

/// The migration that made the lanes.
const LANES_MIGRATION: i64 = 5;

#[tokio::test]
async fn postgresql_and_we_put_an_aggregate_into_the_same_lane() {
    let world = World::without_topic().await;
    for topic in TOPICS {
        for key in [
            PaymentNo::generate().to_string(),
            String::new(),
            "Zürich / 東京 \\ '".into(),
        ] {
            let theirs: i16 = sqlx::query_scalar("select eventing.outbox_lane($1, $2)")
                .bind(topic.name)
                .bind(&key)
                .fetch_one(&world.pool)
                .await
                .unwrap();
            assert_eq!(
                Lane::of(topic.name, &key).number(),
                theirs,
                "{} {key}",
                topic.name
            );
        }
    }
}

#[tokio::test]
async fn rows_from_before_the_lanes_are_moved_into_them_under_their_numbers() {
    // Given a database of the release before, with a row that waits, one that is set aside, and one behind it.
    let database = Database::create_empty().await;
    database.pool.execute("create schema eventing").await.unwrap();
    migrate(&database.pool, 1..=LANES_MIGRATION - 1).await;
    database
        .pool
        .execute(
            "insert into eventing.outbox (seq, topic, key, sequence, payload, headers, created_at)
             values (7, 'payments.payment.v1', 'waits', 1, 'p', 'h', now());
             insert into eventing.outbox_blocked (seq, topic, key, sequence, payload, headers, created_at)
             values (3, 'payments.payment.v1', 'blocked', 1, 'p', 'h', now()),
                    (5, 'payments.payment.v1', 'blocked', 2, 'p', 'h', now());
             insert into eventing.outbox_set_aside (seq, topic, key, reason, set_aside_at)
             values (3, 'payments.payment.v1', 'blocked', 'too large', now())",
        )
        .await
        .unwrap();

    migrate(&database.pool, LANES_MIGRATION..=LANES_MIGRATION).await;

    let rows = "select seq, lane from eventing.outbox order by seq";
    assert_eq!(placed(&database.pool, rows).await, [(7, lane_of("waits"))]);
    let decision = Decision {
        operator: "alice",
        reason: None,
        at: Clock::system().now(),
    };
    set_aside::retry(&database.pool, 3, &decision).await.unwrap();
    assert_eq!(
        placed(&database.pool, rows).await,
        [
            (3, lane_of("blocked")),
            (5, lane_of("blocked")),
            (7, lane_of("waits"))
        ]
    );
}

async fn migrate(pool: &PgPool, versions: RangeInclusive<i64>) {
    let wanted = eventing::MIGRATOR
        .iter()
        .filter(|migration| versions.contains(&migration.version));
    for migration in wanted {
        pool.execute(migration.sql.clone()).await.unwrap();
    }
}

fn lane_of(key: &str) -> i16 {
    Lane::of("payments.payment.v1", key).number()
}

async fn placed(pool: &PgPool, rows: &'static str) -> Vec<(i64, i16)> {
    sqlx::query_as(rows).fetch_all(pool).await.unwrap()
}
