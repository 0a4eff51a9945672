//! A handler that stands still.

use std::collections::BTreeSet;
use std::time::Duration;

use eventing::Condition;
use eventing::consumer::Resources;
use schemas::PaymentNo;
use uuid::Uuid;

use super::script::Script;
use super::stage::{Stage, ordered};
use crate::support::proxy::Proxy;
use crate::support::{events, eventually, metrics};

/// What brokers allow at least; it is also how long a member may leave its client alone.
const PATIENCE: Duration = Duration::from_secs(6);
/// Of a member: for the payments, and for the tiers.
const CLIENTS: usize = 2;
const EVENTS: usize = 1_500;
const UUIDS_PER_EVENT: usize = 4_000;
const EVENT_BYTES: usize = UUIDS_PER_EVENT * 16;
/// What may be read ahead: 60 records in hand with what is taken in at once, the 32 MiB that Kafka's clients fetch ahead by
/// themselves, and a fetch that is on its way.
const MAX_AHEAD_BYTES: usize = 56 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_stands_still_costs_bounded_memory_and_no_membership() {
    let group = ordered()
        .workers(2)
        .batch(10)
        .handler_deadline(Duration::from_mins(2));
    let stage = Stage::new(group).await;
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
    let joined_as = members(&stage).await;
    assert_eq!(joined_as.len(), CLIENTS);

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
    assert_eq!(members(&stage).await, joined_as);
    assert_eq!(*member.condition.borrow(), Condition::Up);

    gate.add_permits(EVENTS * 2);
    stage.until_count("applied", i64::try_from(EVENTS).unwrap()).await;
    assert!(
        proxy.answered_bytes() > MAX_AHEAD_BYTES * 3 / 2,
        "there was not enough to read too much of"
    );
    assert_eq!(script.calls().len(), EVENTS, "no event came to the handler twice");
    assert_eq!(members(&stage).await, joined_as);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_hands_are_full_still_hears_of_one_that_joins_and_gives_it_its_part() {
    metrics::collect();
    let mut group = ordered()
        .workers(2)
        .batch(10)
        .handler_deadline(Duration::from_mins(2))
        .drain_deadline(Duration::from_secs(1));
    group.name = "standing".into();
    let stage = Stage::new(group).await;
    let sent: Vec<_> = (0..1_000)
        .map(|_| events::payment(PaymentNo::generate(), 1))
        .collect();
    stage.send_all(&sent).await;
    let (stuck, gate) = Script::default().gated();
    let full = stage.start(stuck.clone());
    let in_hand = || metrics::value("eventing_in_hand_records", &["group=\"standing\""]).unwrap_or(0.0);
    eventually("its hands are full", async || in_hand() >= 60.0).await;
    let joined_as = members(&stage).await;

    let free = Script::default();
    let joining = stage.start(free.clone());
    // Not events: those that the first one has begun, and what is in a batch with them, wait for it wherever they are read.
    eventually("the one that joined has partitions", async || {
        let joined = stage.joined().await;
        joined.len() == 2 * CLIENTS && joined.iter().all(|client| !client.partitions.is_empty())
    })
    .await;
    let both = members(&stage).await;
    assert_eq!(both.len(), 2 * CLIENTS);
    assert!(
        both.is_superset(&joined_as),
        "the one whose hands are full is still the same member"
    );
    assert!(
        stuck.calls().len() <= 2,
        "it has done nothing but wait: an event for each of its workers"
    );

    gate.add_permits(sent.len() * 2);
    stage
        .until_count("applied", i64::try_from(sent.len()).unwrap())
        .await;
    full.stop().await;
    joining.stop().await;
    let mut applied = stage.applied().await;
    applied.sort_unstable();
    applied.dedup();
    assert_eq!(applied.len(), sent.len());
    assert_eq!(stage.count("applied").await, i64::try_from(sent.len()).unwrap());
    assert!(stage.letters(0).await.is_empty());
}

async fn send_large(stage: &Stage) {
    for _ in 0..EVENTS / 100 {
        let large: Vec<_> = (0..100)
            .map(|_| {
                let mut event = events::payment(PaymentNo::generate(), 1);
                // Random, and of so many different characters that nothing of it is compressed away.
                event.order_no = (0..UUIDS_PER_EVENT)
                    .flat_map(|_| Uuid::new_v4().into_bytes())
                    .map(|byte| char::from(b'!' + byte % 90))
                    .collect();
                event
            })
            .collect();
        stage.send_all(&large).await;
    }
}

/// Under which names the clients of the group's members are known to the broker: one that was thrown out and came back has another.
async fn members(stage: &Stage) -> BTreeSet<String> {
    let joined = stage.joined().await;
    joined.into_iter().map(|member| member.id).collect()
}
