//! Nobody knows whether it arrived: it is sent again, and the receiver can tell by the id.

use std::time::Duration;

use eventing::Clock;
use notifier::domain::notice::{Channel, Recipient, Status};
use notifier::domain::outcome::later;
use notifier::domain::shares::Share;
use notifier::store::claims;

use crate::support::mailbox::Manner;
use crate::support::receiver::{Behaviour, Receiver};
use crate::support::world::World;
use crate::support::{events, eventually};

#[tokio::test]
async fn a_mail_without_an_answer_is_repeated_under_the_same_message_id() {
    for manner in [Manner::TakeSilently, Manner::TakeAndHang] {
        let world = World::new().await;
        world.mailbox.behave(manner);
        world
            .consume(&events::settlement(
                world.contacts.merchant(None),
                schemas::settlement::SettlementEventType::Completed,
            ))
            .await;

        let workers = world.deliver();
        let first = world
            .wait_for_attempts(Recipient::Merchant, Channel::Mail, 1)
            .await;
        assert_eq!(first[0].outcome.as_deref(), Some("unknown"));
        world.mailbox.behave(Manner::Take);
        world.advance(12);
        world
            .wait_for(Recipient::Merchant, Channel::Mail, Status::Sent)
            .await;
        workers.stop().await;

        let mails = world.mailbox.mails();
        assert_eq!(mails.len(), 2);
        assert_eq!(mails[0].message_id(), mails[1].message_id());
    }
}

/// A connection that was left in the middle of an exchange must not give its late answer to the next mail.
#[tokio::test]
async fn a_connection_is_kept_after_an_answer_and_dropped_after_none() {
    let world = World::new().await;
    let merchant_id = world.contacts.merchant(None);
    let workers = world.deliver();
    for count in 1..=3 {
        world
            .consume(&events::withdrawal(
                merchant_id,
                schemas::withdrawal::WithdrawalEventType::Completed,
            ))
            .await;
        world.mailbox.wait_for(count).await;
        eventually("all mail is recorded", async || {
            all_sent(&world, count).await.then_some(())
        })
        .await;
    }
    assert_eq!(world.mailbox.connections(), 1);

    world.mailbox.behave(Manner::TakeAndHang);
    world
        .consume(&events::withdrawal(
            merchant_id,
            schemas::withdrawal::WithdrawalEventType::Failed,
        ))
        .await;

    eventually("the attempt is given up", async || {
        let waiting = world
            .notices()
            .await
            .into_iter()
            .find(|it| it.channel == Channel::Mail && it.status == Status::Pending)?;
        world.attempts(&waiting).await.first()?.outcome.clone()
    })
    .await;
    world.mailbox.behave(Manner::Take);
    world.advance(12);
    eventually("the mail is repeated", async || {
        all_sent(&world, 4).await.then_some(())
    })
    .await;
    workers.stop().await;
    assert_eq!(world.mailbox.connections(), 2);
}

async fn all_sent(world: &World, count: usize) -> bool {
    let notices = world.notices().await;
    notices
        .iter()
        .filter(|it| it.channel == Channel::Mail && it.status == Status::Sent)
        .count()
        == count
}

#[tokio::test]
async fn a_webhook_without_an_answer_is_repeated_under_the_same_id() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    shop.behave(Behaviour::Hang);
    world
        .consume(&events::succeeded(world.contacts.merchant(Some(&shop.url))))
        .await;

    let workers = world.deliver();
    let first = world
        .wait_for_attempts(Recipient::Merchant, Channel::Webhook, 1)
        .await;
    assert_eq!(first[0].outcome.as_deref(), Some("unknown"));
    shop.behave(Behaviour::Answer(axum::http::StatusCode::OK));
    world.advance(12);
    world
        .wait_for(Recipient::Merchant, Channel::Webhook, Status::Sent)
        .await;
    workers.stop().await;

    let requests = shop.requests();
    assert_eq!((requests.len(), requests[0].id()), (2, requests[1].id()));
}

#[tokio::test]
async fn what_a_dead_worker_was_at_is_unknown_and_is_repeated() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    let merchant_id = world.contacts.merchant(Some(&shop.url));
    world.consume(&events::succeeded(merchant_id)).await;
    let pool = &world.database.pool;

    // A worker claims the notice, writes down that it begins, and is heard of no more.
    let (now, share) = (world.clock.now(), Share { merchant_id, room: 1 });
    let lease_ends_at = later(now, Duration::from_secs(30));
    let claimed = claims::claim(pool, Channel::Webhook, &[share], now, lease_ends_at)
        .await
        .unwrap();
    claims::begin_attempt(pool, &claimed[0], now)
        .await
        .unwrap()
        .unwrap();

    // While its lease lasts, nobody takes it over.
    let workers = world.deliver();
    world
        .wait_for(Recipient::Merchant, Channel::Mail, Status::Sent)
        .await;
    assert_eq!(shop.count(), 0);

    world.advance(31);
    world
        .wait_for(Recipient::Merchant, Channel::Webhook, Status::Sent)
        .await;
    workers.stop().await;
    let attempts = world
        .attempts(&world.notice(Recipient::Merchant, Channel::Webhook).await)
        .await;
    let story: Vec<_> = attempts.iter().map(|it| it.outcome.as_deref().unwrap()).collect();
    assert_eq!(story, ["unknown", "delivered"]);

    // Should it wake up after all, it changes nothing any more.
    let mut tx = pool.begin().await.unwrap();
    let state = notifier::domain::notice::State::Pending { due_at: now };
    let held = claims::settle(&mut tx, &claimed[0], &state, None, now)
        .await
        .unwrap();
    assert!(!held);
}

#[tokio::test]
async fn two_replicas_send_each_notice_once() {
    let (world, shop) = (World::with_clock(Clock::system()).await, Receiver::start().await);
    for _ in 0..5 {
        let merchant_id = world.contacts.merchant(Some(&shop.url));
        for _ in 0..20 {
            world.consume(&events::succeeded(merchant_id)).await;
        }
    }

    let (one, other) = (world.deliver(), world.deliver());
    eventually("all is sent", async || {
        (world.count_pending().await == 0).then_some(())
    })
    .await;
    one.stop().await;
    other.stop().await;

    let mut ids: Vec<String> = shop.requests().iter().map(|it| it.id().to_owned()).collect();
    assert_eq!(ids.len(), 100);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    assert_eq!(world.mailbox.mails().len(), 200);
}

/// A row of a newer version, say.
#[tokio::test]
async fn a_notice_that_cannot_be_read_holds_up_no_other() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    let merchant_id = world.contacts.merchant(Some(&shop.url));
    world.consume(&events::succeeded(merchant_id)).await;
    let spoil = "update notifications set facts = '{\"object\": \"loan\"}'";
    sqlx::query(spoil).execute(&world.database.pool).await.unwrap();
    world.consume(&events::succeeded(merchant_id)).await;

    let workers = world.deliver();
    shop.wait_for(1).await;
    world.mailbox.wait_for(2).await;
    workers.stop().await;
}
