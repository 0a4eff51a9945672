//! Rows by COPY, of which some were there before.

use eventing::consumer::{CopiedInto, CopiedRows, Delivery, Failure, Handler};
use jiff::Timestamp;
use schemas::PaymentNo;
use sqlx::{Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use super::stage::{Stage, unordered};
use crate::support::database::Database;
use crate::support::events;

const COLUMNS: &str = "event_id, key, sequence, at, note";

async fn table() -> (Database, PgPool) {
    let database = Database::create().await;
    let pool = database.pool.clone();
    create(&pool).await;
    (database, pool)
}

async fn create(pool: &PgPool) {
    pool.execute(
        "create table copied (
             position bigint generated always as identity, event_id uuid constraint copied_pkey primary key,
             key text not null, sequence bigint not null, at timestamptz not null, note text
         )",
    )
    .await
    .unwrap();
}

fn push(rows: &mut CopiedRows, event_id: Uuid, key: &str, sequence: i64) {
    let at = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
    let row = rows.row(5).uuid(event_id).text(key).unwrap();
    row.number(sequence).time(at).null();
}

fn rows(numbers: impl IntoIterator<Item = u128>) -> CopiedRows {
    let mut rows = CopiedRows::default();
    for number in numbers {
        push(&mut rows, Uuid::from_u128(number), "pay_ß", 7);
    }
    rows
}

/// Writes them, and answers how many were new, and whether they went straight into the table: what comes from an attempt that can
/// be rolled back by itself carries the number of that attempt.
async fn write(pool: &PgPool, into: &CopiedInto, rows: CopiedRows) -> (u64, bool) {
    let mut tx = pool.begin().await.unwrap();
    let written = into.write(&mut tx, rows).await.unwrap();
    let staged: bool = sqlx::query_scalar(
        "select exists (select from copied where xmin::text = pg_current_xact_id()::text)",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    (written, !staged)
}

#[tokio::test]
async fn what_is_new_goes_straight_into_the_table_and_after_a_repetition_round_about_for_a_while() {
    let (_database, pool) = table().await;
    let into = CopiedInto::new("copied", COLUMNS);
    assert_eq!(write(&pool, &into, rows(0..100)).await, (100, true));
    // One was there before, and one comes twice.
    let mixed = (99..199).chain([150]);
    assert_eq!(write(&pool, &into, rows(mixed)).await.0, 99);
    for batch in 0..50 {
        let from = 1_000 + batch * 10;
        assert_eq!(write(&pool, &into, rows(from..from + 10)).await, (10, false));
    }
    assert_eq!(write(&pool, &into, rows(5_000..5_010)).await, (10, true));

    let count: i64 = sqlx::query_scalar(
        "select count(*) from copied where key = 'pay_ß' and sequence = 7 and note is null
             and at = timestamptz '2023-11-14 22:13:20.123456+00'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(count, 199 + 500 + 10);
}

#[tokio::test]
async fn a_row_that_breaks_another_rule_of_the_table_is_an_error_and_no_repetition() {
    let (_database, pool) = table().await;
    let into = CopiedInto::new("copied", COLUMNS);
    let mut broken = rows(0..3);
    broken.row(5).uuid(Uuid::from_u128(3)).null().null().null().null();
    let mut tx = pool.begin().await.unwrap();
    let error = into.write(&mut tx, broken).await.unwrap_err();
    assert!(error.to_string().contains("null value"), "{error}");
}

/// As a batch handler uses it.
struct Copying;

static COPIED: CopiedInto = CopiedInto::new("copied", COLUMNS);

impl Handler for Copying {
    type Prepared = ();
    type Rows = CopiedRows;

    const PREPARES: bool = false;

    async fn prepare(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(
        &self,
        _: &mut PgConnection,
        rows: &mut CopiedRows,
        delivery: &Delivery,
        (): &(),
    ) -> Result<(), Failure> {
        let event_id = delivery.event.event_id().uuid();
        push(rows, event_id, &delivery.key, delivery.sequence);
        Ok(())
    }

    async fn flush(&self, tx: &mut PgConnection, rows: CopiedRows) -> Result<(), Failure> {
        COPIED.write(tx, rows).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_copies_writes_each_event_once_however_often_it_is_on_the_topic() {
    let stage = Stage::new(unordered().workers(1).batch(5_000)).await;
    create(&stage.pool).await;
    let sent: Vec<_> = (0..600)
        .map(|_| events::payment(PaymentNo::generate(), 1))
        .collect();
    stage.send_all(&sent[..400]).await;
    stage.send_all(&sent[300..]).await;
    stage.send_all(&sent).await;
    let member = stage.start(Copying);
    stage.until_count("copied", 600).await;
    member.stop().await;
    assert!(stage.letters(0).await.is_empty());
}
