//! Which lane an aggregate is in, and how a commit wakes whoever relays that lane.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

/// How many lanes there are; migration 0005 says why so many.
pub const LANES: usize = 8;

/// A share of the aggregates. One relay at a time holds it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(u8);

impl Lane {
    /// The lane of an aggregate: the same as `eventing.outbox_lane(topic, key)` in PostgreSQL.
    pub fn of(topic: &str, key: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(topic)
            .chain_update("/")
            .chain_update(key)
            .finalize();
        let [first, ..] = <[u8; 32]>::from(digest);
        Self::all().nth(usize::from(first) % LANES).unwrap_or(Self(0))
    }

    /// All lanes.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(LANES).map(Self)
    }

    /// Its number, as the tables have it.
    pub fn number(self) -> i16 {
        i16::from(self.0)
    }

    /// The lane of that number.
    pub fn numbered(number: i16) -> Option<Self> {
        Self::all().find(|lane| lane.number() == number)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Lanes as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set(u32);

impl Set {
    fn of(lane: Lane) -> Self {
        Self(1 << lane.0)
    }

    fn contains(self, lane: Lane) -> bool {
        self.0 & Self::of(lane).0 != 0
    }
}

/// What a transaction appended. Give it to [`Outbox::committed`](super::Outbox::committed) after the commit.
#[must_use = "give it to `Outbox::committed` after the commit, or the relay finds the event only when it next looks"]
#[derive(Clone, Copy, Debug, Default)]
pub struct Appended {
    lanes: Set,
    asleep: Set,
}

impl Appended {
    /// One event, in this lane, whose relay was asleep or not when the event was inserted.
    pub(super) fn one(lane: Lane, is_asleep: bool) -> Self {
        let lanes = Set::of(lane);
        let asleep = if is_asleep { lanes } else { Set::default() };
        Self { lanes, asleep }
    }

    /// What was appended together with `other`, in the same transaction.
    pub fn and(self, other: Self) -> Self {
        Self {
            lanes: Set(self.lanes.0 | other.lanes.0),
            asleep: Set(self.asleep.0 | other.asleep.0),
        }
    }
}

/// How commits of this process reach whoever relays their lanes: a relay in this process at once, another process's by a
/// notification, if it sleeps.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    lanes: [LaneWake; LANES],
    elsewhere: AtomicU32,
    to_notify: Notify,
}

#[derive(Debug, Default)]
struct LaneWake {
    /// How many tasks of this process relay the lane: one, or none.
    relayed_here: AtomicUsize,
    committed: Notify,
}

/// While it lives, the lane is relayed here.
pub(crate) struct RelayedHere<'a>(&'a LaneWake);

impl Drop for RelayedHere<'_> {
    fn drop(&mut self) {
        self.0.relayed_here.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Wakes {
    pub(super) fn committed(&self, appended: Appended) {
        let wakes = Lane::all().zip(&self.lanes);
        for (lane, wake) in wakes.filter(|(lane, _)| appended.lanes.contains(*lane)) {
            if wake.relayed_here.load(Ordering::Acquire) > 0 {
                wake.committed.notify_one();
            } else if appended.asleep.contains(lane) {
                self.elsewhere.fetch_or(Set::of(lane).0, Ordering::AcqRel);
                self.to_notify.notify_one();
            }
        }
    }

    /// Says that a lane is relayed here.
    pub(crate) fn relay_here(&self, lane: Lane) -> Option<RelayedHere<'_>> {
        let wake = self.lanes.get(lane.index())?;
        wake.relayed_here.fetch_add(1, Ordering::AcqRel);
        Some(RelayedHere(wake))
    }

    /// Makes the lane's task look, as after a commit.
    pub(crate) fn wake(&self, lane: Lane) {
        if let Some(wake) = self.lanes.get(lane.index()) {
            wake.committed.notify_one();
        }
    }

    /// Waits until the lane has something to look for. A call that came before counts.
    pub(crate) async fn woken(&self, lane: Lane) {
        match self.lanes.get(lane.index()) {
            Some(wake) => wake.committed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until lanes of a sleeping relay in another process have to be notified.
    pub(crate) async fn to_notify(&self) -> Vec<Lane> {
        loop {
            let lanes = Set(self.elsewhere.swap(0, Ordering::AcqRel));
            if lanes != Set::default() {
                return Lane::all().filter(|lane| lanes.contains(*lane)).collect();
            }
            self.to_notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_spread_over_all_lanes() {
        let mut counts = [0_usize; LANES];
        for key in 0..8_000 {
            counts[Lane::of("payments.payment.v1", &format!("pay_{key}")).index()] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
    }

    #[tokio::test]
    async fn a_commit_wakes_its_own_lane_here_and_notifies_only_a_sleeper_elsewhere() {
        let wakes = Wakes::default();
        let [here, asleep, awake] = [Lane(0), Lane(1), Lane(2)];
        let _guard = wakes.relay_here(here).unwrap();
        let appended = Appended::one(here, true)
            .and(Appended::one(asleep, true))
            .and(Appended::one(awake, false));
        wakes.committed(appended);
        wakes.woken(here).await;
        assert_eq!(wakes.to_notify().await, [asleep]);
        assert_eq!(wakes.elsewhere.load(Ordering::Acquire), 0);
    }
}
