//! One merchant's trouble is no other's.

use notifier::domain::notice::{Channel, Status};
use notifier::domain::reason::Reason;

use crate::support::receiver::{Behaviour, Receiver};
use crate::support::world::World;
use crate::support::{events, eventually};

#[tokio::test]
async fn an_endpoint_that_hangs_holds_up_nobody_else() {
    let mut world = World::new().await;
    world.set("/delivery/concurrency", 8);
    world.set("/delivery/per_merchant", 2);
    world.set("/delivery/send_timeout_ms", 60_000);
    let (hanging, healthy) = (Receiver::start().await, Receiver::start().await);
    hanging.behave(Behaviour::Hang);
    let stuck = world.contacts.merchant(Some(&hanging.url));
    let well = world.contacts.merchant(Some(&healthy.url));
    for _ in 0..60 {
        world.consume(&events::succeeded(stuck)).await;
    }
    for _ in 0..30 {
        world.consume(&events::succeeded(well)).await;
    }

    let workers = world.deliver();
    hanging.wait_for(1).await;
    healthy.wait_for(30).await;
    eventually("the healthy merchant's are recorded", async || {
        let notices = world.notices().await;
        let sent = |it: &&notifier::store::notices::Notice| {
            it.merchant_id == well && it.channel == Channel::Webhook && it.status == Status::Sent
        };
        (notices.iter().filter(sent).count() == 30).then_some(())
    })
    .await;

    assert!(
        hanging.count() <= 2,
        "the hanging endpoint has {} of 8 workers",
        hanging.count()
    );
    drop(workers);
}

/// Many merchants may be customers of one host.
#[tokio::test]
async fn a_host_that_hangs_for_many_merchants_holds_up_nobody_else() {
    let mut world = World::new().await;
    world.set("/delivery/concurrency", 8);
    world.set("/delivery/per_host", 3);
    world.set("/delivery/send_timeout_ms", 60_000);
    let (hanging, healthy) = (Receiver::start().await, Receiver::start().await);
    hanging.behave(Behaviour::Hang);
    for _ in 0..12 {
        world
            .consume(&events::succeeded(world.contacts.merchant(Some(&hanging.url))))
            .await;
    }
    world
        .consume(&events::succeeded(world.contacts.merchant(Some(&healthy.url))))
        .await;

    let workers = world.deliver();
    healthy.wait_for(1).await;
    hanging.wait_for(3).await;

    assert_eq!(hanging.count(), 3);
    drop(workers);
}

#[tokio::test]
async fn a_merchant_whose_breaker_is_open_waits_without_using_up_its_attempts() {
    let mut world = World::new().await;
    world.set("/delivery/per_merchant", 1);
    let shop = Receiver::start().await;
    shop.behave(Behaviour::Answer(axum::http::StatusCode::SERVICE_UNAVAILABLE));
    let merchant_id = world.contacts.merchant(Some(&shop.url));
    for _ in 0..20 {
        world.consume(&events::succeeded(merchant_id)).await;
    }

    let workers = world.deliver();
    // Five failures open the breaker.
    shop.wait_for(5).await;
    eventually("all mail is out", async || {
        (world.mailbox.mails().len() == 40).then_some(())
    })
    .await;
    workers.stop().await;

    assert_eq!(shop.count(), 5);
    let notices = world.notices().await;
    let webhooks = notices.iter().filter(|it| it.channel == Channel::Webhook);
    let tried = webhooks.clone().filter(|it| it.attempts > 0).count();
    assert_eq!(tried, 5);
    assert!(webhooks.clone().all(|it| it.status == Status::Pending));
}

#[tokio::test]
async fn an_error_about_one_merchants_contact_holds_up_nobody_else_and_ends_in_dead_letters() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    let stuck = world.contacts.merchant(Some(&shop.url));
    world.contacts.fail_for(stuck);
    for _ in 0..10 {
        world.consume(&events::succeeded(stuck)).await;
    }
    let well = world.contacts.merchant(Some(&shop.url));

    let workers = world.deliver();
    eventually("the stuck merchant's notices wait on both channels", async || {
        let notices = world.notices().await;
        let postponed = world.clock.now() + jiff::SignedDuration::from_secs(2);
        let waits = |channel| {
            let mut of_channel = notices.iter().filter(|it| it.channel == channel);
            of_channel.any(|it| it.due_at == Some(postponed))
        };
        Channel::ALL.into_iter().all(waits).then_some(())
    })
    .await;
    world.consume(&events::succeeded(well)).await;
    let of = async |merchant_id| {
        let notices = world.notices().await.into_iter();
        notices
            .filter(|it| it.merchant_id == merchant_id)
            .collect::<Vec<_>>()
    };
    // The clock stands still: whoever waits for a channel waits for ever.
    eventually("the other merchant's notices are sent", async || {
        let notices = of(well).await;
        notices.iter().all(|it| it.status == Status::Sent).then_some(())
    })
    .await;
    assert!(
        of(stuck)
            .await
            .iter()
            .all(|it| (it.status, it.attempts) == (Status::Pending, 0))
    );

    // Longer than the schedule lasts.
    world.advance(120);
    let notices = eventually("the stuck merchant's notices have failed", async || {
        let notices = of(stuck).await;
        notices
            .iter()
            .all(|it| it.status == Status::Failed)
            .then_some(notices)
    })
    .await;
    workers.stop().await;
    assert!(
        notices
            .iter()
            .all(|it| it.reason == Some(Reason::ContactUnavailable))
    );
    let letters: i64 = sqlx::query_scalar("select count(*) from eventing.dead_letter_requests")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!((notices.len(), letters), (30, 30));
}
