//! A handler that stands still.

use std::time::Duration;

use eventing::Condition;
use eventing::consumer::Resources;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use schemas::PaymentNo;
use uuid::Uuid;

use super::script::Script;
use super::stage::{Stage, ordered};
use crate::support::proxy::Proxy;
use crate::support::{events, eventually};

/// What brokers allow at least; it is also how long a member may leave its client alone.
const PATIENCE: Duration = Duration::from_secs(6);
const EVENTS: usize = 1_500;
/// Random, so that nothing of it is compressed away.
const UUIDS_PER_EVENT: usize = 2_000;
const EVENT_BYTES: usize = UUIDS_PER_EVENT * 32;
/// What may be read ahead: the queues' 32 MiB, what Kafka's client fetches ahead by itself, and a fetch that is on its way.
const MAX_AHEAD_BYTES: usize = 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_stands_still_costs_bounded_memory_and_no_membership() {
    let stage = Stage::new(ordered().handler_deadline(Duration::from_mins(2))).await;
    send_large(&stage).await;
    let proxy = Proxy::start(&stage.kafka).await;
    let mut kafka = proxy.settings(&stage.kafka);
    for property in ["session.timeout.ms", "max.poll.interval.ms"] {
        let patience = PATIENCE.as_millis().to_string();
        kafka.properties.insert(property.to_owned(), patience);
    }
    let resources = Resources {
        kafka,
        ..stage.resources()
    };
    let (script, gate) = Script::default().gated();
    let member = stage.start_with(script.clone(), resources);
    eventually("the handler stands still", async || !script.calls().is_empty()).await;
    let joined_as = member_id(&stage).await;

    // Twice as long as a broker waits for a member, and until nothing is read any more.
    let mut read = 0;
    let mut quiet_for = Duration::ZERO;
    while quiet_for < PATIENCE * 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = proxy.answered_bytes();
        // Heartbeats and empty answers go on.
        quiet_for = if now - read < 64 * 1024 {
            quiet_for + Duration::from_secs(1)
        } else {
            Duration::ZERO
        };
        read = now;
        assert!(
            read < MAX_AHEAD_BYTES,
            "{read} of {} bytes were read",
            EVENTS * EVENT_BYTES
        );
    }
    assert_eq!(member_id(&stage).await, joined_as);
    assert_eq!(*member.condition.borrow(), Condition::Up);

    gate.add_permits(EVENTS * 2);
    stage.until_count("applied", i64::try_from(EVENTS).unwrap()).await;
    assert_eq!(script.calls().len(), EVENTS, "no event came to the handler twice");
    assert_eq!(member_id(&stage).await, joined_as);
    member.stop().await;
}

async fn send_large(stage: &Stage) {
    for _ in 0..EVENTS / 100 {
        let large: Vec<_> = (0..100)
            .map(|_| {
                let mut event = events::payment(PaymentNo::generate(), 1);
                event.order_no = (0..UUIDS_PER_EVENT)
                    .map(|_| Uuid::new_v4().simple().to_string())
                    .collect();
                event
            })
            .collect();
        stage.send_all(&large).await;
    }
}

/// Under which name the group's only member is known to the broker: another one when it was thrown out and came back.
async fn member_id(stage: &Stage) -> String {
    let kafka = stage.kafka.clone();
    let group = kafka.topic(&stage.group.name).into_owned();
    let id = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = kafka.client("test-groups").create().unwrap();
        let groups = client
            .fetch_group_list(Some(&group), Duration::from_secs(20))
            .unwrap();
        let members = groups.groups()[0].members();
        assert_eq!(members.len(), 1);
        members[0].id().to_owned()
    });
    id.await.unwrap()
}
