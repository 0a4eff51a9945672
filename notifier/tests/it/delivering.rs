//! Mail and webhooks on their way.

use axum::http::StatusCode;
use notifier::domain::notice::{Channel, Recipient, Status};
use notifier::domain::reason::Reason;
use schemas::withdrawal::WithdrawalEventType;

use crate::support::mailbox::Manner;
use crate::support::receiver::{Behaviour, Receiver};
use crate::support::world::World;
use crate::support::{events, eventually};

const WEBHOOK: (Recipient, Channel) = (Recipient::Merchant, Channel::Webhook);
const CUSTOMERS_MAIL: (Recipient, Channel) = (Recipient::Customer, Channel::Mail);

#[tokio::test]
async fn a_payment_is_told_to_the_customer_and_to_the_merchant_and_nothing_personal_stays() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    world
        .consume(&events::succeeded(world.contacts.merchant(Some(&shop.url))))
        .await;

    let workers = world.deliver();
    let mails = world.mailbox.wait_for(2).await;
    shop.wait_for(1).await;
    for (recipient, channel) in [WEBHOOK, CUSTOMERS_MAIL, (Recipient::Merchant, Channel::Mail)] {
        world.wait_for(recipient, channel, Status::Sent).await;
    }
    workers.stop().await;

    let to_customer = mails
        .iter()
        .find(|mail| mail.to == "alice.smith@mail.example")
        .unwrap();
    let message = to_customer.parse();
    assert_eq!(message.subject().unwrap(), "Your payment to Shop <& Sons>");
    let (text, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
    assert!(
        text.contains("Amount: 12.34 EUR") && text.contains("Description: Two tickets"),
        "{text}"
    );
    assert!(
        html.contains("Shop &#60;&#38; Sons&#62;") || html.contains("Shop &lt;&amp; Sons&gt;"),
        "{html}"
    );
    let notice = world.notice(Recipient::Customer, Channel::Mail).await;
    assert_eq!(
        to_customer.message_id(),
        format!("{}@payments.example", notice.notification_no)
    );
    assert_eq!(notice.masked_recipient.as_deref(), Some("a***@m***.example"));

    let stored = world.database.dump().await;
    for personal in ["alice", "smith", "owner", "Shop", "Two tickets", "hooks", "whsec"] {
        assert!(
            !stored.contains(personal),
            "{personal:?} stays behind in\n{stored}"
        );
    }
}

#[tokio::test]
async fn a_retry_comes_after_its_delay_and_keeps_its_id() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    shop.behave(Behaviour::Answer(StatusCode::BAD_GATEWAY));
    world
        .consume(&events::succeeded(world.contacts.merchant(Some(&shop.url))))
        .await;

    let workers = world.deliver();
    world.wait_for_attempts(WEBHOOK.0, WEBHOOK.1, 1).await;
    shop.behave(Behaviour::Answer(StatusCode::OK));
    let waiting = world.notice(WEBHOOK.0, WEBHOOK.1).await;
    let wait = waiting
        .due_at
        .unwrap()
        .duration_since(world.clock.now())
        .as_secs();
    assert!((9..=11).contains(&wait), "10 s within a tenth, got {wait}");
    world.advance(11);
    world.wait_for(WEBHOOK.0, WEBHOOK.1, Status::Sent).await;
    workers.stop().await;

    let requests = shop.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].id(), requests[1].id());
    assert_eq!(requests[0].body, requests[1].body);
    let attempts = world.attempts(&world.notice(WEBHOOK.0, WEBHOOK.1).await).await;
    let story: Vec<_> = attempts
        .iter()
        .map(|it| (it.outcome.as_deref(), it.answer_code))
        .collect();
    assert_eq!(
        story,
        [(Some("failed"), Some(502)), (Some("delivered"), Some(200))]
    );
}

#[tokio::test]
async fn an_endpoint_that_asks_for_time_gets_it() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    shop.behave(Behaviour::AskToWait(500));
    world
        .consume(&events::succeeded(world.contacts.merchant(Some(&shop.url))))
        .await;

    let workers = world.deliver();
    world.wait_for_attempts(WEBHOOK.0, WEBHOOK.1, 1).await;
    workers.stop().await;

    let due_at = world.notice(WEBHOOK.0, WEBHOOK.1).await.due_at.unwrap();
    assert_eq!(due_at.duration_since(world.clock.now()).as_secs(), 500);
}

#[tokio::test]
async fn a_notice_whose_schedule_is_used_up_has_failed_and_is_a_dead_letter() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    shop.behave(Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR));
    world
        .consume(&events::succeeded(world.contacts.merchant(Some(&shop.url))))
        .await;

    let workers = world.deliver();
    for attempt in 1..=3 {
        world.wait_for_attempts(WEBHOOK.0, WEBHOOK.1, attempt).await;
        world.advance(200);
    }
    let failed = world.wait_for(WEBHOOK.0, WEBHOOK.1, Status::Failed).await;
    workers.stop().await;

    assert_eq!((failed.reason, failed.attempts), (Some(Reason::AnswerRefused), 3));
    assert_eq!(shop.count(), 3);
}

