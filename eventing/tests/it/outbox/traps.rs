//! Designs that look right and lose or invert events. Each story is told twice: to the wrong design, which fails, and to ours.

use std::time::{Duration, Instant};

use eventing::outbox::Lane;
use eventing::relay::leases::EVENTS_CHANNEL;
use schemas::PaymentNo;
use schemas::catalogue::PAYMENTS;
use sqlx::postgres::PgListener;
use sqlx::{Connection as _, Executor as _};

use super::doubles::{self, BareCursor};
use crate::support::broker::first_occurrences;
use crate::support::database::admin;
use crate::support::lanes::{awake, owners, until_asleep, until_shared};
use crate::support::world::{RunningRelay, lock_and_advance};
use crate::support::{DEADLINE, World, events, eventually};

/// A transaction gets its number early, and makes its transition after a younger one has committed one.
async fn an_elder_transaction_comes_second(world: &World, payment_no: PaymentNo) {
    let mut elder = world.pool.begin().await.unwrap();
    elder.execute("select pg_current_xact_id()").await.unwrap();
    assert_eq!(world.commit(payment_no).await, 1);
    assert_eq!(world.transition(&mut elder, payment_no).await.unwrap(), 2);
    elder.commit().await.unwrap();
}

#[tokio::test]
async fn gating_on_xmin_and_ordering_by_transaction_inverts_an_aggregate() {
    let payment_no = PaymentNo::generate();
    let key = payment_no.to_string();

    let wrong = World::without_topic().await;
    an_elder_transaction_comes_second(&wrong, payment_no).await;
    // The gate is one for all databases of the server, so other tests may hold it shut for a while.
    eventually("the gate opens", async || {
        doubles::gated_by_xmin(&wrong.pool).await.len() == 2
    })
    .await;
    assert_eq!(
        doubles::gated_by_xmin(&wrong.pool).await,
        [(key.clone(), 2), (key.clone(), 1)]
    );

    let ours = World::new().await;
    an_elder_transaction_comes_second(&ours, payment_no).await;
    let relay = ours.start_relay();
    ours.until_published().await;
    relay.stop().await;
    assert_eq!(first_occurrences(&ours.records(2).await)[&key], [1, 2]);
}

/// One aggregate's event gets its number first and commits last; `meanwhile` happens in between.
async fn a_low_number_commits_late(
    world: &World,
    [late, early]: [PaymentNo; 2],
    meanwhile: impl AsyncFnOnce(),
) {
    let mut slow = world.pool.begin().await.unwrap();
    world.transition(&mut slow, late).await.unwrap();
    world.commit(early).await;
    meanwhile().await;
    slow.commit().await.unwrap();
}

#[tokio::test]
async fn a_bare_cursor_loses_what_commits_late() {
    let payments @ [late, early] = [PaymentNo::generate(), PaymentNo::generate()];

    let wrong = World::without_topic().await;
    let mut cursor = BareCursor::default();
    let mut sent = Vec::new();
    a_low_number_commits_late(&wrong, payments, async || {
        sent.extend(cursor.poll(&wrong.pool).await);
    })
    .await;
    sent.extend(cursor.poll(&wrong.pool).await);
    assert_eq!(sent, [(early.to_string(), 1)], "the late one is lost");

    let ours = World::new().await;
    let relay = ours.start_relay();
    a_low_number_commits_late(&ours, payments, async || ours.until_published().await).await;
    ours.until_published().await;
    relay.stop().await;
    let sent = first_occurrences(&ours.records(2).await);
    assert_eq!(
        (&sent[&early.to_string()][..], &sent[&late.to_string()][..]),
        (&[1][..], &[1][..])
    );
}

#[tokio::test]
async fn an_idle_transaction_in_another_database_stalls_a_gate_and_not_us() {
    let world = World::new().await;
    let mut elsewhere = admin().await;
    let mut idle = elsewhere.begin().await.unwrap();
    idle.execute("select pg_current_xact_id()").await.unwrap();
    world.commit(PaymentNo::generate()).await;

    assert_eq!(doubles::gated_by_xmin(&world.pool).await, []);

    let relay = world.start_relay();
    world.until_published().await;
    relay.stop().await;
    assert_eq!(world.records(1).await.len(), 1);
    idle.rollback().await.unwrap();
}

/// Two transactions make a transition of one aggregate. The first to start is the last to get the lock, and appends its
/// event before or after that.
async fn two_transitions_cross(world: &World, payment_no: PaymentNo, appended_first: bool) {
    let mut slow = world.pool.begin().await.unwrap();
    if appended_first {
        let _ = world
            .outbox
            .append(&mut slow, &events::payment(payment_no, 2))
            .await
            .unwrap();
    }
    assert_eq!(world.commit(payment_no).await, 1);
    assert_eq!(lock_and_advance(&mut slow, payment_no).await.unwrap(), 2);
    if !appended_first {
        let _ = world
            .outbox
            .append(&mut slow, &events::payment(payment_no, 2))
            .await
            .unwrap();
    }
    slow.commit().await.unwrap();
}

#[tokio::test]
async fn appending_before_the_aggregate_is_locked_inverts() {
    let payment_no = PaymentNo::generate();
    for (appended_first, expected) in [(true, [2, 1]), (false, [1, 2])] {
        let world = World::new().await;
        two_transitions_cross(&world, payment_no, appended_first).await;
        let relay = world.start_relay();
        world.until_published().await;
        relay.stop().await;
        let sent = first_occurrences(&world.records(2).await);
        assert_eq!(
            sent[&payment_no.to_string()],
            expected,
            "appended first: {appended_first}"
        );
    }
}

