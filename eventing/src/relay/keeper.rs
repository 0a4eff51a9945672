//! Keeps a relay's leases, and with them its lanes' tasks.
//!
//! It decides nothing about rows. If it cannot reach the database, its lanes go on as long as nobody else takes them: each of
//! their statements asks for that.

mod waking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgNotification;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{ConnectionError, Control};
use super::floor::{Floor, Rising};
use super::glance::glance;
use super::lane::{self, LaneError, Stop};
use super::leases::{self, EVENTS_CHANNEL, LEASE, Lease, RENEW_EVERY};
use super::state::LaneState;
use super::watch::Pace;
use super::{LOOK_EVERY, RelayError, Shared};
use crate::hold::Hold;
use crate::outbox::Lane;

/// What a stopping lane may take to mark what was acknowledged, and to close its producer and its connection.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    held: BTreeMap<Lane, Held>,
    tasks: JoinSet<(Lane, Result<(), LaneError>)>,
    renew_at: Instant,
    look_at: Instant,
    pace: Pace,
    rising: Rising,
}

/// A lane whose task runs.
struct Held {
    lease: Lease,
    state: Arc<LaneState>,
    stop: Stop,
}

/// Why one connection's time ended.
enum End {
    Shutdown,
    Lost(ConnectionError),
    Relay(RelayError),
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(error)
    }
}