#[tokio::test]
async fn what_the_relay_refuses_for_good_is_not_tried_again() {
    let world = World::new().await;
    world.mailbox.behave(Manner::Refuse);
    world
        .consume(&events::succeeded(world.contacts.merchant(None)))
        .await;

    let workers = world.deliver();
    let failed = world
        .wait_for(CUSTOMERS_MAIL.0, CUSTOMERS_MAIL.1, Status::Failed)
        .await;
    workers.stop().await;

    let attempts = world.attempts(&failed).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (attempts[0].outcome.as_deref(), attempts[0].answer_code),
        (Some("refused"), Some(550))
    );
}

#[tokio::test]
async fn what_the_relay_defers_is_tried_again() {
    let world = World::new().await;
    world.mailbox.behave(Manner::Defer);
    world
        .consume(&events::succeeded(world.contacts.merchant(None)))
        .await;

    let workers = world.deliver();
    world
        .wait_for_attempts(CUSTOMERS_MAIL.0, CUSTOMERS_MAIL.1, 1)
        .await;
    world.mailbox.behave(Manner::Take);
    world.advance(12);
    world
        .wait_for(CUSTOMERS_MAIL.0, CUSTOMERS_MAIL.1, Status::Sent)
        .await;
    workers.stop().await;
}

#[tokio::test]
async fn an_erased_customer_is_not_told_and_the_merchant_still_is() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    let merchant_id = world.contacts.merchant(Some(&shop.url));
    world.consume(&events::succeeded(merchant_id)).await;
    world.contacts.erase_customers(merchant_id);

    let workers = world.deliver();
    let suppressed = world
        .wait_for(CUSTOMERS_MAIL.0, CUSTOMERS_MAIL.1, Status::Suppressed)
        .await;
    world.wait_for(WEBHOOK.0, WEBHOOK.1, Status::Sent).await;
    world
        .wait_for(Recipient::Merchant, Channel::Mail, Status::Sent)
        .await;
    workers.stop().await;

    assert_eq!(
        (suppressed.reason, suppressed.attempts),
        (Some(Reason::CustomerErased), 0)
    );
    assert!(
        world
            .mailbox
            .mails()
            .iter()
            .all(|mail| mail.to == "owner@shop.example")
    );
}

#[tokio::test]
async fn a_merchant_without_an_endpoint_gets_no_webhook() {
    let world = World::new().await;
    world
        .consume(&events::succeeded(world.contacts.merchant(None)))
        .await;

    let workers = world.deliver();
    let suppressed = world.wait_for(WEBHOOK.0, WEBHOOK.1, Status::Suppressed).await;
    workers.stop().await;

    assert_eq!(suppressed.reason, Some(Reason::NoNotifyUrl));
}

#[tokio::test]
async fn a_payments_own_endpoint_goes_before_the_merchants() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    let merchant_id = world.contacts.merchant(Some(&shop.url));
    world
        .contacts
        .payments_go_to(merchant_id, &format!("http://{}/orders/7", shop.address));
    world.consume(&events::succeeded(merchant_id)).await;

    let workers = world.deliver();
    let requests = shop.wait_for(1).await;
    workers.stop().await;

    assert_eq!(requests[0].path, "/orders/7");
}

#[tokio::test]
async fn while_the_gateway_is_away_notices_wait_and_no_attempt_is_counted() {
    let (world, shop) = (World::new().await, Receiver::start().await);
    world.contacts.go_away(true);
    let event = events::withdrawal(
        world.contacts.merchant(Some(&shop.url)),
        WithdrawalEventType::Completed,
    );
    world.consume(&event).await;

    let workers = world.deliver();
    eventually("the notices wait", async || {
        let notices = world.notices().await;
        let wait = notices
            .iter()
            .all(|it| it.due_at > Some(world.clock.now()) && it.attempts == 0);
        (wait && world.contacts.asked() == 2).then_some(())
    })
    .await;

    world.contacts.go_away(false);
    world.advance(3);
    world.wait_for(WEBHOOK.0, WEBHOOK.1, Status::Sent).await;
    world
        .wait_for(Recipient::Merchant, Channel::Mail, Status::Sent)
        .await;
    workers.stop().await;
}

#[tokio::test]
async fn a_merchant_that_nobody_knows_makes_a_failed_notice() {
    let world = World::new().await;
    world
        .consume(&events::succeeded(schemas::MerchantId::generate()))
        .await;

    let workers = world.deliver();
    let failed = world.wait_for(WEBHOOK.0, WEBHOOK.1, Status::Failed).await;
    workers.stop().await;

    assert_eq!(failed.reason, Some(Reason::ContactUnknown));
}
