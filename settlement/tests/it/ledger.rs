//! Events of payments become entries, once, and nothing takes them back.

use schemas::ids::{MerchantId, PaymentNo, RefundNo};
use schemas::payment::PaymentEventType;
use sqlx::Executor as _;

use crate::support::{Payment, World};

impl World {
    /// The balance of an account over all merchants and currencies, a debit being positive.
    async fn balance(&self, account: &str) -> i64 {
        sqlx::query_scalar("select coalesce(sum(amount), 0)::bigint from ledger_entries where account = $1")
            .bind(account)
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }

    async fn refuses(&self, event: schemas::payment::PaymentEvent, reason: &str) {
        let before = self.count("select count(*) from ledger_entries").await;
        let failure = self.apply(event).await.unwrap_err().to_string();
        assert!(failure.contains(reason), "{failure}");
        assert_eq!(self.count("select count(*) from ledger_entries").await, before);
    }
}

#[tokio::test]
async fn every_step_of_a_payment_and_its_refunds_is_booked() {
    let world = World::new().await;
    let mut payment = Payment::new(world.merchant_id, 10_000, "EUR", "2026-03-09T10:00:00Z");
    let (failing, succeeding) = (RefundNo::generate(), RefundNo::generate());
    for event_type in [PaymentEventType::Created, PaymentEventType::Processing] {
        let event = payment.event(event_type, None);
        world.apply(event).await.unwrap();
    }
    assert_eq!(world.count("select count(*) from ledger_transactions").await, 0);

    payment.succeed(&world).await;
    assert_eq!(world.balance("psp_receivable").await, 10_000);
    assert_eq!(world.balance("merchant_payable").await, -(10_000 - 320));
    assert_eq!(world.balance("fees").await, -320);

    payment
        .refund(&world, PaymentEventType::RefundCreated, failing, 4_000)
        .await;
    assert_eq!(world.balance("refunds_held").await, -4_000);
    assert_eq!(world.balance("merchant_payable").await, -(10_000 - 320 - 4_000));

    payment
        .refund(&world, PaymentEventType::RefundFailed, failing, 4_000)
        .await;
    assert_eq!(world.balance("refunds_held").await, 0);
    assert_eq!(world.balance("merchant_payable").await, -(10_000 - 320));

    payment
        .refund(&world, PaymentEventType::RefundCreated, succeeding, 2_500)
        .await;
    payment
        .refund(&world, PaymentEventType::RefundSucceeded, succeeding, 2_500)
        .await;
    assert_eq!(world.balance("psp_receivable").await, 7_500);
    assert_eq!(world.balance("refunds_held").await, 0);
    assert_eq!(world.balance("fees").await, -320, "the fee is not returned");
    world.assert_books_are_in_order().await;
}

#[tokio::test]
async fn an_event_that_contradicts_the_books_is_dead_and_books_nothing() {
    let world = World::new().await;
    let mut payment = world
        .charged(world.merchant_id, 1_000, "EUR", "2026-03-09T10:00:00Z")
        .await;
    let no = RefundNo::generate();

    let again = payment.event(PaymentEventType::Succeeded, None);
    world
        .refuses(again, "contradicts_ledger: the payment is already charged")
        .await;
    let never_held = payment.event(PaymentEventType::RefundSucceeded, Some((no, 10)));
    world.refuses(never_held, "the refund was never held").await;
    let too_much = payment.event(PaymentEventType::RefundCreated, Some((no, 1_001)));
    world.refuses(too_much, "exceed its charge by 1").await;
    let nothing = payment.event(PaymentEventType::RefundCreated, Some((no, 0)));
    world.refuses(nothing, "positive").await;
    let without = payment.event(PaymentEventType::RefundCreated, None);
    world.refuses(without, "refund_missing").await;
    let unknown = payment.event(PaymentEventType::Unknown, None);
    world.refuses(unknown, "unknown_event_type").await;

    let mut other = payment.clone();
    other.merchant_id = MerchantId::generate();
    let foreign = other.event(PaymentEventType::RefundCreated, Some((no, 10)));
    world.refuses(foreign, "another merchant").await;
}

