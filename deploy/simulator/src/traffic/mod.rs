//! `simulator traffic`: a merchant's shop with customers, and two people of the platform's staff.
//!
//! The shop pays over all test methods at a bounded rate and refunds some; every so often one person creates the
//! daily settlement of each currency, the other approves it, and it is executed. A service that is down is reported
//! once and tried again; the traffic goes on when it is back.

mod customer;
mod exchange;
mod outage;
mod scenario;
mod settings;
mod shop;
mod signer;
mod staff;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::customer::Customer;
use self::outage::Outage;
use self::scenario::{Plan, Way};
pub use self::settings::TrafficSettings;
use self::shop::{Payment, Shop};
use crate::http_client;

/// Longer than the gateway may take for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const REPORT_EVERY: Duration = Duration::from_mins(1);
/// How long the shop waits for a payment to succeed before it gives a refund up, and how often it looks.
const LOOKS: u32 = 30;
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Why traffic did not start.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// A setting is out of its range; the text names it.
    #[error("{0}")]
    Settings(&'static str),
    /// The HTTP client could not be built.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

#[derive(Debug, Default)]
struct Counts {
    payments: AtomicU64,
    refunds: AtomicU64,
    settlements: AtomicU64,
}

struct Traffic {
    settings: TrafficSettings,
    shop: Shop,
    customer: Customer,
    gateway_outage: Outage,
    counts: Counts,
}

/// Runs until `stop`, or until as many payments were made as the settings ask for. What is under way is finished.
pub async fn run(settings: TrafficSettings, stop: CancellationToken) -> Result<(), TrafficError> {
    settings.check()?;
    let client = http_client::build(REQUEST_TIMEOUT)?;
    let traffic = Arc::new(Traffic {
        shop: Shop::new(&settings, client.clone()),
        customer: Customer::new(&settings, client.clone()),
        gateway_outage: Outage::new("payment-gateway"),
        counts: Counts::default(),
        settings,
    });
    let tasks = TaskTracker::new();
    if traffic.settings.settle_every_seconds > 0 {
        tasks.spawn(settle(
            Arc::clone(&traffic),
            staff::Staff::new(&traffic.settings, client),
            stop.clone(),
        ));
    }
    tasks.spawn(report(Arc::clone(&traffic), stop.clone()));
    pay(&traffic, &tasks, &stop).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    traffic.counts.log();
    Ok(())
}

/// Starts payments at the asked rate; one that finds too many under way is left out, not queued.
async fn pay(traffic: &Arc<Traffic>, tasks: &TaskTracker, stop: &CancellationToken) {
    let in_flight = Arc::new(Semaphore::new(traffic.settings.in_flight));
    let mut ticks = tokio::time::interval(traffic.settings.pause());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut started = 0;
    while traffic.settings.payments.is_none_or(|wanted| started < wanted) {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let Ok(permit) = Arc::clone(&in_flight).try_acquire_owned() else {
            continue;
        };
        started += 1;
        let (traffic, stop) = (Arc::clone(traffic), stop.clone());
        tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = traffic.one_payment() => {}
                () = stop.cancelled() => {}
            }
        });
    }
    // The last payments may end on their own.
    let all = u32::try_from(traffic.settings.in_flight).unwrap_or(u32::MAX);
    tokio::select! {
        _ = in_flight.acquire_many(all) => {}
        () = stop.cancelled() => {}
    }
}

async fn settle(traffic: Arc<Traffic>, staff: staff::Staff, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(traffic.settings.settle_every_seconds));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first tick is immediate, and there is nothing to settle yet.
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            settled = staff.settle_all() => {
                traffic.counts.settlements.fetch_add(settled, Ordering::Relaxed);
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn report(traffic: Arc<Traffic>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => traffic.counts.log(),
            () = stop.cancelled() => return,
        }
    }
}

impl Traffic {
    async fn one_payment(&self) {
        let plan = Plan::random(&self.settings);
        let payment = match self.shop.create(&plan).await {
            Ok(payment) => payment,
            Err(error) => return self.gateway_outage.report(&error),
        };
        self.gateway_outage.over();
        self.counts.payments.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.customer.do_their_part(&plan, &payment).await {
            tracing::debug!(%error, payment_no = payment.payment_no, "the customer did not get through");
        }
        if plan.refund.is_some() && plan.way != Way::Abandoned {
            self.refund(&plan, payment).await;
        }
    }

    /// Waits until the payment has succeeded, then gives (some of) it back.
    async fn refund(&self, plan: &Plan, mut payment: Payment) {
        for _ in 0..LOOKS {
            match payment.status.as_str() {
                "success" => {
                    match self.shop.refund(plan, &payment).await {
                        Ok(()) => self.counts.refunds.fetch_add(1, Ordering::Relaxed),
                        Err(error) => return self.gateway_outage.report(&error),
                    };
                    return;
                }
                "failed" | "cancelled" | "expired" => return,
                _ => tokio::time::sleep(LOOK_PAUSE).await,
            }
            match self.shop.look(&payment.payment_no).await {
                Ok(found) => payment = found,
                Err(error) => return self.gateway_outage.report(&error),
            }
        }
    }
}

impl Counts {
    fn log(&self) {
        tracing::info!(
            payments = self.payments.load(Ordering::Relaxed),
            refunds = self.refunds.load(Ordering::Relaxed),
            settlements = self.settlements.load(Ordering::Relaxed),
            "demo traffic so far"
        );
    }
}