/// What the keeper turns to next.
enum Next {
    Shutdown,
    Renew,
    Look,
    Roused,
    Notify(Vec<Lane>),
    Heard(PgNotification),
    Ended(Lane, Result<(), LaneError>),
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            held: BTreeMap::new(),
            tasks: JoinSet::new(),
            renew_at: Instant::now(),
            look_at: Instant::now(),
            pace: Pace::new(),
            rising: Rising::new(),
        }
    }

    /// Takes lanes and relays them until `shutdown`.
    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> Result<(), RelayError> {
        let mut hold = Hold::new();
        while !shutdown.is_cancelled() {
            let connect = Control::connect(&self.shared.database, self.shared.outbox.service());
            let Some(control) = shutdown.run_until_cancelled(connect).await else {
                break;
            };
            let end = match control {
                Ok(mut control) => self.keep(&mut control, &mut hold, shutdown).await,
                Err(error) => End::Lost(error),
            };
            match end {
                End::Shutdown => break,
                End::Relay(error) => {
                    self.stop().await;
                    return Err(error);
                }
                End::Lost(error) => {
                    tracing::warn!(%error, "the relay cannot renew its leases, and tries again");
                    let reason = format!("the outbox's leases cannot be kept: {error}");
                    self.shared.health.without_leases(Some(reason));
                    self.shared.metrics.lanes(self.held.len(), None);
                    let _ = shutdown.run_until_cancelled(hold.pause()).await;
                }
            }
        }
        self.stop().await;
        Ok(())
    }

    /// Keeps the leases as long as the connection lasts.
    async fn keep(&mut self, control: &mut Control, hold: &mut Hold, shutdown: &CancellationToken) -> End {
        // Whatever was told while nobody listened is made good by looking.
        self.renew_at = Instant::now();
        self.pace.woke_up();
        // The server may have crashed, and may have forgotten deletions that the floors rest on.
        self.rising = Rising::new();
        for held in self.held.values() {
            held.state.raise(Floor::default());
        }
        match self.keep_until_failure(control, hold, shutdown).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn keep_until_failure(
        &mut self,
        control: &mut Control,
        hold: &mut Hold,
        shutdown: &CancellationToken,
    ) -> Result<std::convert::Infallible, End> {
        let name = self.shared.name;
        control
            .run(async |db| leases::renew(db, name, &[], LEASE).await)
            .await?;
        control.run(async |db| leases::announce(db).await).await?;
        loop {
            match self.next(control, shutdown).await? {
                Next::Shutdown => return Err(End::Shutdown),
                Next::Renew => {
                    self.renew(control).await?;
                    hold.reset();
                    self.shared.health.without_leases(None);
                    self.rise(control).await?;
                    self.glance(control).await?;
                }
                Next::Look => self.look(control).await?,
                Next::Roused => self.wake_up(control).await?,
                Next::Notify(lanes) => {
                    control.run(async |db| leases::notify(db, &lanes).await).await?;
                }
                Next::Heard(told) if told.channel() == EVENTS_CHANNEL => self.heard(control, &told).await?,
                Next::Heard(_) => self.renew_at = Instant::now(),
                Next::Ended(lane, outcome) => self.ended(control, lane, outcome).await?,
            }
        }
    }

    async fn next(&mut self, control: &mut Control, shutdown: &CancellationToken) -> Result<Next, End> {
        let shared = Arc::clone(&self.shared);
        let next = tokio::select! {
            biased;
            () = shutdown.cancelled() => Next::Shutdown,
            Some(ended) = self.tasks.join_next() => {
                let (lane, outcome) = unwind(ended);
                Next::Ended(lane, outcome)
            }
            () = tokio::time::sleep_until(self.renew_at) => Next::Renew,
            () = shared.activity.roused() => Next::Roused,
            lanes = shared.outbox.wakes().to_notify() => Next::Notify(lanes),
            told = control.notified() => Next::Heard(told?),
            () = tokio::time::sleep_until(self.pace.next_at()) => Next::Look,
        };
        Ok(next)
    }

    /// Renews the leases, gives lanes up that are more than our share, and takes what nobody has.
    async fn renew(&mut self, control: &mut Control) -> Result<(), End> {
        let name = self.shared.name;
        let leases: Vec<Lease> = self.held.values().map(|held| held.lease).collect();
        let renewed = control
            .run(async |db| leases::renew(db, name, &leases, LEASE).await)
            .await?;
        for held in self.held.values().filter(|held| !renewed.contains(&held.lease)) {
            if !held.stop.at_once.is_cancelled() {
                tracing::warn!(
                    lane = held.lease.lane.number(),
                    "another relay has taken the lane"
                );
            }
            held.stop.politely.cancel();
            held.stop.at_once.cancel();
        }

        let census = control.run(async |db| leases::census(db).await).await?;
        let share = leases::share(&census.relays, name);
        let working = || {
            self.held
                .values()
                .filter(|held| !held.stop.politely.is_cancelled())
        };
        for held in working().skip(share) {
            held.stop.politely.cancel();
        }
        let wanted = share.saturating_sub(working().count());
        let mut without_owner = census.without_owner;
        if wanted > 0 && without_owner > 0 {
            let busy: Vec<Lane> = self.held.keys().copied().collect();
            let taken = control
                .run(async |db| leases::take(db, name, wanted, &busy, LEASE).await)
                .await?;
            without_owner = without_owner.saturating_sub(taken.len());
            for lease in taken {
                self.start(lease);
            }
            if self.pace.is_asleep() {
                self.wake_up(control).await?;
            }
        }
        self.shared.metrics.lanes(self.held.len(), Some(without_owner));
        self.renew_at = Instant::now() + RENEW_EVERY;
        Ok(())
    }

    fn start(&mut self, lease: Lease) {
        tracing::info!(
            lane = lease.lane.number(),
            epoch = lease.epoch,
            "the relay has taken a lane"
        );
        let held = Held {
            lease,
            state: Arc::default(),
            stop: Stop::default(),
        };
        let task = lane::relay(
            Arc::clone(&self.shared),
            lease,
            Arc::clone(&held.state),
            held.stop.clone(),
        );
        self.tasks.spawn(async move { (lease.lane, task.await) });
        self.held.insert(lease.lane, held);
    }

    /// A lane's task is over: the lane is given back, if it is still ours.
    async fn ended(
        &mut self,
        control: &mut Control,
        lane: Lane,
        outcome: Result<(), LaneError>,
    ) -> Result<(), End> {
        let Some(held) = self.held.remove(&lane) else {
            return Ok(());
        };
        match outcome {
            Ok(()) => {}
            Err(LaneError::Configuration(error)) => {
                return Err(End::Relay(RelayError::Configuration(error)));
            }
            Err(error) => tracing::warn!(%error, lane = lane.number(), "the relay stops with a lane"),
        }
        let name = self.shared.name;
        control
            .run(async |db| leases::give_back(db, name, held.lease).await)
            .await?;
        Ok(())
    }

    /// Lets the floors rise.
    async fn rise(&mut self, control: &mut Control) -> Result<(), End> {
        if !self.rising.is_due() {
            return Ok(());
        }
        // All of them are asked, so none keeps the others from being asked.
        let deleted = self
            .held
            .values()
            .filter(|held| held.state.take_deleted())
            .count()
            > 0;
        let lanes = self.floors();
        let rising = &mut self.rising;
        let risen = control
            .run(async |db| rising.rise(db, &lanes, deleted).await)
            .await?;
        for (lane, floor) in risen {
            if let Some(held) = self.held.get(&lane) {
                held.state.raise(floor);
            }
        }
        Ok(())
    }

    /// Looks every few seconds how much there is to do.
    async fn glance(&mut self, control: &mut Control) -> Result<(), End> {
        if Instant::now() < self.look_at || self.held.is_empty() {
            return Ok(());
        }
        let lanes = self.floors();
        let seen = control.run(async |db| glance(db, &lanes).await).await?;
        self.shared.health.set_aside(seen.set_aside);
        self.shared.metrics.seen(seen);
        self.look_at = Instant::now() + LOOK_EVERY;
        Ok(())
    }

    fn floors(&self) -> Vec<(Lane, Floor)> {
        self.held
            .iter()
            .map(|(lane, held)| (*lane, held.state.floor()))
            .collect()
    }

    /// Ends all tasks, and gives everything back at once rather than when it runs out.
    async fn stop(mut self) {
        for held in self.held.values() {
            held.stop.politely.cancel();
        }
        let all_have_ended = async {
            while let Some(ended) = self.tasks.join_next().await {
                let (lane, _) = unwind(ended);
                tracing::debug!(lane = lane.number(), "a lane's task has ended");
            }
        };
        let within = self.shared.settings.stop_within + CLOSE_WITHIN;
        if tokio::time::timeout(within, all_have_ended).await.is_err() {
            // It waits for a database that does not answer; what it has sent is sent again by the lane's next owner.
            self.tasks.shutdown().await;
        }
        self.shared.producers.end().await;
        self.shared.metrics.lanes(0, None);
        // Over a connection of its own: the other may be what ended us.
        let name = self.shared.name;
        let left = match Control::connect(&self.shared.database, self.shared.outbox.service()).await {
            Ok(mut control) => control.run(async |db| leases::leave(db, name).await).await,
            Err(error) => Err(error),
        };
        if let Err(error) = left {
            tracing::warn!(%error, "the relay could not give its lanes back; they are free once its leases run out");
        }
    }
}

/// A lane's task is not cancelled, so if it did not end, it panicked, and so do we.
fn unwind<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
