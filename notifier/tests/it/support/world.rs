//! A notifier with everything around it.

use std::sync::Arc;

use eventing::consumer::{Delivery, Handler as _};
use eventing::{Clock, Condition};
use jiff::SignedDuration;
use notifier::config::Config;
use notifier::consumers::events::Events;
use notifier::delivery::{Courier, Dispatcher};
use notifier::domain::notice::{Channel, Recipient, Status};
use notifier::store::notices::{self, Attempt, Filter, Notice, Viewer};
use platform::health::Health;
use schemas::Event;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::contacts::{Contacts, SERVICE_TOKEN};
use super::database::Database;
use super::events::topic;
use super::eventually;
use super::mailbox::Mailbox;

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) contacts: Contacts,
    pub(crate) mailbox: Mailbox,
    /// Stands still unless the test moves it.
    pub(crate) clock: Clock,
    settings: Value,
}

/// Delivery workers that run until this is dropped.
pub(crate) struct Workers {
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Workers {
    /// Lets the workers finish what they are at.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_clock(Clock::stopped_at("2026-03-01T12:00:05Z".parse().unwrap())).await
    }

    pub(crate) async fn with_clock(clock: Clock) -> Self {
        let (contacts, mailbox) = (Contacts::start().await, Mailbox::start().await);
        let settings = json!({
            "smtp": {
                "host": "127.0.0.1", "port": mailbox.address.port(), "security": "none",
                "from": "Payments <no-reply@payments.example>",
            },
            "contacts": { "base_url": contacts.url, "service_token": SERVICE_TOKEN },
            "approvers": { "addresses": ["bob@platform.example", "carol@platform.example"] },
            "webhooks": { "allow_private": ["127.0.0.0/8"] },
            "delivery": {
                "poll_interval_ms": 20, "send_timeout_ms": 1_000, "retry_delays_ms": [10_000, 100_000],
            },
        });
        Self {
            database: Database::create().await,
            contacts,
            mailbox,
            clock,
            settings,
        }
    }

    /// Changes one setting: `world.set("/delivery/concurrency", 4)`.
    pub(crate) fn set(&mut self, pointer: &str, value: impl Into<Value>) {
        let (section, key) = pointer.rsplit_once('/').unwrap();
        self.settings.pointer_mut(section).unwrap()[key] = value.into();
    }

    pub(crate) fn config(&self) -> Config {
        serde_json::from_value(self.settings.clone()).unwrap()
    }

    /// The event arrives from Kafka.
    pub(crate) async fn consume(&self, event: &Event) {
        self.consume_delivery(&Delivery::sample(topic(event), event.clone()))
            .await;
    }

    pub(crate) async fn consume_delivery(&self, delivery: &Delivery) {
        let approvers = self.config().approvers.addresses.count();
        let handler = Events::new(self.clock.clone(), approvers);
        handler.prepare(delivery).await.unwrap();
        let mut tx = self.database.pool.begin().await.unwrap();
        handler.apply(&mut tx, &mut (), delivery, &()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Starts one replica's delivery workers.
    pub(crate) fn deliver(&self) -> Workers {
        let config = self.config();
        let courier = Courier::new(&config, self.database.pool.clone(), self.clock.clone()).unwrap();
        let courier = Arc::new(courier);
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for channel in Channel::ALL {
            let health = Health::default().register("deliveries", Condition::Up);
            let dispatcher = Dispatcher::new(channel, Arc::clone(&courier), &config.delivery, health);
            let shutdown = shutdown.clone();
            tasks.spawn(async move { dispatcher.run(shutdown).await.unwrap() });
        }
        Workers { shutdown, tasks }
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// Everything that was written down, oldest first.
    pub(crate) async fn notices(&self) -> Vec<Notice> {
        let all = Filter {
            merchant_id: None,
            notice_type: None,
            status: None,
            before: None,
        };
        let mut notices = notices::list(&self.database.pool, Viewer::Staff, &all, 10_000)
            .await
            .unwrap();
        notices.reverse();
        notices
    }
    pub(crate) async fn count_pending(&self) -> i64 {
        let count = "select count(*) from notifications where status = 'pending'";
        sqlx::query_scalar(count)
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn notice(&self, recipient: Recipient, channel: Channel) -> Notice {
        let all = self.notices().await;
        all.into_iter()
            .find(|it| it.recipient == recipient && it.channel == channel)
            .unwrap()
    }

    /// Waits until the one notice to `recipient` on `channel` is at `status`.
    pub(crate) async fn wait_for(&self, recipient: Recipient, channel: Channel, status: Status) -> Notice {
        let what = format!(
            "the {} to the {recipient} is {}",
            channel.as_str(),
            status.as_str()
        );
        eventually(&what, async || {
            Some(self.notice(recipient, channel).await).filter(|it| it.status == status)
        })
        .await
    }

    /// Waits until the webhook has had so many attempts, all of them finished.
    pub(crate) async fn wait_for_attempts(
        &self,
        recipient: Recipient,
        channel: Channel,
        count: usize,
    ) -> Vec<Attempt> {
        let what = format!("{count} attempts at the {} to the {recipient}", channel.as_str());
        eventually(&what, async || {
            let attempts = self.attempts(&self.notice(recipient, channel).await).await;
            (attempts.len() >= count && attempts.iter().all(|it| it.outcome.is_some())).then_some(attempts)
        })
        .await
    }

    pub(crate) async fn attempts(&self, notice: &Notice) -> Vec<Attempt> {
        let mut connection = self.database.pool.acquire().await.unwrap();
        notices::attempts(&mut connection, notice.notification_no, 100)
            .await
            .unwrap()
    }
}
