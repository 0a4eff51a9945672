//! Rows that cannot be published.

use std::time::Duration;

use eventing::outbox::cli::{Command, Context, Discard, Retry};
use eventing::relay::RelaySettings;
use eventing::{Clock, Condition, KafkaSettings};
use schemas::catalogue::PAYMENTS;
use schemas::{Event, PaymentNo, codec};

use crate::support::broker::{self, first_occurrences};
use crate::support::world::lock_and_advance;
use crate::support::{World, events, eventually};

/// Commits an event of that many bytes, more or less. They do not compress.
async fn commit_large(world: &World, payment_no: PaymentNo, bytes: usize) {
    let mut tx = world.pool.begin().await.unwrap();
    let sequence = lock_and_advance(&mut tx, payment_no).await.unwrap();
    let mut event = events::payment(payment_no, sequence);
    event.order_no = std::iter::repeat_with(|| uuid::Uuid::new_v4().to_string())
        .take(bytes / 36)
        .collect();
    let appended = world.outbox.append(&mut tx, &event).await.unwrap();
    tx.commit().await.unwrap();
    world.outbox.committed(appended);
}

async fn set_aside(world: &World) -> Vec<(i64, String, String)> {
    sqlx::query_as("select seq, key, reason from eventing.outbox_set_aside order by seq")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

async fn until_set_aside(world: &World) -> (i64, String, String) {
    eventually("a row is set aside", async || set_aside(world).await.len() == 1).await;
    set_aside(world).await.remove(0)
}

fn context(world: &World) -> Context {
    Context {
        pool: world.pool.clone(),
        registry: world.registry.clone(),
        clock: Clock::system(),
    }
}

/// A payment with a small, a large and a small event, another one's three events in between, and a relay that cannot send the
/// large one.
async fn a_large_row_among_small_ones(world: &World, kafka: KafkaSettings) {
    let (blocked, free) = (PaymentNo::generate(), PaymentNo::generate());
    for payment_no in [blocked, free] {
        world.commit(payment_no).await;
    }
    commit_large(world, blocked, 40_000).await;
    for payment_no in [free, blocked, free] {
        world.commit(payment_no).await;
    }

    let mut relay = world.start_relay_with(kafka, RelaySettings::default());
    let (_, key, reason) = until_set_aside(world).await;
    eventually("the others are published", async || world.depth().await == 0).await;
    assert_eq!(key, blocked.to_string());
    assert!(reason.to_lowercase().contains("too large"), "{reason}");
    let is_told =
        |condition: &Condition| matches!(condition, Condition::Degraded(why) if why.contains("set aside"));
    relay.condition.wait_for(is_told).await.unwrap();

    // The aggregate stays blocked, and everyone else goes on.
    world.commit(blocked).await;
    world.commit(free).await;
    eventually("the others are published", async || world.depth().await == 0).await;
    relay.stop().await;
    let sent = first_occurrences(&world.records(5).await);
    assert_eq!(
        (&sent[&blocked.to_string()][..], &sent[&free.to_string()][..]),
        (&[1][..], &[1, 2, 3, 4][..])
    );
}

#[tokio::test]
async fn a_row_too_large_for_this_service_blocks_only_its_aggregate() {
    let world = World::new().await;
    let kafka = KafkaSettings {
        max_record_bytes: 20_000,
        ..world.kafka.clone()
    };
    a_large_row_among_small_ones(&world, kafka).await;
}

#[tokio::test]
async fn a_row_too_large_for_its_topic_blocks_only_its_aggregate() {
    let world = World::without_topic().await;
    broker::create_topic(&world.kafka, PAYMENTS.name, &[("max.message.bytes", "20000")]).await;
    let kafka = world.kafka.clone();
    a_large_row_among_small_ones(&world, kafka).await;
}

#[tokio::test]
async fn a_row_for_a_topic_that_does_not_exist_blocks_only_its_aggregate_and_can_be_retried() {
    let world = World::new().await;
    let (lost, fine) = (PaymentNo::generate(), PaymentNo::generate());
    world.commit(lost).await;
    sqlx::query("update eventing.outbox set topic = 'payments.elsewhere.v1'")
        .execute(&world.pool)
        .await
        .unwrap();
    world.commit(fine).await;
    let settings = RelaySettings {
        unknown_topic_grace: Duration::from_millis(1_500),
        ..RelaySettings::default()
    };
    let relay = world.start_relay_with(world.kafka.clone(), settings);

    let (seq, key, reason) = until_set_aside(&world).await;
    assert_eq!(
        world.depth().await,
        0,
        "the other topic's row did not have to wait"
    );
    assert_eq!(key, lost.to_string());
    assert_eq!(
        reason,
        format!(
            "topic {} does not exist",
            world.kafka.topic("payments.elsewhere.v1")
        )
    );

    broker::create_topic(&world.kafka, "payments.elsewhere.v1", &[]).await;
    let retry = Retry {
        seqs: vec![],
        all: true,
        operator: "alice".into(),
    };
    let told = Command::Retry(retry).execute(&context(&world)).await.unwrap();
    assert_eq!(told, format!("row {seq} will be tried again\n"));
    world.until_published().await;
    relay.stop().await;
    let records = broker::read_topic(&world.kafka, "payments.elsewhere.v1", 1).await;
    assert_eq!(records[0].key, lost.to_string());
}

#[tokio::test]
async fn a_topic_that_is_created_late_is_waited_for() {
    let world = World::without_topic().await;
    world.commit(PaymentNo::generate()).await;
    let relay = world.start_relay();
    tokio::time::sleep(Duration::from_millis(500)).await;
    broker::create_topic(&world.kafka, PAYMENTS.name, &[]).await;
    world.until_published().await;
    relay.stop().await;
    assert_eq!(set_aside(&world).await, []);
}

#[tokio::test]
async fn a_discarded_row_is_published_as_withheld_in_its_place() {
    let world = World::new().await;
    let payment_no = PaymentNo::generate();
    let kafka = KafkaSettings {
        max_record_bytes: 20_000,
        ..world.kafka.clone()
    };
    world.commit(payment_no).await;
    commit_large(&world, payment_no, 40_000).await;
    world.commit(payment_no).await;
    let relay = world.start_relay_with(kafka, RelaySettings::default());
    let (seq, _, reason) = until_set_aside(&world).await;

    let list = async || Command::List.execute(&context(&world)).await.unwrap();
    eventually("the next event is blocked as well", async || {
        list().await.contains("1 later events")
    })
    .await;
    let listed = list().await;
    for expected in [
        format!("{seq}  payments.payment.v1 {payment_no} sequence 2 (payment.processing, "),
        format!(": {reason}\n    1 later events wait behind it\n"),
    ] {
        assert!(listed.contains(&expected), "{expected:?} in {listed}");
    }
    let discard = || {
        let discard = Discard {
            seq,
            reason: "the order number is garbage".into(),
            operator: "alice".into(),
        };
        Command::Discard(discard)
    };
    discard().execute(&context(&world)).await.unwrap();
    world.until_published().await;
    relay.stop().await;

    let records = world.records(3).await;
    let sequences: Vec<i64> = records.iter().map(broker::Record::sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(records[1].headers.text("ce_type"), Some("payment.withheld"));
    let (schema_id, body) = codec::unframe(&records[1].value).unwrap();
    let schema = world.registry.schema(schema_id).await.unwrap();
    let event = codec::decode(PAYMENTS.name, &schema, body).unwrap();
    let Event::Payment(event) = &event else {
        panic!("a payment, got {event:?}")
    };
    assert_eq!(
        (event.payment_no, event.sequence, event.order_no.as_str()),
        (payment_no, 2, "")
    );

    let audited: (String, String, String, String, i64) = sqlx::query_as(
        "select action, operator, reason, set_aside_reason, sequence from eventing.outbox_audit",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        audited,
        (
            "discard".into(),
            "alice".into(),
            "the order number is garbage".into(),
            reason,
            2
        )
    );
    let again = discard().execute(&context(&world)).await.unwrap_err();
    assert_eq!(
        again.to_string(),
        format!("outbox row {seq} is not set aside; `outbox list` shows those that are")
    );
}
