//! A batch's watermarks are written before its events are applied.

use std::time::Duration;

use schemas::PaymentNo;
use sqlx::Executor as _;

use super::script::Script;
use super::stage::{Stage, ordered};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_runs_out_of_time_says_only_how_far_it_has_come() {
    let stage = Stage::new(ordered().workers(1)).await;
    let (one, other) = (PaymentNo::generate(), PaymentNo::generate());
    for sequence in 1..=8 {
        stage.send_next(one, sequence).await;
        stage.send_next(other, sequence).await;
    }
    // The third batch takes up four, for which it has not the time.
    let member = stage.start(Script::default().taking(Duration::from_millis(200)));
    for payment_no in [one, other] {
        stage.until_applied(payment_no, &[1, 2, 3, 4, 5, 6, 7, 8]).await;
    }
    member.stop().await;
    assert!(stage.letters(0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_parked_while_the_one_before_it_waits_for_the_lock_is_drained_behind_that() {
    let stage = Stage::new(ordered()).await;
    let payment_no = PaymentNo::generate();
    let member = stage.start(Script::default());
    stage.send_next(payment_no, 1).await;
    stage.until_applied(payment_no, &[1]).await;
    stage.send_next(payment_no, 3).await;
    stage.until_count("eventing.parked", 1).await;
    // The next one has met no disorder, so it does not look before it writes.
    member.stop().await;
    let member = stage.start(Script::default());

    // Another member is about to park the third event.
    let hide = "create table hidden as select * from eventing.parked; delete from eventing.parked";
    stage.pool.execute(hide).await.unwrap();
    let mut parking = stage.pool.begin().await.unwrap();
    let lock = "select from eventing.watermarks for update";
    parking.execute(lock).await.unwrap();
    stage.send_next(payment_no, 2).await;
    eventually("the second event waits", async || {
        let waiting = "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        stage.count(waiting).await > 0
    })
    .await;
    let park = "insert into eventing.parked select * from hidden";
    parking.execute(park).await.unwrap();
    parking.commit().await.unwrap();

    stage.until_applied(payment_no, &[1, 2, 3]).await;
    stage.until_count("eventing.parked", 0).await;
    member.stop().await;
}
