//! The bank is told once, whatever happens to its answers.

use jiff::SignedDuration;
use serde_json::json;

use crate::support::World;
use crate::support::bank::Behaviour;
use crate::support::requests::number;

const NINTH: &str = "2026-03-09T10:00:00Z";
const SECOND: SignedDuration = SignedDuration::from_secs(1);

async fn paying() -> (World, String, String) {
    let world = World::new().await;
    world.charged(world.merchant_id, 10_000, "EUR", NINTH).await;
    let (settlement_no, withdrawal_no) = world.paying().await;
    (world, settlement_no, withdrawal_no)
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_stays_processing_and_is_found_again() {
    let (world, settlement_no, withdrawal_no) = paying().await;
    world.outside.bank.next(Behaviour::PayAndMumble);
    world.work().await;
    let withdrawal = world.withdrawal(&withdrawal_no).await;
    assert_eq!(
        (&withdrawal["status"], &withdrawal["payout_id"]),
        (&json!("processing"), &json!(null))
    );

    world.outside.bank.decide("completed");
    world.work_after(SECOND).await;
    assert_eq!(world.withdrawal(&withdrawal_no).await["status"], "completed");
    assert_eq!(world.settlement(&settlement_no).await["status"], "completed");
    assert_eq!(
        world.outside.bank.books().orders.len(),
        1,
        "it was asked, not ordered again"
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn an_order_that_the_bank_does_not_know_is_repeated_with_the_same_key() {
    let (world, _, withdrawal_no) = paying().await;
    world.outside.bank.next(Behaviour::ServerError);
    world.work().await;
    assert_eq!(world.withdrawal(&withdrawal_no).await["status"], "processing");

    world.work_after(SECOND).await;
    assert_eq!(
        world.outside.bank.books().orders,
        [withdrawal_no.clone(), withdrawal_no.clone()]
    );
    assert_eq!(
        world.outside.bank.payout()["metadata"]["withdrawal_no"],
        withdrawal_no.as_str()
    );
    assert_eq!(world.withdrawal(&withdrawal_no).await["payout_id"], "po_1");
}

#[tokio::test]
async fn an_order_is_not_repeated_once_the_bank_may_have_forgotten_its_key() {
    let (world, _, withdrawal_no) = paying().await;
    world.outside.bank.next(Behaviour::ServerError);
    world.work().await;
    world.work_after(SignedDuration::from_hours(20)).await;
    world.work_after(SignedDuration::from_hours(1)).await;

    assert_eq!(world.outside.bank.books().orders.len(), 1);
    assert_eq!(world.outside.bank.books().questions, 2, "it is still asked about");
    assert_eq!(
        world.withdrawal(&withdrawal_no).await["status"],
        "processing",
        "unknown is never failed"
    );
    let stuck = world.get("/api/v1/withdrawals?condition=stuck").await.ok();
    assert_eq!(stuck["data"][0]["withdrawal_no"], withdrawal_no.as_str());
}

#[tokio::test]
async fn an_order_that_provably_did_not_leave_does_not_begin_the_twenty_hours() {
    let (world, _, withdrawal_no) = paying().await;
    // A port that was free a moment ago and is not listened on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let unreachable = format!("http://{closed}/").parse().unwrap();
    let worker = world.other_worker(&unreachable).await;
    worker
        .round(&tokio_util::sync::CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(world.withdrawal(&withdrawal_no).await["status"], "processing");
    assert_eq!(
        world
            .count("select count(*) from withdrawals where first_posted_at is null")
            .await,
        1
    );

    world.work_after(SignedDuration::from_hours(21)).await;
    assert_eq!(world.withdrawal(&withdrawal_no).await["payout_id"], "po_1");
}

#[tokio::test]
async fn a_refused_order_fails_and_its_amount_is_settled_again() {
    let (world, settlement_no, withdrawal_no) = paying().await;
    world.outside.bank.next(Behaviour::Refuse);
    world.work().await;
    let withdrawal = world.withdrawal(&withdrawal_no).await;
    assert_eq!(
        (&withdrawal["status"], &withdrawal["failure_code"]),
        (&json!("failed"), &json!("bank_rejected"))
    );
    let settlement = world.settlement(&settlement_no).await;
    assert_eq!(
        (&settlement["status"], &settlement["failure_code"]),
        (&json!("failed"), &json!("bank_rejected"))
    );
    assert_eq!(world.told(&withdrawal_no).await[2], (3, "withdrawal.failed"));
    assert_eq!(world.told(&settlement_no).await[3], (4, "settlement.failed"));

    let again = world.settle_period("2026-03-10", "2026-03-10").await.ok();
    let sums = ["gross_amount", "fee_amount", "returned_amount", "net_amount"];
    assert_eq!(sums.map(|sum| again[sum].as_i64().unwrap()), [0, 0, 9_680, 9_680]);
    world.approve(&number(&again)).await.ok();
    world.execute(&number(&again)).await.ok();
    world.work().await;
    assert_eq!(world.outside.bank.payout()["amount"], 9_680);
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_payout_whose_webhook_never_comes_is_asked_about() {
    let (world, settlement_no, withdrawal_no) = paying().await;
    world.work().await;
    world.work_after(SECOND).await;
    assert_eq!(world.withdrawal(&withdrawal_no).await["status"], "processing");
    world.outside.bank.decide("failed");
    world.work_after(SignedDuration::from_mins(1)).await;
    assert_eq!(world.withdrawal(&withdrawal_no).await["status"], "failed");
    assert_eq!(world.settlement(&settlement_no).await["status"], "failed");
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn a_return_whose_webhook_never_comes_is_noticed_the_next_day() {
    let (world, settlement_no, withdrawal_no) = paying().await;
    world.work().await;
    world
        .bank_says("payout.completed", &world.outside.bank.payout())
        .await
        .ok();
    world.outside.bank.decide("returned");
    world.work_after(SignedDuration::from_hours(24)).await;
    assert_eq!(world.withdrawal(&withdrawal_no).await["status"], "returned");
    assert_eq!(
        world.settlement(&settlement_no).await["status"],
        "completed",
        "it had been paid"
    );

    world.work_after(SignedDuration::from_hours(24 * 30)).await;
    assert_eq!(
        world
            .count("select count(*) from withdrawals where due_at is not null")
            .await,
        0
    );
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn two_replicas_order_each_payout_once() {
    let world = World::new().await;
    for day in 1..=8 {
        let day = format!("2026-03-0{day}");
        world
            .charged(world.merchant_id, 1_000, "EUR", &format!("{day}T10:00:00Z"))
            .await;
        let settlement_no = number(&world.settle_period(&day, &day).await.ok());
        world.approve(&settlement_no).await.ok();
        world.execute(&settlement_no).await.ok();
    }
    let other = world.other_worker(&world.outside.bank_url()).await;
    let never = tokio_util::sync::CancellationToken::new();
    let (one, two, three) = tokio::join!(
        world.payouts.round(&never),
        other.round(&never),
        other.round(&never)
    );
    one.and(two).and(three).unwrap();

    let mut orders = world.outside.bank.books().orders.clone();
    assert_eq!(orders.len(), 8);
    orders.sort();
    orders.dedup();
    assert_eq!(orders.len(), 8, "one order per withdrawal");
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn what_a_dead_replica_had_claimed_is_taken_over_and_ordered_under_the_same_key() {
    let (world, _, withdrawal_no) = paying().await;
    // It claimed, began, noted that the order may leave, and died before or after the call.
    sqlx::query(
        "update withdrawals set claim = gen_random_uuid(), claimed_until = $1::timestamptz + interval '40 seconds',
             status = 'processing', started_at = $1::timestamptz, first_posted_at = $1::timestamptz",
    )
    .bind(crate::support::world::NOW)
    .execute(&world.database.pool)
    .await
    .unwrap();
    world.work_after(SECOND).await;
    assert_eq!(world.outside.bank.books().questions, 0, "the claim still holds");
    world.work_after(SignedDuration::from_secs(40)).await;
    assert_eq!(world.outside.bank.books().questions, 1);
    assert_eq!(world.outside.bank.books().orders, [withdrawal_no]);
}