#[tokio::test]
async fn the_same_event_cannot_be_booked_twice_even_if_it_is_delivered_so() {
    let world = World::new().await;
    let mut payment = Payment::new(world.merchant_id, 1_000, "EUR", "2026-03-09T10:00:00Z");
    let event = payment.event(PaymentEventType::Succeeded, None);
    world.apply(event.clone()).await.unwrap();
    // Under another payment's number, so that only the event's id can tell.
    let twin = schemas::payment::PaymentEvent {
        payment_no: PaymentNo::generate(),
        ..event
    };
    world.refuses(twin, "ledger_transactions_event_booked_once").await;
}

#[tokio::test]
async fn two_deliveries_at_once_book_a_charge_once() {
    let world = World::new().await;
    let mut payment = Payment::new(world.merchant_id, 1_000, "EUR", "2026-03-09T10:00:00Z");
    let event = payment.event(PaymentEventType::Succeeded, None);
    let (one, other) = tokio::join!(world.apply(event.clone()), world.apply(event));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(world.count("select count(*) from ledger_transactions").await, 1);
}

#[tokio::test]
async fn a_charge_is_priced_by_the_terms_of_its_own_time() {
    let world = World::new().await;
    let terms = format!("/api/v1/merchants/{}/terms", world.merchant_id);
    let set =
        serde_json::json!({"basis_points": 100, "fixed_minor": 0, "valid_from": "2026-03-11T00:00:00Z"});
    world.put("staff_alice", &terms, set).await.ok();

    world
        .charged(world.merchant_id, 10_000, "EUR", "2026-03-10T23:00:00Z")
        .await;
    assert_eq!(world.balance("fees").await, -320, "the default still");
    world
        .charged(world.merchant_id, 10_000, "EUR", "2026-03-11T00:00:00Z")
        .await;
    assert_eq!(world.balance("fees").await, -420, "one percent from then on");
    world
        .charged(MerchantId::generate(), 10_000, "EUR", "2026-03-12T00:00:00Z")
        .await;
    assert_eq!(world.balance("fees").await, -740, "others pay the default");
    world
        .charged(world.merchant_id, 10_000, "EUR", "2026-03-10T22:00:00Z")
        .await;
    assert_eq!(
        world.balance("fees").await,
        -1_060,
        "a late event is priced by its own time"
    );
}

#[tokio::test]
async fn the_database_refuses_what_does_not_balance_and_what_would_change_the_past() {
    let world = World::new().await;
    world
        .charged(world.merchant_id, 1_000, "EUR", "2026-03-09T10:00:00Z")
        .await;
    for (statement, constraint) in [
        (
            "insert into ledger_entries (transaction_id, account, merchant_id, currency, amount)
             select id, 'bank', merchant_id, currency, 1 from ledger_transactions",
            "ledger_transactions_sum_to_zero",
        ),
        (
            "insert into ledger_entries (transaction_id, account, merchant_id, currency, amount)
             select id, 'bank', merchant_id, unnest(array['EUR', 'USD']), unnest(array[1, -1]) from ledger_transactions",
            "ledger_transactions_sum_to_zero",
        ),
        ("update ledger_entries set amount = amount + 1", "ledger_is_append_only"),
        ("update ledger_transactions set amount = 1", "ledger_is_append_only"),
        ("delete from ledger_entries", "ledger_is_append_only"),
        ("delete from ledger_transactions", "ledger_is_append_only"),
        ("truncate ledger_entries, settlement_lines", "ledger_is_append_only"),
    ] {
        let error = world.database.pool.execute(statement).await.unwrap_err();
        let refused = error.as_database_error().and_then(|error| error.constraint().map(str::to_owned));
        assert_eq!(refused.as_deref(), Some(constraint), "{statement}: {error}");
    }
}
