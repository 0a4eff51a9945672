//! What a broker does with a producer that it has not met: it takes whatever sequence comes first.

use eventing::relay::RelaySettings;
use schemas::PaymentNo;

use crate::support::broker::assert_in_order_without_gap;
use crate::support::proxy::{Fault, Proxy};
use crate::support::world::lock_and_advance;
use crate::support::{World, events, eventually};

/// So long that each event has a request of its own, and several requests would be under way.
const NAME_BYTES: usize = 700 * 1024;

/// An hour of harm has found it: the requests behind a lost one were taken, and the aggregate's first event came after them.
#[tokio::test]
async fn the_first_event_that_a_new_producer_sends_is_not_overtaken_when_its_request_gets_lost() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.kafka).await;
    proxy.set(Fault::LoseOneProduceRequest);
    let payment_no = PaymentNo::generate();
    for _ in 0..3 {
        commit_large(&world, payment_no).await;
    }
    let relay = world.start_relay_with(proxy.settings(&world.kafka), RelaySettings::default());
    eventually("a request is lost", async || proxy.lost() == 1).await;
    // What was sent behind it has arrived by then.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    // Its connection ends with that.
    proxy.set(Fault::None);
    world.until_published().await;
    relay.stop().await;
    assert_in_order_without_gap(&world.records(3).await);
}

async fn commit_large(world: &World, payment_no: PaymentNo) {
    let mut tx = world.pool.begin().await.unwrap();
    let sequence = lock_and_advance(&mut tx, payment_no).await.unwrap();
    let mut event = events::payment(payment_no, sequence);
    event.order_no = "x".repeat(NAME_BYTES);
    let _ = world.outbox.append(&mut tx, &event).await.unwrap();
    tx.commit().await.unwrap();
}
