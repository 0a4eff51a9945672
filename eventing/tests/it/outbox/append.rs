use eventing::headers::CloudEvent;
use eventing::outbox::AppendError;
use eventing::{Clock, Outbox};
use schemas::payment::PaymentEventType;
use schemas::{DomainEvent as _, Event, PaymentNo, codec};

use crate::support::{World, broker, events};

#[tokio::test]
async fn an_event_arrives_as_it_was_appended() {
    let world = World::new().await;
    let event = events::payment(PaymentNo::generate(), 1);
    let mut tx = world.pool.begin().await.unwrap();
    let appended = world.outbox.append(&mut tx, &event).await.unwrap();
    tx.commit().await.unwrap();
    world.outbox.committed(appended);

    let relay = world.start_relay();
    world.until_published().await;
    relay.stop().await;

    let records = world.records(1).await;
    let [record] = &records[..] else {
        panic!("one record, got {records:?}")
    };
    assert_eq!(record.key, event.payment_no.to_string());
    let (schema_id, body) = codec::unframe(&record.value).unwrap();
    let schema = world.registry.schema(schema_id).await.unwrap();
    let decoded = codec::decode("payments.payment.v1", &schema, body).unwrap();
    assert_eq!(decoded, Event::Payment(Box::new(event.clone())));
    let headers = CloudEvent::from_headers(&record.headers).unwrap();
    assert_eq!(
        (
            headers.id,
            headers.event_type.as_str(),
            headers.source.as_str(),
            headers.subject.as_str()
        ),
        (
            event.event_id.uuid(),
            "payment.processing",
            "payment-gateway",
            record.key.as_str()
        )
    );
    assert_eq!((headers.time, headers.sequence), (event.occurred_at, 1));
    assert_eq!(record.headers.text("content-type"), Some("application/avro"));
}

#[tokio::test]
async fn what_is_rolled_back_never_appears() {
    let world = World::new().await;
    let payment_no = PaymentNo::generate();
    let mut tx = world.pool.begin().await.unwrap();
    world.transition(&mut tx, PaymentNo::generate()).await.unwrap();
    tx.rollback().await.unwrap();
    world.commit(payment_no).await;

    let relay = world.start_relay();
    world.until_published().await;
    relay.stop().await;

    let records = world.records(1).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key, payment_no.to_string());
}

#[tokio::test]
async fn an_event_that_cannot_be_is_refused_with_its_name() {
    let world = World::without_topic().await;
    let payment_no = PaymentNo::generate();
    let mut tx = world.pool.begin().await.unwrap();

    let zero = world
        .outbox
        .append(&mut tx, &events::payment(payment_no, 0))
        .await
        .unwrap_err();
    assert_eq!(
        zero.to_string(),
        format!("event payment.processing of {payment_no} has sequence 0, expected 1 or more")
    );

    let withheld = events::payment(payment_no, 1).withheld();
    let withheld = world.outbox.append(&mut tx, &withheld).await.unwrap_err();
    assert!(
        matches!(
            withheld,
            AppendError::EventType {
                event_type: "payment.withheld",
                ..
            }
        ),
        "{withheld}"
    );

    let mut unknown = events::payment(payment_no, 1);
    unknown.event_type = PaymentEventType::Unknown;
    let unknown = world.outbox.append(&mut tx, &unknown).await.unwrap_err();
    assert!(
        matches!(
            unknown,
            AppendError::EventType {
                event_type: "unknown",
                ..
            }
        ),
        "{unknown}"
    );

    let notifier = Outbox::load("notifier", &world.registry, Clock::system())
        .await
        .unwrap();
    let foreign = notifier
        .append(&mut tx, &events::payment(payment_no, 1))
        .await
        .unwrap_err();
    assert_eq!(
        foreign.to_string(),
        r#"service "notifier" is not the writer of topic payments.payment.v1, which is "payment-gateway""#
    );
}

#[tokio::test]
async fn an_aggregate_s_events_arrive_in_order_under_concurrent_transitions() {
    let world = World::new().await;
    let relay = world.start_relay();
    let payments: Vec<PaymentNo> = std::iter::repeat_with(PaymentNo::generate).take(5).collect();

    // Eight tasks take turns at five aggregates, and every seventh transition is rolled back.
    let writers = (0..8).map(|writer| {
        let (world, payments) = (&world, &payments);
        async move {
            for step in 0..50 {
                let payment_no = payments[(writer + step) % payments.len()];
                let mut tx = world.pool.begin().await.unwrap();
                world.transition(&mut tx, payment_no).await.unwrap();
                if (writer + step) % 7 == 0 {
                    tx.rollback().await.unwrap();
                } else {
                    tx.commit().await.unwrap();
                }
            }
        }
    });
    futures::future::join_all(writers).await;
    world.until_published().await;
    relay.stop().await;

    let committed: i64 = sqlx::query_scalar("select sum(sequence)::bigint from payments")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    let records = world.records(usize::try_from(committed).unwrap()).await;
    assert_eq!(records.len(), usize::try_from(committed).unwrap());
    broker::assert_in_order_without_gap(&records);
}
