//! When a relay looks for rows, when it sleeps, and what wakes it.

use sqlx::postgres::PgNotification;

use super::{End, Keeper};
use crate::outbox::Lane;
use crate::relay::connection::Control;
use crate::relay::floor::Floor;
use crate::relay::leases;
use crate::relay::watch::{self, SLEEP_AFTER};

impl Keeper {
    /// Looks for rows of which nobody told, and falls asleep after a while without work.
    pub(super) async fn look(&mut self, control: &mut Control) -> Result<(), End> {
        if !self.pace.is_asleep() && self.shared.activity.idle_for() >= SLEEP_AFTER {
            self.shared.activity.fall_asleep();
            self.set_asleep(control, true).await?;
            self.pace.fell_asleep();
        }
        let idle: Vec<(Lane, Floor)> = self
            .held
            .iter()
            .filter(|(_, held)| held.state.is_idle())
            .map(|(lane, held)| (*lane, held.state.floor()))
            .collect();
        if !idle.is_empty() {
            let found = control
                .run(async |db| watch::lanes_with_rows(db, &idle).await)
                .await?;
            for lane in found {
                self.wake(lane, true);
            }
        }
        self.pace.looked(self.shared.activity.take_unannounced());
        Ok(())
    }

    pub(super) fn wake(&self, lane: Lane, found_by_poll: bool) {
        if let Some(held) = self.held.get(&lane) {
            if found_by_poll {
                held.state.found_by_poll();
            }
            self.shared.outbox.wakes().wake(lane);
        }
    }

    /// Another process has committed an event and saw that we sleep.
    pub(super) async fn heard(&mut self, control: &mut Control, told: &PgNotification) -> Result<(), End> {
        let lane = told.payload().parse().ok().and_then(Lane::numbered);
        if let Some(lane) = lane.filter(|lane| self.held.contains_key(lane)) {
            self.wake(lane, true);
            self.wake_up(control).await?;
        }
        Ok(())
    }

    pub(super) async fn wake_up(&mut self, control: &mut Control) -> Result<(), End> {
        if self.pace.is_asleep() {
            self.shared.activity.woke_up();
            self.set_asleep(control, false).await?;
        }
        self.pace.woke_up();
        Ok(())
    }

    async fn set_asleep(&mut self, control: &mut Control, is_asleep: bool) -> Result<(), End> {
        let name = self.shared.name;
        control
            .run(async |db| leases::set_asleep(db, name, is_asleep).await)
            .await?;
        Ok(())
    }
}
