//! Replaying a dead letter.

use axum::http::StatusCode;
use eventing::consumer::{Delivery, Replay};
use notifier::domain::notice::{Channel, Recipient, Status};
use uuid::Uuid;

use crate::support::events;
use crate::support::receiver::{Behaviour, Receiver};
use crate::support::world::World;

#[tokio::test]
async fn a_replayed_letter_sends_what_failed_and_nothing_else() {
    let (mut world, shop) = (World::new().await, Receiver::start().await);
    world.set("/delivery/retry_delays_ms", serde_json::json!([]));
    shop.behave(Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR));
    let event = events::succeeded(world.contacts.merchant(Some(&shop.url)));
    world.consume(&event).await;
    let workers = world.deliver();
    world
        .wait_for(Recipient::Merchant, Channel::Webhook, Status::Failed)
        .await;
    world.mailbox.wait_for(2).await;

    shop.behave(Behaviour::Answer(StatusCode::OK));
    let mut delivery = Delivery::sample(events::topic(&event), event);
    delivery.replay = Some(Replay {
        job: Uuid::nil(),
        letter: "0-1".to_owned(),
    });
    world.consume_delivery(&delivery).await;
    world
        .wait_for(Recipient::Merchant, Channel::Webhook, Status::Sent)
        .await;
    workers.stop().await;

    assert_eq!(shop.count(), 2);
    assert_eq!(world.mailbox.mails().len(), 2);
}