#[tokio::test]
async fn skip_locked_hands_one_aggregate_to_two_relays() {
    let payment_no = PaymentNo::generate();

    let wrong = World::without_topic().await;
    wrong.commit(payment_no).await;
    wrong.commit(payment_no).await;
    let mut first = wrong.pool.begin().await.unwrap();
    let mut second = wrong.pool.begin().await.unwrap();
    let slow = doubles::take_skipping_locked(&mut first).await;
    let quick = doubles::take_skipping_locked(&mut second).await;
    // Each relay sends what it has; nothing makes the second wait for the first.
    assert_eq!((quick.0 == slow.0, quick.1, slow.1), (true, 2, 1));

    let ours = World::new().await;
    let relays = [ours.start_relay(), ours.start_relay()];
    for _ in 0..100 {
        ours.commit(payment_no).await;
    }
    ours.until_published().await;
    for relay in relays {
        relay.stop().await;
    }
    let records = ours.records(100).await;
    let sequences: Vec<i64> = records
        .iter()
        .map(crate::support::broker::Record::sequence)
        .collect();
    assert_eq!(
        sequences,
        (1..=100).collect::<Vec<_>>(),
        "in order, and by one relay only"
    );
}

/// Whether a listening client hears anything while events are published.
async fn a_listener_hears(world: &World) -> bool {
    let mut listener = PgListener::connect_with(&world.pool).await.unwrap();
    listener.listen(EVENTS_CHANNEL).await.unwrap();
    let relay = world.start_relay();
    for _ in 0..20 {
        world.commit(PaymentNo::generate()).await;
    }
    world.until_published().await;
    relay.stop().await;
    // A notification is delivered with the commit that made it, so all are here already; the statement fetches them.
    listener.execute("select").await.unwrap();
    tokio::time::timeout(Duration::ZERO, listener.recv())
        .await
        .is_ok()
}

#[tokio::test]
async fn a_listening_client_hears_nothing_while_the_relay_is_awake() {
    let wrong = World::new().await;
    doubles::notify_at_every_insert(&mut wrong.database.connect().await).await;
    assert!(a_listener_hears(&wrong).await);

    let ours = World::new().await;
    assert!(!a_listener_hears(&ours).await);
}

/// Two processes of a service, each with a relay: this one's `world`, and another one's. Returns payments in lanes of the other.
async fn lanes_of_another_process(world: &World) -> (World, [RunningRelay; 2], Vec<PaymentNo>) {
    let other = World::join(&world.database.name, &world.kafka.topic_prefix).await;
    let relays = [other.start_relay(), world.start_relay()];
    until_shared(&world.pool, &[4, 4]).await;
    let owners = owners(&world.pool).await;
    // The first to start has the lower name.
    let theirs = owners.iter().filter_map(|(owner, _)| *owner).min();
    let payments = std::iter::repeat_with(PaymentNo::generate)
        .filter(|payment_no| {
            let lane = Lane::of(PAYMENTS.name, &payment_no.to_string());
            owners[usize::try_from(lane.number()).unwrap()].0 == theirs
        })
        .take(20)
        .collect();
    (other, relays, payments)
}

#[tokio::test]
async fn a_relay_of_another_process_is_notified_only_while_it_sleeps() {
    let world = World::new().await;
    let (_other, relays, payments) = lanes_of_another_process(&world).await;
    until_asleep(&world.pool).await;
    let mut listener = PgListener::connect_with(&world.pool).await.unwrap();
    listener.listen(EVENTS_CHANNEL).await.unwrap();

    // Given that it sleeps, the first event's lane is told to whoever listens, after the commit.
    world.commit(payments[0]).await;
    let told = tokio::time::timeout(DEADLINE, listener.recv())
        .await
        .unwrap()
        .unwrap();
    let lane = Lane::of(PAYMENTS.name, &payments[0].to_string());
    assert_eq!(told.payload(), lane.number().to_string());

    // Once it is awake, it finds the others by itself. It sleeps again after a second without work and no sooner, which is also
    // what a slow machine may make of the pause between two commits.
    eventually("the other relay says that it is awake", async || {
        awake(&world.pool).await > 0
    })
    .await;
    let began = Instant::now();
    let mut commits = 0;
    while commits < 60 {
        world.commit(payments[commits % payments.len()]).await;
        commits += 1;
    }
    world.until_published().await;
    listener.execute("select").await.unwrap();
    let mut heard = 0;
    while let Ok(told) = tokio::time::timeout(Duration::ZERO, listener.recv()).await {
        told.unwrap();
        heard += 1;
    }
    assert!(
        heard <= began.elapsed().as_secs(),
        "{heard} in {:?}",
        began.elapsed()
    );
    for relay in relays {
        relay.stop().await;
    }
    assert_eq!(world.records(61).await.len(), 61);
}

#[tokio::test]
async fn an_event_of_which_nobody_tells_is_found_by_polling() {
    let world = World::new().await;
    let (_other, relays, payments) = lanes_of_another_process(&world).await;
    until_asleep(&world.pool).await;
    let mut tx = world.pool.begin().await.unwrap();
    world.transition(&mut tx, payments[0]).await.unwrap();
    // As if the process had died right after it.
    tx.commit().await.unwrap();
    let committed = Instant::now();
    world.until_published().await;
    assert!(
        committed.elapsed() < Duration::from_secs(10),
        "{:?}",
        committed.elapsed()
    );
    for relay in relays {
        relay.stop().await;
    }
}
