//! The bank's webhooks: twice, late, out of order, forged.

use jiff::SignedDuration;
use platform::signature::Signature;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::requests::number;
use crate::support::world::WEBHOOK_SECRET;

/// A payout that the bank has accepted: settlement, withdrawal, and the payout as the bank has it.
async fn paid() -> (World, String, String, Value) {
    let world = World::new().await;
    world
        .charged(world.merchant_id, 10_000, "EUR", "2026-03-09T10:00:00Z")
        .await;
    let (settlement_no, withdrawal_no) = world.paying().await;
    world.work().await;
    let payout = world.outside.bank.payout();
    (world, settlement_no, withdrawal_no, payout)
}

#[tokio::test]
async fn a_webhook_that_comes_twice_changes_nothing_the_second_time() {
    let (world, settlement_no, withdrawal_no, payout) = paid().await;
    let said = || world.bank_says("payout.completed", &payout);
    let (one, two, three, ()) = tokio::join!(
        said(),
        said(),
        said(),
        world.work_after(SignedDuration::from_secs(1))
    );
    for answer in [one, two, three, said().await] {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(world.told(&withdrawal_no).await.len(), 3);
    assert_eq!(world.told(&settlement_no).await.len(), 4);
    assert_eq!(
        world
            .count("select count(*) from ledger_transactions where kind = 'payout_completed'")
            .await,
        1
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_webhook_that_overtakes_the_answer_is_taken() {
    let world = World::new().await;
    world
        .charged(world.merchant_id, 10_000, "EUR", "2026-03-09T10:00:00Z")
        .await;
    let (_, withdrawal_no) = world.paying().await;
    world
        .outside
        .bank
        .next(crate::support::bank::Behaviour::PayAndMumble);
    world.work().await;
    assert_eq!(world.withdrawal(&withdrawal_no).await["payout_id"], Value::Null);
    world
        .bank_says("payout.completed", &world.outside.bank.payout())
        .await
        .ok();
    let withdrawal = world.withdrawal(&withdrawal_no).await;
    assert_eq!(
        (&withdrawal["status"], &withdrawal["payout_id"]),
        (&json!("completed"), &json!("po_1"))
    );
}

#[tokio::test]
async fn a_return_that_overtakes_the_completion_ends_the_same() {
    let (world, settlement_no, withdrawal_no, payout) = paid().await;
    world.bank_says("payout.returned", &payout).await.ok();
    assert_eq!(world.bank_says("payout.completed", &payout).await.status, 200);
    assert_eq!(world.withdrawal(&withdrawal_no).await["status"], "returned");
    assert_eq!(world.settlement(&settlement_no).await["status"], "failed");
    assert_eq!(world.withdrawal(&withdrawal_no).await["conflict"], Value::Null);
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_payout_that_comes_back_is_settled_again() {
    let (world, settlement_no, withdrawal_no, payout) = paid().await;
    world.bank_says("payout.completed", &payout).await.ok();
    world.bank_says("payout.returned", &payout).await.ok();
    assert_eq!(world.bank_says("payout.returned", &payout).await.status, 200);
    assert_eq!(world.settlement(&settlement_no).await["status"], "completed");
    let withdrawal = world.withdrawal(&withdrawal_no).await;
    let expected = (&json!("returned"), &json!("returned_by_bank"));
    assert_eq!((&withdrawal["status"], &withdrawal["failure_code"]), expected);
    assert_eq!(world.told(&withdrawal_no).await[3], (4, "withdrawal.returned"));

    let again = world.settle_period("2026-03-10", "2026-03-10").await.ok();
    assert_eq!(
        (&again["returned_amount"], &again["net_amount"]),
        (&json!(9_680), &json!(9_680))
    );
    let entries = world
        .get(&format!("/api/v1/settlements/{}/entries", number(&again)))
        .await
        .ok();
    assert_eq!(entries["data"][0]["withdrawal_no"], withdrawal_no.as_str());
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_signature_is_needed_and_must_be_fresh() {
    let (world, _, withdrawal_no, payout) = paid().await;
    let body = json!({"type": "payout.completed", "data": {"payout": payout}}).to_string();
    let sign = |secret: &str, at: SignedDuration| {
        Signature::sign_webhook(secret.as_bytes(), world.clock.now() + at, body.as_bytes()).to_string()
    };
    let soon = SignedDuration::ZERO;
    world
        .webhook(None, body.clone())
        .await
        .refused(401, "signature-missing");
    world
        .webhook(Some("nonsense"), body.clone())
        .await
        .refused(401, "signature-malformed");
    let forged = sign("another secret", soon);
    world
        .webhook(Some(&forged), body.clone())
        .await
        .refused(401, "signature-mismatch");
    let other_body = body.replace("completed", "failed");
    world
        .webhook(Some(&sign(WEBHOOK_SECRET, soon)), other_body)
        .await
        .refused(401, "signature-mismatch");
    for away in [-301, 301] {
        let stale = sign(WEBHOOK_SECRET, SignedDuration::from_secs(away));
        world
            .webhook(Some(&stale), body.clone())
            .await
            .refused(401, "signature-stale");
    }
    assert_eq!(world.withdrawal(&withdrawal_no).await["status"], "processing");
    let old_enough = sign(WEBHOOK_SECRET, SignedDuration::from_secs(-300));
    world.webhook(Some(&old_enough), body).await.ok();
}

#[tokio::test]
async fn what_is_signed_and_not_what_was_ordered_is_kept_for_staff_and_moves_no_money() {
    let (world, _, withdrawal_no, payout) = paid().await;
    for (field, value) in [
        ("amount", json!(1)),
        ("currency", json!("USD")),
        ("id", json!("po_other")),
    ] {
        let mut other = payout.clone();
        other[field] = value;
        world
            .bank_says("payout.completed", &other)
            .await
            .refused(422, "payout-mismatch");
    }
    let withdrawal = world.withdrawal(&withdrawal_no).await;
    assert_eq!(
        (&withdrawal["status"], &withdrawal["conflict"]),
        (&json!("processing"), &json!("other_amount"))
    );
    let listed = world.get("/api/v1/withdrawals?condition=conflict").await.ok();
    assert_eq!(listed["data"][0]["withdrawal_no"], withdrawal_no.as_str());
    assert_eq!(world.told(&withdrawal_no).await.len(), 2);

    let mut unknown = payout.clone();
    unknown["metadata"]["withdrawal_no"] = json!("wdr_01h455vb4pex5vsknk084sn02q");
    world
        .bank_says("payout.completed", &unknown)
        .await
        .refused(404, "not-found");
    unknown["metadata"]["withdrawal_no"] = json!("something else");
    world
        .bank_says("payout.completed", &unknown)
        .await
        .refused(422, "event-unreadable");
    world.bank_says("account.updated", &payout).await.ok();
}

#[tokio::test]
async fn a_payout_that_is_paid_after_it_had_failed_is_a_conflict_and_not_dropped() {
    let (world, _, withdrawal_no, payout) = paid().await;
    world.bank_says("payout.failed", &payout).await.ok();
    assert_eq!(world.bank_says("payout.completed", &payout).await.status, 200);
    let withdrawal = world.withdrawal(&withdrawal_no).await;
    assert_eq!(
        (&withdrawal["status"], &withdrawal["conflict"]),
        (&json!("failed"), &json!("paid_after_failing"))
    );
    world.assert_books_are_in_order().await;
}
