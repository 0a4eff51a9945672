//! What is written down when an event arrives.

use notifier::domain::plan::plan;
use schemas::payment::PaymentEventType;
use schemas::settlement::SettlementEventType;
use schemas::withdrawal::WithdrawalEventType;
use schemas::{Event, MerchantId};

use crate::support::events;
use crate::support::world::World;

#[tokio::test]
async fn an_event_is_told_once_to_each_recipient_on_each_channel_however_often_it_arrives() {
    let world = World::new().await;
    let event = events::succeeded(MerchantId::generate());

    world.consume(&event).await;
    world.consume(&event).await;
    futures::future::join_all((0..8).map(|_| world.consume(&event))).await;

    let notices = world.notices().await;
    let targets: Vec<String> = notices
        .iter()
        .map(|it| format!("{} {}", it.recipient, it.channel.as_str()))
        .collect();
    assert_eq!(targets, ["customer mail", "merchant mail", "merchant webhook"]);
}

#[tokio::test]
async fn a_settlement_is_brought_to_every_approver() {
    let world = World::new().await;
    let merchant_id = world.contacts.merchant(None);
    world
        .consume(&events::settlement(merchant_id, SettlementEventType::Created))
        .await;

    let workers = world.deliver();
    let mails = world.mailbox.wait_for(2).await;
    workers.stop().await;

    let mut to: Vec<_> = mails.iter().map(|mail| mail.to.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["bob@platform.example", "carol@platform.example"]);
    assert!(mails[0].parse().subject().unwrap().contains("For your approval"));
    assert!(!world.database.dump().await.contains("platform.example"));
}

/// The table that users read is the plan that runs.
#[test]
fn the_readme_says_who_is_told_of_what() {
    let merchant_id = MerchantId::generate();
    let of_payments = PaymentEventType::ALL
        .iter()
        .map(|it| events::payment(merchant_id, *it));
    let of_settlements = SettlementEventType::ALL
        .iter()
        .map(|it| events::settlement(merchant_id, *it));
    let of_withdrawals = WithdrawalEventType::ALL
        .iter()
        .map(|it| events::withdrawal(merchant_id, *it));
    let rows: Vec<String> = of_payments
        .chain(of_settlements)
        .chain(of_withdrawals)
        .filter_map(row)
        .collect();

    let readme = include_str!("../../README.md");
    let table: Vec<&str> = readme
        .lines()
        .skip_while(|line| !line.starts_with("| event "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(table, rows);
}

#[expect(clippy::needless_pass_by_value, reason = "a sample is made for one row")]
fn row(event: Event) -> Option<String> {
    let plan = plan(&event, 1).unwrap()?;
    let mail: Vec<String> = plan
        .targets
        .iter()
        .filter(|it| it.1.as_str() == "mail")
        .map(|it| it.0.to_string())
        .collect();
    let webhook: Vec<String> = plan
        .targets
        .iter()
        .filter(|it| it.1.as_str() == "webhook")
        .map(|it| it.0.to_string())
        .collect();
    let mail = mail.join(", ").replace("approver-1", "every approver");
    let webhook = if webhook.is_empty() {
        "–".to_owned()
    } else {
        webhook.join(", ")
    };
    let (event_type, notice_type) = (event.event_type(), plan.notice_type.as_str());
    Some(format!(
        "| `{event_type}` | `{notice_type}` | {mail} | {webhook} |"
    ))
}
