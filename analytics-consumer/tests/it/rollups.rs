//! Events in any order, any number of times, give the same numbers.

use analytics_consumer::consumers::{Rollups, Rows};
use analytics_consumer::domain::scope::Scope;
use analytics_consumer::domain::stats::{Interval, Stats};
use analytics_consumer::store::events::{self, Filter};
use analytics_consumer::store::payouts;
use analytics_consumer::store::rollups::{self, Window};
use eventing::consumer::{Delivery, Handler as _};
use jiff::{SignedDuration, Timestamp};
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus};
use schemas::settlement::{SettlementEvent, SettlementEventType, SettlementStatus};
use schemas::{Currency, Event, EventId, MerchantId, PaymentNo, SettlementNo};
use sqlx::PgPool;

use crate::database::Database;

fn start() -> Timestamp {
    "2026-11-22T10:00:30Z".parse().unwrap()
}

/// The events of a payment that goes through the given statuses, a minute apart.
fn payment(merchant_id: MerchantId, statuses: &[(PaymentEventType, PaymentStatus)]) -> Vec<Event> {
    let payment_no = PaymentNo::generate();
    let mut old_status = None;
    let events = statuses
        .iter()
        .zip(0_i64..)
        .map(|((event_type, new_status), index)| {
            let event = PaymentEvent {
                event_id: EventId::generate(),
                event_type: *event_type,
                occurred_at: start() + SignedDuration::from_mins(index),
                payment_no,
                merchant_id,
                sequence: index + 1,
                old_status,
                new_status: *new_status,
                amount: 1_000,
                amount_refunded: 0,
                currency: Currency::parse("EUR").unwrap(),
                order_no: "order-1".into(),
                customer_ref: None,
                channel: "stripe".into(),
                failure_code: None,
                refund: None,
            };
            old_status = Some(*new_status);
            Event::Payment(Box::new(event))
        });
    events.collect()
}

fn charged(merchant_id: MerchantId) -> Vec<Event> {
    payment(
        merchant_id,
        &[
            (PaymentEventType::Created, PaymentStatus::Pending),
            (PaymentEventType::Processing, PaymentStatus::Processing),
            (PaymentEventType::Succeeded, PaymentStatus::Success),
        ],
    )
}

fn declined(merchant_id: MerchantId) -> Vec<Event> {
    payment(
        merchant_id,
        &[
            (PaymentEventType::Created, PaymentStatus::Pending),
            (PaymentEventType::Failed, PaymentStatus::Failed),
        ],
    )
}

/// As the runtime does it: the first half in batches of one, and the rest in one batch.
async fn consume(pool: &PgPool, events: impl IntoIterator<Item = Event>) {
    let events: Vec<Event> = events.into_iter().collect();
    let (singly, together) = events.split_at(events.len() / 2);
    for event in singly {
        consume_batch(pool, std::slice::from_ref(event)).await;
    }
    consume_batch(pool, together).await;
}

async fn consume_batch(pool: &PgPool, events: &[Event]) {
    let mut tx = pool.begin().await.unwrap();
    let mut rows = Rows::default();
    for event in events {
        let delivery = Delivery::sample("payments.payment.v1", event.clone());
        Rollups.apply(&mut tx, &mut rows, &delivery, &()).await.unwrap();
    }
    Rollups.flush(&mut tx, rows).await.unwrap();
    tx.commit().await.unwrap();
}

async fn stats(pool: &PgPool, scope: Scope) -> Stats {
    let window = Window {
        start: start() - SignedDuration::from_hours(1),
        end: start() + SignedDuration::from_hours(1),
        interval: Interval::Minute,
        channel: None,
    };
    Stats::of(&rollups::groups(pool, scope, &window).await.unwrap())
}

