//! A broker that cannot be reached, or whose answers get lost.

use eventing::Condition;
use eventing::relay::RelaySettings;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;

use super::doubles;
use crate::support::broker::{Record, assert_in_order_without_gap, first_occurrences};
use crate::support::proxy::{Fault, Proxy};
use crate::support::{World, eventually};

#[tokio::test]
async fn a_broker_that_is_gone_holds_everything_and_loses_nothing() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.kafka).await;
    let mut relay = world.start_relay_with(proxy.settings(&world.kafka), RelaySettings::default());
    let payment_no = PaymentNo::generate();
    world.commit(payment_no).await;
    world.until_published().await;

    proxy.set(Fault::Unreachable);
    for _ in 0..20 {
        world.commit(payment_no).await;
    }
    let degraded = relay
        .condition
        .wait_for(|condition| *condition != Condition::Up)
        .await
        .unwrap()
        .clone();
    assert!(
        matches!(&degraded, Condition::Degraded(reason) if reason.contains("Kafka")),
        "{degraded:?}"
    );
    assert_eq!(world.depth().await, 20);

    proxy.set(Fault::None);
    world.until_published().await;
    relay
        .condition
        .wait_for(|condition| *condition == Condition::Up)
        .await
        .unwrap();
    relay.stop().await;
    assert_in_order_without_gap(&world.records(21).await);
}

#[tokio::test]
async fn a_broker_that_is_gone_when_the_relay_starts_is_waited_for() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.kafka).await;
    proxy.set(Fault::Unreachable);
    world.commit(PaymentNo::generate()).await;
    let mut relay = world.start_relay_with(proxy.settings(&world.kafka), RelaySettings::default());
    relay
        .condition
        .wait_for(|condition| *condition != Condition::Up)
        .await
        .unwrap();

    proxy.set(Fault::None);
    world.until_published().await;
    relay.stop().await;
    assert_eq!(world.records(1).await.len(), 1);
}

#[tokio::test]
async fn lost_answers_are_no_failures_and_make_no_gap() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.kafka).await;
    let relay = world.start_relay_with(proxy.settings(&world.kafka), RelaySettings::default());
    let payment_no = PaymentNo::generate();

    for fault in [Fault::LoseProduceAnswers, Fault::LoseProduceRequests] {
        let lost = proxy.lost();
        proxy.set(fault);
        world.commit(payment_no).await;
        eventually("something is lost", async || proxy.lost() > lost).await;
        world.commit(payment_no).await;
        assert_eq!(
            world.depth().await,
            2,
            "neither is taken for published, whether it is or not"
        );
        proxy.set(Fault::None);
        world.until_published().await;
    }
    relay.stop().await;

    let records = world.records(4).await;
    assert_in_order_without_gap(&records);
    assert_eq!(
        records.len(),
        4,
        "a resent record is not written twice within one producer"
    );
}

/// Sends two events of one aggregate while requests, or the answers to them, get lost for a while. Returns what the producer
/// reports for the first.
async fn sent_by_a_producer_that_gives_up(world: &World, fault: Fault) -> (bool, Vec<Record>) {
    let proxy = Proxy::start(&world.kafka).await;
    let config = doubles::giving_up(proxy.settings(&world.kafka).producer("gives-up"));
    let producer: FutureProducer = config.create().unwrap();
    let topic = world.kafka.topic(PAYMENTS.name);
    let send = async |sequence: i64| {
        let mut headers = eventing::headers::RecordHeaders::new();
        headers.push("ce_sequence", sequence.to_string());
        let record = FutureRecord::to(&topic)
            .key("some payment")
            .payload("")
            .headers(headers.to_kafka());
        producer.send(record, Timeout::Never).await
    };
    // Connections and metadata are there before anything gets lost.
    producer
        .send(
            FutureRecord::to(&topic).key("another payment").payload(""),
            Timeout::Never,
        )
        .await
        .unwrap();
    proxy.set(fault);
    let first = send(1).await;
    proxy.set(Fault::None);
    send(2).await.unwrap();
    let mut records = world.records(2).await;
    records.retain(|record| record.key == "some payment");
    (first.is_ok(), records)
}

#[tokio::test]
async fn a_timed_out_record_may_or_may_not_have_been_written() {
    // Not written, and its successor is: a gap, which no later attempt at the first can close.
    let world = World::new().await;
    let (reported, records) = sent_by_a_producer_that_gives_up(&world, Fault::LoseProduceRequests).await;
    assert_eq!(
        (reported, &first_occurrences(&records)["some payment"][..]),
        (false, &[2][..])
    );

    // Written, and reported as not.
    let world = World::new().await;
    let (reported, records) = sent_by_a_producer_that_gives_up(&world, Fault::LoseProduceAnswers).await;
    assert_eq!(
        (reported, &first_occurrences(&records)["some payment"][..]),
        (false, &[1, 2][..])
    );
}
