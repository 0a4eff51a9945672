use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::PgConnection;

use super::batch::Item;
use super::handler::{Delivery, Handler};
use super::parked::{self, Parking};
use super::ready::{key, keys};
use super::record::Record;
use super::watermarks::{self, Aggregate, Key, Move, Turn};

/// The aggregates of a batch of an ordered group, locked, and how far the batch has brought each.
#[derive(Debug)]
pub(crate) struct Frontier<'a> {
    group: &'a str,
    /// In the order in which they are locked.
    keys: Vec<Key<'a>>,
    aggregates: HashMap<Key<'a>, Progress>,
    parkings: Vec<Parking<'a>>,
    /// Parked events that were applied: of what key, and up to which sequence.
    unparked: Vec<(Key<'a>, i64)>,
}

#[derive(Debug)]
struct Progress {
    /// None while it has no row.
    stored: Option<i64>,
    last: i64,
    parks: bool,
    /// An event whose turn it is was not prepared for it, so that the later ones have to come again with it.
    stalled: bool,
}

impl<'a> Frontier<'a> {
    /// Locks what the items are about.
    pub(crate) async fn lock<H: Handler>(
        tx: &mut PgConnection,
        group: &'a str,
        items: &'a [Item<'_, H>],
    ) -> Result<Self, sqlx::Error> {
        let keys = keys(items);
        let stored = watermarks::lock_all(tx, group, &keys).await?;
        let progress = stored.into_iter().map(|stored| Progress {
            stored,
            last: stored.unwrap_or(0),
            parks: false,
            stalled: false,
        });
        Ok(Self {
            group,
            aggregates: keys.iter().copied().zip(progress).collect(),
            keys,
            parkings: Vec::new(),
            unparked: Vec::new(),
        })
    }

    /// Whether it is an event's turn, after what was applied in the batch before it. None when that cannot be said yet.
    pub(crate) fn turn(&self, delivery: &Delivery) -> Option<Turn> {
        let progress = self.aggregates.get(&key(delivery))?;
        (!progress.stalled).then(|| Turn::of(delivery.sequence, progress.last))
    }

    /// An event was applied.
    pub(crate) fn advance(&mut self, delivery: &'a Delivery, record: &Record) {
        if let Some(progress) = self.aggregates.get_mut(&key(delivery)) {
            progress.last = delivery.sequence;
        }
        if record.parked {
            self.unparked.push((key(delivery), delivery.sequence));
        }
    }

    /// An event has to wait for an earlier one.
    pub(crate) fn park(&mut self, delivery: &'a Delivery, record: &'a Record) {
        let key = key(delivery);
        if let Some(progress) = self.aggregates.get_mut(&key) {
            progress.parks = true;
        }
        if !record.parked {
            let sequence = delivery.sequence;
            self.parkings.push(Parking {
                key,
                sequence,
                record,
            });
        }
    }

    /// An event's turn has come, but it is not ready.
    pub(crate) fn stall(&mut self, delivery: &'a Delivery) {
        if let Some(progress) = self.aggregates.get_mut(&key(delivery)) {
            progress.stalled = true;
        }
    }

    /// Writes down what waits and how far the aggregates are. Answers those of which a parked event's turn has come; none at all
    /// when someone else has begun one of the aggregates at the same time, after which nothing may be committed.
    pub(crate) async fn write(
        &self,
        tx: &mut PgConnection,
        now: Timestamp,
    ) -> Result<Option<Vec<(String, String)>>, sqlx::Error> {
        for ((topic, key), sequence) in self.unparked.iter().copied() {
            let aggregate = Aggregate {
                group: self.group,
                topic,
                key,
            };
            parked::remove_up_to(tx, &aggregate, sequence).await?;
        }
        if !self.parkings.is_empty() {
            parked::park_all(tx, self.group, &self.parkings, now).await?;
        }
        watermarks::advance_all(tx, self.group, &self.moves()).await
    }

    /// An aggregate without a row gets one when events of it are parked: its lock is what keeps parking and draining apart.
    fn moves(&self) -> Vec<Move<'a>> {
        let moved = |key: &Key<'a>| {
            let progress = self.aggregates.get(key)?;
            let moves = progress.last > progress.stored.unwrap_or(0);
            (moves || (progress.parks && progress.stored.is_none())).then_some(Move {
                key: *key,
                from: progress.stored,
                to: progress.last,
            })
        };
        self.keys.iter().filter_map(moved).collect()
    }
}
