//! What is settled, and what waits.

use schemas::ids::{MerchantId, RefundNo};
use schemas::payment::PaymentEventType;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::requests::{ALICE, BOB, number};

const NINTH: &str = "2026-03-09T10:00:00Z";

#[tokio::test]
async fn a_settlement_goes_the_whole_way_to_the_bank() {
    let world = World::new().await;
    let mut payment = world.charged(world.merchant_id, 10_000, "EUR", NINTH).await;
    payment
        .refund(
            &world,
            PaymentEventType::RefundCreated,
            RefundNo::generate(),
            1_000,
        )
        .await;

    let settlement = world.settle().await.ok();
    let settlement_no = number(&settlement);
    let sums = [
        "gross_amount",
        "refund_amount",
        "fee_amount",
        "returned_amount",
        "net_amount",
        "entry_count",
    ];
    assert_eq!(
        sums.map(|sum| settlement[sum].as_i64().unwrap()),
        [10_000, 1_000, 320, 0, 8_680, 3]
    );
    assert_eq!(settlement["status"], "pending_approval");
    assert_eq!(
        settlement["period"],
        json!({"start": "2026-03-09T00:00:00Z", "end": "2026-03-10T00:00:00Z"})
    );
    assert_eq!(
        (&settlement["created_by"], &settlement["approved_by"]),
        (&json!(ALICE), &Value::Null)
    );

    let approved = world.approve(&settlement_no).await.ok();
    assert_eq!(
        (&approved["status"], &approved["approved_by"]),
        (&json!("approved"), &json!(BOB))
    );
    let executed = world.execute(&settlement_no).await.ok();
    assert_eq!(executed["status"], "processing");
    let withdrawal_no = executed["withdrawal_no"].as_str().unwrap();
    assert_eq!(world.withdrawal(withdrawal_no).await["status"], "pending");

    world.work().await;
    assert_eq!(world.withdrawal(withdrawal_no).await["status"], "processing");
    let payout = world.outside.bank.payout();
    assert_eq!(
        (&payout["amount"], &payout["currency"]),
        (&json!(8_680), &json!("EUR"))
    );
    world.bank_says("payout.completed", &payout).await.ok();

    assert_eq!(world.settlement(&settlement_no).await["status"], "completed");
    let withdrawal = world.withdrawal(withdrawal_no).await;
    assert_eq!(
        (&withdrawal["status"], &withdrawal["payout_id"]),
        (&json!("completed"), &json!("po_1"))
    );
    let told: Vec<_> = world
        .told(&settlement_no)
        .await
        .into_iter()
        .map(|(_, event)| event)
        .collect();
    assert_eq!(
        told,
        [
            "settlement.created",
            "settlement.approved",
            "settlement.processing",
            "settlement.completed"
        ]
    );
    assert_eq!(
        world.told(withdrawal_no).await,
        [
            (1, "withdrawal.created"),
            (2, "withdrawal.processing"),
            (3, "withdrawal.completed")
        ]
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_settlement_names_exactly_its_entries() {
    let world = World::new().await;
    let before = world
        .charged(world.merchant_id, 500, "EUR", "2026-03-08T23:59:58Z")
        .await;
    let inside = world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    world
        .charged(world.merchant_id, 2_000, "EUR", "2026-03-10T00:00:00Z")
        .await;
    world.charged(world.merchant_id, 4_000, "USD", NINTH).await;
    world.charged(MerchantId::generate(), 8_000, "EUR", NINTH).await;

    let body = json!({
        "merchant_id": world.merchant_id, "cycle": "daily", "currency": "EUR",
        "start_date": "2026-03-09T00:00:00Z", "end_date": "2026-03-10T00:00:00Z",
    });
    let settlement = world.post(ALICE, "/api/v1/settlements", body).await.ok();
    assert_eq!(
        (&settlement["gross_amount"], &settlement["carried_over_count"]),
        (&json!(1_500), &json!(2))
    );

    let path = format!("/api/v1/settlements/{}/entries", number(&settlement));
    let mut entries = Vec::new();
    let mut page = world.get(&format!("{path}?limit=3")).await.ok();
    entries.extend(page["data"].as_array().unwrap().clone());
    page = world
        .get(&format!(
            "{path}?limit=3&cursor={}",
            page["next_cursor"].as_str().unwrap()
        ))
        .await
        .ok();
    entries.extend(page["data"].as_array().unwrap().clone());
    assert_eq!(page["next_cursor"], Value::Null);

    let seen = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        (
            text("component"),
            entry["amount"].as_i64().unwrap(),
            text("payment_no"),
            entry["carried_over"] == true,
        )
    };
    let (before, inside) = (before.payment_no.to_string(), inside.payment_no.to_string());
    assert_eq!(
        entries.iter().map(seen).collect::<Vec<_>>(),
        [
            ("charge".to_owned(), 500, before.clone(), true),
            ("fee".to_owned(), -45, before, true),
            ("charge".to_owned(), 1_000, inside.clone(), false),
            ("fee".to_owned(), -59, inside, false),
        ]
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn an_end_in_second_59_takes_that_whole_second() {
    let world = World::new().await;
    world
        .charged(world.merchant_id, 1_000, "EUR", "2026-03-09T23:59:58.7Z")
        .await;
    let settlement = world.settle().await.ok();
    assert_eq!(settlement["gross_amount"], 1_000, "it succeeded at 23:59:59.7");
}

#[tokio::test]
async fn what_arrives_after_its_period_was_settled_is_carried_over() {
    let world = World::new().await;
    world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    world.settle().await.ok();
    world
        .charged(world.merchant_id, 2_000, "EUR", "2026-03-09T11:00:00Z")
        .await;
    world
        .charged(world.merchant_id, 4_000, "EUR", "2026-03-10T11:00:00Z")
        .await;
    let next = world.settle_period("2026-03-10", "2026-03-10").await.ok();
    assert_eq!(
        (&next["gross_amount"], &next["carried_over_count"]),
        (&json!(6_000), &json!(2))
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_refund_after_its_settlement_is_carried_until_something_outweighs_it() {
    let world = World::new().await;
    let mut payment = world.charged(world.merchant_id, 10_000, "EUR", NINTH).await;
    world.paying().await;
    let refund_no = RefundNo::generate();
    payment
        .refund(&world, PaymentEventType::RefundCreated, refund_no, 10_000)
        .await;
    payment
        .refund(&world, PaymentEventType::RefundSucceeded, refund_no, 10_000)
        .await;

    let balances = world
        .get(&format!("/api/v1/balances?merchant_id={}", world.merchant_id))
        .await
        .ok();
    assert_eq!(balances["data"][0]["payable_amount"], -10_000);
    world.settle().await.refused(422, "net-not-positive");
    world
        .charged(world.merchant_id, 10_000, "EUR", "2026-03-09T12:00:00Z")
        .await;
    world.settle().await.refused(422, "net-not-positive");
    world
        .charged(world.merchant_id, 1_000, "EUR", "2026-03-09T12:00:00Z")
        .await;

    let settlement = world.settle().await.ok();
    assert_eq!(settlement["net_amount"], 11_000 - 320 - 59 - 10_000);
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_refund_that_fails_after_it_was_settled_is_owed_again() {
    let world = World::new().await;
    let mut payment = world.charged(world.merchant_id, 10_000, "EUR", NINTH).await;
    let refund_no = RefundNo::generate();
    payment
        .refund(&world, PaymentEventType::RefundCreated, refund_no, 4_000)
        .await;
    assert_eq!(world.settle().await.ok()["net_amount"], 10_000 - 320 - 4_000);

    payment
        .refund(&world, PaymentEventType::RefundFailed, refund_no, 4_000)
        .await;
    let next = world.settle().await.ok();
    assert_eq!(
        (&next["refund_amount"], &next["net_amount"]),
        (&json!(-4_000), &json!(4_000))
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_rejected_settlement_lets_go_of_its_entries() {
    let world = World::new().await;
    world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    let first = number(&world.settle().await.ok());
    world.settle().await.refused(422, "nothing-to-settle");
    let rejected = world.reject(&first).await.ok();
    assert_eq!(
        (&rejected["status"], &rejected["rejected_by"]),
        (&json!("rejected"), &json!(BOB))
    );
    assert_eq!(
        world
            .get(&format!("/api/v1/settlements/{first}/entries"))
            .await
            .ok()["data"],
        json!([])
    );

    let second = world.settle().await.ok();
    assert_eq!(second["net_amount"], rejected["net_amount"]);
    world.approve(&first).await.refused(409, "settlement-not-pending");
    world
        .reject(&first)
        .await
        .refused(409, "settlement-not-rejectable");
    assert_eq!(
        world.told(&first).await,
        [(1, "settlement.created"), (2, "settlement.rejected")]
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn several_currencies_have_to_be_told_apart() {
    let world = World::new().await;
    world.settle().await.refused(422, "nothing-to-settle");
    world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    world.charged(world.merchant_id, 1_000, "USD", NINTH).await;
    let refused = world.settle().await;
    refused.refused(422, "currency-required");
    assert_eq!(refused.body["errors"][0]["message"], "expected one of EUR, USD");
    let body = json!({
        "merchant_id": world.merchant_id, "cycle": "daily", "currency": "USD",
        "start_date": "2026-03-09", "end_date": "2026-03-09",
    });
    assert_eq!(
        world.post(ALICE, "/api/v1/settlements", body).await.ok()["currency"],
        "USD"
    );
    assert_eq!(world.settle().await.ok()["currency"], "EUR", "the only one left");
}

#[tokio::test]
async fn steps_out_of_turn_are_refused_and_change_nothing() {
    let world = World::new().await;
    world.charged(world.merchant_id, 1_000, "EUR", NINTH).await;
    let settlement_no = number(&world.settle().await.ok());
    world
        .execute(&settlement_no)
        .await
        .refused(409, "settlement-not-approved");
    world.approve(&settlement_no).await.ok();
    world
        .approve(&settlement_no)
        .await
        .refused(409, "settlement-not-pending");
    world
        .reject(&settlement_no)
        .await
        .refused(409, "settlement-not-rejectable");
    world.execute(&settlement_no).await.ok();
    world
        .execute(&settlement_no)
        .await
        .refused(409, "settlement-not-approved");
    assert_eq!(world.told(&settlement_no).await.len(), 3);
    assert_eq!(world.count("select count(*) from withdrawals").await, 1);
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let world = World::new().await;
    let mut made = Vec::new();
    for day in ["2026-03-05", "2026-03-06", "2026-03-07"] {
        world
            .charged(world.merchant_id, 1_000, "EUR", &format!("{day}T10:00:00Z"))
            .await;
        made.push(number(&world.settle_period(day, day).await.ok()));
    }
    world.approve(&made[0]).await.ok();
    world.execute(&made[0]).await.ok();

    let first = world.get("/api/v1/settlements?limit=2").await.ok();
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let second = world
        .get(&format!("/api/v1/settlements?limit=2&cursor={cursor}"))
        .await
        .ok();
    let listed: Vec<String> = [&first, &second]
        .iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(number)
        .collect();
    made.reverse();
    assert_eq!(listed, made);
    assert_eq!(second["next_cursor"], Value::Null);

    for (filter, expected) in [
        ("status=processing", 1),
        ("status=pending_approval&currency=EUR", 2),
        ("currency=USD", 0),
        ("merchant_id=mer_01h455vb4pex5vsknk084sn02q", 0),
    ] {
        let page = world.get(&format!("/api/v1/settlements?{filter}")).await.ok();
        assert_eq!(page["data"].as_array().unwrap().len(), expected, "{filter}");
    }
    let withdrawals = world
        .get(&format!("/api/v1/withdrawals?settlement_no={}", made[2]))
        .await
        .ok();
    assert_eq!(withdrawals["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        world.get("/api/v1/withdrawals?condition=stuck").await.ok()["data"],
        json!([])
    );
    world.clock.advance(jiff::SignedDuration::from_mins(16));
    let stuck = world.get("/api/v1/withdrawals?condition=stuck").await.ok();
    assert_eq!(stuck["data"].as_array().unwrap().len(), 1);
}
