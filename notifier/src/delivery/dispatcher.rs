//! Takes what is due on one channel and shares it among workers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use platform::health::Reporter;
use platform::problem::Chain;
use schemas::MerchantId;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::Courier;
use super::holds::{Hold, Holds};
use crate::config;
use crate::domain::notice::Channel;
use crate::domain::outcome::later;
use crate::domain::shares::{Waiting, shares};
use crate::store::StoreError;
use crate::store::claims::{self, Claim};

/// Delivers one channel's notices until shutdown.
pub struct Dispatcher {
    channel: Channel,
    courier: Arc<Courier>,
    concurrency: u32,
    per_merchant: u32,
    poll_interval: Duration,
    health: Reporter,
    workers: JoinSet<(MerchantId, Option<Hold>)>,
    /// Whose notices the workers are at. A worker that panics is found here by its task.
    tasks: HashMap<tokio::task::Id, MerchantId>,
    in_flight: HashMap<MerchantId, u32>,
    holds: Holds,
    /// Where the last look at the merchants ended.
    cursor: MerchantId,
}

/// While there is something to do, the schedule is looked at this often: a round costs three statements.
const BUSY_INTERVAL: Duration = Duration::from_millis(20);
/// At shutdown, what is under way may take this long; what is cut off is sent again by another replica or the next start.
const DRAIN: Duration = Duration::from_secs(8);
/// How long to wait when the database does not answer.
const DATABASE_AWAY: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// A dispatcher for `channel`.
    pub fn new(
        channel: Channel,
        courier: Arc<Courier>,
        settings: &config::Delivery,
        health: Reporter,
    ) -> Self {
        Self {
            channel,
            courier,
            concurrency: u32::from(settings.concurrency),
            per_merchant: u32::from(settings.per_merchant),
            poll_interval: settings.poll_interval(),
            health,
            workers: JoinSet::new(),
            tasks: HashMap::new(),
            in_flight: HashMap::new(),
            holds: Holds::default(),
            cursor: MerchantId::from_uuid(Uuid::nil()),
        }
    }

    /// Runs until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut look_at = Instant::now();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(finished) = self.workers.join_next_with_id() => self.finished(finished),
                () = sleep_until(look_at) => look_at = Instant::now() + self.look().await,
            }
        }
        let drained =
            tokio::time::timeout(DRAIN, async { while self.workers.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(
                channel = self.channel.as_str(),
                "deliveries were cut off; they will be repeated"
            );
        }
        Ok(())
    }

    /// One look at the schedule; returns how long to wait until the next.
    async fn look(&mut self) -> Duration {
        match self.take_on().await {
            Ok(count) => {
                match self.holds.channel_until() {
                    Some(_) => self
                        .health
                        .degraded("deliveries wait for the gateway's contacts or the mail relay"),
                    None => self.health.up(),
                }
                if count > 0 {
                    BUSY_INTERVAL
                } else {
                    self.poll_interval
                }
            }
            Err(error) => {
                tracing::warn!(channel = self.channel.as_str(), error = %Chain(&error), "deliveries are held up");
                self.health.degraded("the schedule cannot be read");
                DATABASE_AWAY
            }
        }
    }

    /// Claims what the free workers can do, and starts them. Returns how many were started.
    async fn take_on(&mut self) -> Result<usize, StoreError> {
        let now = self.courier.clock.now();
        let mut except: Vec<Uuid> = self.holds.merchants_at(now).collect();
        let free = self.concurrency.saturating_sub(self.under_way());
        let is_held = self.holds.channel_until().is_some();
        if free == 0 || is_held || !self.is_anything_due().await? {
            return Ok(0);
        }
        let full = self
            .in_flight
            .iter()
            .filter(|(_, count)| **count >= self.per_merchant);
        except.extend(full.map(|(merchant_id, _)| merchant_id.uuid()));
        let waiting = self.waiting(&except, free).await?;
        let shares = shares(free, self.per_merchant, &waiting);
        if shares.is_empty() {
            return Ok(0);
        }
        let lease_ends_at = later(now, self.courier.lease);
        let claims = claims::claim(&self.courier.pool, self.channel, &shares, now, lease_ends_at).await?;
        let count = claims.len();
        for claim in claims {
            self.start(claim);
        }
        Ok(count)
    }

    async fn is_anything_due(&self) -> Result<bool, StoreError> {
        let due_at = claims::next_due_at(&self.courier.pool, self.channel).await?;
        Ok(due_at.is_some_and(|due_at| due_at <= self.courier.clock.now()))
    }

    /// Merchants with something due, from where the last look ended and around.
    async fn waiting(&mut self, except: &[Uuid], limit: u32) -> Result<Vec<Waiting>, StoreError> {
        let first = MerchantId::from_uuid(Uuid::nil());
        let (pool, channel, now) = (&self.courier.pool, self.channel, self.courier.clock.now());
        let mut found = claims::waiting_merchants(pool, channel, self.cursor, except, now, limit).await?;
        if found.is_empty() && self.cursor != first {
            found = claims::waiting_merchants(pool, channel, first, except, now, limit).await?;
        }
        self.cursor = found.last().copied().unwrap_or(first);
        let in_flight = |merchant_id| self.in_flight.get(merchant_id).copied().unwrap_or_default();
        Ok(found
            .iter()
            .map(|it| Waiting {
                merchant_id: *it,
                in_flight: in_flight(it),
            })
            .collect())
    }

    fn start(&mut self, claim: Claim) {
        let merchant_id = claim.merchant_id;
        let courier = Arc::clone(&self.courier);
        let span = tracing::info_span!(
            "notification.deliver",
            notification_no = %claim.notification_no,
            event_id = %claim.event_id,
            channel = claim.channel.as_str(),
        );
        let delivery = async move {
            let hold = courier.deliver(&claim).await.unwrap_or_else(|error| {
                tracing::warn!(
                    notification_no = %claim.notification_no, error = %Chain(&error),
                    "a delivery was given up; it will be repeated when its lease ends"
                );
                None
            });
            (merchant_id, hold)
        };
        let worker = self.workers.spawn(delivery.instrument(span));
        self.tasks.insert(worker.id(), merchant_id);
        *self.in_flight.entry(merchant_id).or_default() += 1;
    }

    fn finished(&mut self, finished: Result<(tokio::task::Id, (MerchantId, Option<Hold>)), JoinError>) {
        let (task, hold) = match finished {
            Ok((task, (_, hold))) => (task, hold),
            Err(error) => {
                tracing::error!(%error, "a delivery panicked; it will be repeated when its lease ends");
                (error.id(), None)
            }
        };
        if let Some(merchant_id) = self.tasks.remove(&task)
            && let Some(count) = self.in_flight.get_mut(&merchant_id)
        {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(&merchant_id);
            }
        }
        if let Some(hold) = hold {
            self.holds.add(hold);
        }
    }

    fn under_way(&self) -> u32 {
        self.in_flight.values().sum()
    }
}
