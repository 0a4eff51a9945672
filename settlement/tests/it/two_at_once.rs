//! Requests that meet.

use futures::future::join_all;
use serde_json::json;

use crate::support::World;
use crate::support::requests::{BOB, number};

const NINTH: &str = "2026-03-09T10:00:00Z";

#[tokio::test]
async fn of_many_settlement_requests_at_once_one_takes_all() {
    let world = World::new().await;
    for _ in 0..10 {
        world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    }
    let answers = join_all((0..8).map(|_| world.settle())).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].body["entry_count"], 20);
    for answer in refused {
        answer.refused(422, "nothing-to-settle");
    }
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn settling_while_payments_come_in_loses_nothing_and_settles_nothing_twice() {
    let world = World::new().await;
    let charge = async {
        for _ in 0..40 {
            world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
        }
    };
    let settle = async {
        let mut nets = 0;
        for _ in 0..20 {
            let answers = [world.settle().await, world.settle().await];
            for answer in answers.into_iter().filter(|answer| answer.status == 201) {
                nets += answer.body["net_amount"].as_i64().unwrap();
            }
        }
        nets
    };
    // Rejections in between give entries back to whoever settles next.
    let settle_and_reject = async {
        for _ in 0..20 {
            let answer = world.settle().await;
            if answer.status == 201 {
                world.reject(&number(&answer.body)).await.ok();
            }
        }
    };
    let ((), settled, ()) = tokio::join!(charge, settle, settle_and_reject);
    let rest = world.settle().await;
    let rest = if rest.status == 201 {
        rest.body["net_amount"].as_i64().unwrap()
    } else {
        0
    };
    assert_eq!(settled + rest, 40 * (1_000 - 59));
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn of_two_decisions_at_once_one_counts() {
    let world = World::new().await;
    world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    let settlement_no = number(&world.settle().await.ok());
    let (approved, again, rejected) = tokio::join!(
        world.approve(&settlement_no),
        world.approve(&settlement_no),
        world.reject(&settlement_no)
    );
    let decided = [&approved, &again, &rejected]
        .iter()
        .filter(|answer| answer.status == 200)
        .count();
    assert_eq!(decided, 1, "{approved:?} {again:?} {rejected:?}");
    assert_eq!(world.told(&settlement_no).await.len(), 2);
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn of_many_executions_at_once_one_pays() {
    let world = World::new().await;
    world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    let settlement_no = number(&world.settle().await.ok());
    world.approve(&settlement_no).await.ok();
    let answers = join_all((0..6).map(|_| world.execute(&settlement_no))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(409, "settlement-not-approved");
    }
    assert_eq!(world.count("select count(*) from withdrawals").await, 1);
    assert_eq!(
        world
            .count("select count(*) from ledger_transactions where kind = 'payout'")
            .await,
        1
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn an_execution_that_meets_the_approval_comes_before_or_after_it() {
    let world = World::new().await;
    world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    let settlement_no = number(&world.settle().await.ok());
    let approval = json!({"approver_id": BOB});
    let path = format!("/api/v1/settlements/{settlement_no}/approve");
    let (approved, executed) = tokio::join!(world.post(BOB, &path, approval), world.execute(&settlement_no));
    approved.ok();
    let expected = if executed.status == 200 {
        "processing"
    } else {
        "approved"
    };
    assert_eq!(world.settlement(&settlement_no).await["status"], expected);
    world.assert_books_are_in_order().await;
}
