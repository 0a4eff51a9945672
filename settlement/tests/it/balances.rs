//! What merchants and staff see of the ledger.

use schemas::ids::RefundNo;
use schemas::payment::PaymentEventType;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::requests::ALICE;

const NINTH: &str = "2026-03-09T10:00:00Z";

async fn balance(world: &World) -> Value {
    let answer = world
        .get_as_merchant(world.merchant_id, "/api/v1/balances")
        .await
        .ok();
    answer["data"][0].clone()
}

#[tokio::test]
async fn a_balance_follows_the_money_to_the_bank() {
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
    let sums = [
        "payable_amount",
        "unsettled_amount",
        "refunds_held_amount",
        "in_transit_amount",
        "paid_out_amount",
        "fee_amount",
    ];
    let seen = async || {
        let balance = balance(&world).await;
        sums.map(|sum| balance[sum].as_i64().unwrap())
    };
    assert_eq!(seen().await, [8_680, 8_680, 1_000, 0, 0, 320]);
    world.paying().await;
    assert_eq!(seen().await, [0, 0, 1_000, 8_680, 0, 320]);
    world.work().await;
    let payout = world.outside.bank.payout();
    world.bank_says("payout.completed", &payout).await.ok();
    assert_eq!(seen().await, [0, 0, 1_000, 0, 8_680, 320]);
    world.bank_says("payout.returned", &payout).await.ok();
    assert_eq!(seen().await, [8_680, 8_680, 1_000, 0, 0, 320]);
}

#[tokio::test]
async fn the_trial_balance_is_balanced_in_every_currency() {
    let world = World::new().await;
    assert_eq!(
        world.get("/api/v1/trial-balance").await.ok(),
        json!({"balanced": true, "currencies": []})
    );
    world.charged(world.merchant_id, 10_000, "EUR", NINTH).await;
    world.charged(world.merchant_id, 1_000, "JPY", NINTH).await;
    let trial = world.get("/api/v1/trial-balance").await.ok();
    assert_eq!(trial["balanced"], true);
    let euro = &trial["currencies"][0];
    assert_eq!(
        (&euro["currency"], &euro["debit"], &euro["credit"]),
        (&json!("EUR"), &json!(10_320), &json!(10_320))
    );
    let accounts: Vec<_> = euro["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| (&account["account"], &account["balance"]))
        .collect();
    assert_eq!(
        accounts,
        [
            (&json!("fees"), &json!(-320)),
            (&json!("merchant_payable"), &json!(-9_680)),
            (&json!("psp_receivable"), &json!(10_000)),
        ]
    );
    assert_eq!(trial["currencies"][1]["currency"], "JPY");
}

#[tokio::test]
async fn terms_are_shown_with_their_versions() {
    let world = World::new().await;
    let path = format!("/api/v1/merchants/{}/terms", world.merchant_id);
    let default = world.get_as_merchant(world.merchant_id, &path).await.ok();
    assert_eq!(
        (&default["basis_points"], &default["is_default"]),
        (&json!(290), &json!(true))
    );
    world
        .put(ALICE, &path, json!({"basis_points": 150, "fixed_minor": 10}))
        .await
        .ok();
    let later = json!({"basis_points": 100, "fixed_minor": 0, "valid_from": "2026-04-01T00:00:00Z"});
    let terms = world.put(ALICE, &path, later).await.ok();
    assert_eq!(
        (&terms["basis_points"], &terms["is_default"]),
        (&json!(150), &json!(false))
    );
    assert_eq!(terms["versions"][0]["valid_from"], "2026-04-01T00:00:00Z");
    assert_eq!(
        (
            &terms["versions"][1]["basis_points"],
            &terms["versions"][1]["set_by"]
        ),
        (&json!(150), &json!(ALICE))
    );
}