#[tokio::test]
async fn order_and_repetition_do_not_matter() {
    let database = Database::create().await;
    let merchant = MerchantId::generate();
    let in_order: Vec<Event> = [charged(merchant), charged(merchant), declined(merchant)].concat();
    consume(&database.pool, in_order.iter().rev().cloned()).await;
    let backwards = stats(&database.pool, Scope::Merchant(merchant)).await;
    consume(&database.pool, in_order.clone()).await;

    let twice = stats(&database.pool, Scope::Merchant(merchant)).await;

    assert_eq!(twice, backwards);
    assert_eq!(
        (twice.total.payments, twice.total.succeeded, twice.total.failed),
        (3, 2, 1)
    );
    assert_eq!(twice.total.volume["EUR"].amount, 2_000);
    let listed = events::list(&database.pool, Scope::All, &Filter::default(), 100)
        .await
        .unwrap();
    assert_eq!(listed.len(), in_order.len(), "a repeated event was listed twice");
    database.drop().await;
}

#[tokio::test]
async fn a_payment_counts_in_the_interval_of_its_first_event() {
    let database = Database::create().await;
    let merchant = MerchantId::generate();
    consume(&database.pool, charged(merchant).into_iter().rev()).await;
    let series = stats(&database.pool, Scope::All).await.series;
    let minute: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    assert_eq!(
        series.iter().map(|point| point.start_ms).collect::<Vec<_>>(),
        [minute.as_millisecond()]
    );
    database.drop().await;
}

#[tokio::test]
async fn a_merchant_sees_its_own_only() {
    let database = Database::create().await;
    let (own, other) = (MerchantId::generate(), MerchantId::generate());
    consume(
        &database.pool,
        [charged(own), declined(other), charged(other)].concat(),
    )
    .await;
    assert_eq!(
        stats(&database.pool, Scope::Merchant(own)).await.total.payments,
        1
    );
    assert_eq!(stats(&database.pool, Scope::All).await.total.payments, 3);
    let listed = events::list(&database.pool, Scope::Merchant(own), &Filter::default(), 100)
        .await
        .unwrap();
    assert!(listed.len() == 3 && listed.iter().all(|row| row.merchant_id == own));
    database.drop().await;
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_overlap() {
    let database = Database::create().await;
    let merchant = MerchantId::generate();
    consume(
        &database.pool,
        [charged(merchant), declined(merchant), charged(merchant)].concat(),
    )
    .await;
    let all = events::list(&database.pool, Scope::All, &Filter::default(), 100)
        .await
        .unwrap();
    let mut paged = Vec::new();
    let mut filter = Filter::default();
    loop {
        let page = events::list(&database.pool, Scope::All, &filter, 3)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        filter.after = Some((last.occurred_at, last.event_id));
        paged.extend(page);
    }
    let ids = |rows: &[events::Row]| rows.iter().map(|row| row.event_id).collect::<Vec<_>>();
    assert_eq!(ids(&paged), ids(&all));
    database.drop().await;
}

#[tokio::test]
async fn a_settlement_only_moves_forward() {
    let database = Database::create().await;
    let created = SettlementEvent {
        event_id: EventId::generate(),
        event_type: SettlementEventType::Created,
        occurred_at: start(),
        settlement_no: SettlementNo::generate(),
        merchant_id: MerchantId::generate(),
        sequence: 1,
        old_status: None,
        new_status: SettlementStatus::PendingApproval,
        gross_amount: 1_000,
        refund_amount: 0,
        fee_amount: 50,
        returned_amount: 0,
        net_amount: 950,
        currency: Currency::parse("EUR").unwrap(),
        period_start: start(),
        period_end: start(),
        entry_count: 2,
        withdrawal_no: None,
    };
    let approved = SettlementEvent {
        event_type: SettlementEventType::Approved,
        sequence: 2,
        new_status: SettlementStatus::Approved,
        ..created.clone()
    };
    let event = |event: &SettlementEvent| Event::Settlement(Box::new(event.clone()));
    consume(
        &database.pool,
        [event(&approved), event(&created), event(&approved)],
    )
    .await;
    let by_status = payouts::by_status(&database.pool, Scope::All, "settlement")
        .await
        .unwrap();
    assert_eq!(
        by_status.into_iter().collect::<Vec<_>>(),
        [("approved".to_owned(), 1)]
    );
    database.drop().await;
}
