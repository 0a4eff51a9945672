//! Two relays: one is active, another takes over, and who was taken over can do no harm.

use std::sync::mpsc;
use std::time::Duration;

use eventing::relay::{LOCK_CLASS, LOCK_LANE, RelaySettings};
use schemas::PaymentNo;
use tokio_util::sync::CancellationToken;

use crate::support::broker::assert_in_order_without_gap;
use crate::support::proxy::{Fault, Proxy};
use crate::support::{World, eventually};

/// The sessions that hold the relay's lock.
async fn lock_holders(world: &World) -> Vec<i32> {
    sqlx::query_scalar(
        "select pid from pg_locks
         where locktype = 'advisory' and granted and classid::bigint = $1 and objid::bigint = $2
           and database = (select oid from pg_database where datname = current_database())",
    )
    .bind(i64::from(LOCK_CLASS))
    .bind(i64::from(LOCK_LANE))
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

async fn until_one_leads(world: &World) -> i32 {
    eventually("a relay leads", async || lock_holders(world).await.len() == 1).await;
    lock_holders(world).await[0]
}

async fn terminate(world: &World, pid: i32) {
    sqlx::query("select pg_terminate_backend($1)")
        .bind(pid)
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn one_relay_is_active_and_another_takes_over_when_it_stops() {
    let world = World::new().await;
    let first = world.start_relay();
    let leader = until_one_leads(&world).await;
    let second = world.start_relay();
    world.commit(PaymentNo::generate()).await;
    world.until_published().await;
    assert_eq!(lock_holders(&world).await, [leader]);

    first.stop().await;
    world.commit(PaymentNo::generate()).await;
    world.until_published().await;
    assert_ne!(until_one_leads(&world).await, leader);
    second.stop().await;
    assert_eq!(world.records(2).await.len(), 2);
}

#[tokio::test]
async fn killed_connections_under_load_lose_and_invert_nothing() {
    let world = World::new().await;
    let relays = [world.start_relay(), world.start_relay()];
    let payments: Vec<PaymentNo> = std::iter::repeat_with(PaymentNo::generate).take(10).collect();
    let done = CancellationToken::new();

    let write = async {
        for step in 0..600 {
            world.commit(payments[step % payments.len()]).await;
        }
        done.cancel();
    };
    let kill = async {
        let mut kills = 0;
        while !done.is_cancelled() {
            if let [leader] = lock_holders(&world).await[..] {
                terminate(&world, leader).await;
                kills += 1;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        kills
    };
    let ((), kills) = tokio::join!(write, kill);
    assert!(kills > 0);
    world.until_published().await;
    for relay in relays {
        relay.stop().await;
    }

    let records = world.records(600).await;
    assert_in_order_without_gap(&records);
    let distinct: std::collections::HashSet<(&str, i64)> = records
        .iter()
        .map(|record| (record.key.as_str(), record.sequence()))
        .collect();
    assert_eq!(distinct.len(), 600);
}

#[tokio::test]
async fn a_relay_that_lost_its_connection_cannot_mark_what_it_sent() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.kafka).await;
    let relay = world.start_relay_with(proxy.settings(&world.kafka), RelaySettings::default());
    world.commit(PaymentNo::generate()).await;
    world.until_published().await;

    // Given a relay that has sent a record and waits for the acknowledgement.
    proxy.set(Fault::LoseProduceAnswers);
    world.commit(PaymentNo::generate()).await;
    eventually("the record was sent", async || proxy.lost() > 0).await;

    // When somebody else gets the lock, and the acknowledgement comes only then.
    let leader = until_one_leads(&world).await;
    let mut successor = world.database.connect().await;
    terminate(&world, leader).await;
    sqlx::query("select pg_advisory_lock($1, $2)")
        .bind(LOCK_CLASS)
        .bind(LOCK_LANE)
        .execute(&mut successor)
        .await
        .unwrap();
    proxy.set(Fault::None);
    let mut condition = relay.condition.clone();
    // It notices, and is then up again as one that stands by.
    condition
        .wait_for(|condition| *condition != eventing::Condition::Up)
        .await
        .unwrap();
    condition
        .wait_for(|condition| *condition == eventing::Condition::Up)
        .await
        .unwrap();

    // Then the row is still there, and is sent by the next one to lead.
    assert_eq!(world.depth().await, 1);
    drop(successor);
    world.until_published().await;
    relay.stop().await;
    assert_in_order_without_gap(&world.records(3).await);
}

#[tokio::test]
async fn a_relay_that_hangs_loses_the_lock_to_another() {
    let world = World::new().await;
    // Given a process that stops for a while (a paused machine, say): here, a thread whose only runtime is blocked.
    let (pause, paused) = mpsc::channel::<mpsc::Receiver<()>>();
    let relay = eventing::Relay::new(
        sqlx::PgPool::connect_lazy_with((*world.pool.connect_options()).clone()),
        world.kafka.clone(),
        &world.outbox,
    );
    let shutdown = CancellationToken::new();
    let stopped = shutdown.clone();
    let hanging = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let hang = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    if let Ok(until) = paused.try_recv() {
                        let _ = until.recv();
                    }
                }
            };
            tokio::select! {
                outcome = relay.run(stopped) => outcome.unwrap(),
                () = hang => {}
            }
        });
    });
    let hanging_leader = until_one_leads(&world).await;
    let (resume, until) = mpsc::channel();
    pause.send(until).unwrap();

    // When another one runs.
    let other = world.start_relay();
    let payment_no = PaymentNo::generate();
    world.commit(payment_no).await;

    // Then it takes over within seconds, and the first stands by once it goes on.
    world.until_published().await;
    let leader = until_one_leads(&world).await;
    assert_ne!(leader, hanging_leader);
    drop(resume);
    world.commit(payment_no).await;
    world.until_published().await;
    assert_eq!(lock_holders(&world).await, [leader]);

    shutdown.cancel();
    tokio::task::spawn_blocking(move || hanging.join().unwrap())
        .await
        .unwrap();
    other.stop().await;
    assert_in_order_without_gap(&world.records(2).await);
}
