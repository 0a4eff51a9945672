//! A batch, cut up until every failure has a record's name on it.

use std::future::pending;

use futures::FutureExt as _;
use futures::future::{BoxFuture, select_all};

use super::{Item, Ready};
use crate::consumer::failure::Failure;
use crate::consumer::handler::Handler;

/// What is left of a batch, in parts of a transaction each; the next one last.
pub(super) struct Parts<'a, H: Handler>(Vec<Part<'a, H>>);

/// What is settled in one transaction.
pub(super) struct Part<'a, H: Handler> {
    pub(super) items: Vec<Item<'a, H>>,
    /// It comes from a part that failed as a whole.
    pub(super) suspect: bool,
}

impl<'a, H: Handler> Parts<'a, H> {
    pub(super) fn of(items: Vec<Item<'a, H>>) -> Self {
        Self(vec![Part {
            items,
            suspect: false,
        }])
    }

    /// The next part, which is not empty.
    pub(super) fn next(&mut self) -> Option<Part<'a, H>> {
        loop {
            let part = self.0.pop()?;
            if !part.items.is_empty() {
                return Some(part);
            }
        }
    }

    pub(super) fn push(&mut self, part: Part<'a, H>) {
        self.0.push(part);
    }

    /// Comes back to each of these alone.
    pub(super) fn push_singles(&mut self, items: Vec<Item<'a, H>>) {
        let single = |item| Part {
            items: vec![item],
            suspect: false,
        };
        self.0.extend(items.into_iter().rev().map(single));
    }

    /// An item has failed: comes back to those before it, and then to it and the rest.
    pub(super) fn push_around(&mut self, mut part: Part<'a, H>, index: usize, failure: Failure) {
        let mut rest = part.items.split_off(index);
        if let Some(failed) = rest.first_mut() {
            failed.ready = Ready::Failed(failure);
        }
        self.0.push(Part {
            items: rest,
            suspect: part.suspect,
        });
        self.0.push(part);
    }

    /// Some item has failed: comes back to either half, or knows which it was.
    pub(super) fn push_halves(&mut self, mut part: Part<'a, H>, failure: Failure) {
        if part.items.len() < 2 {
            return self.push_around(part, 0, failure);
        }
        let rest = part.items.split_off(part.items.len() / 2);
        self.0.push(Part {
            items: rest,
            suspect: true,
        });
        part.suspect = true;
        self.0.push(part);
    }

    /// Waits until one of the items is told to stop.
    pub(super) fn any_stops(&self) -> BoxFuture<'static, ()> {
        any_stops(self.0.iter().flat_map(|part| &part.items))
    }

    /// Leaves items that were told to stop to whoever reads them again.
    pub(super) fn give_back_stopped(&mut self) {
        for part in &mut self.0 {
            give_back_stopped(&mut part.items);
        }
    }
}

/// Waits until one of these is told to stop.
pub(super) fn any_stops<'i, 'a: 'i, H: Handler>(
    items: impl Iterator<Item = &'i Item<'a, H>>,
) -> BoxFuture<'static, ()> {
    let stops: Vec<_> = items
        .map(|item| Box::pin(item.stop.clone().cancelled_owned()))
        .collect();
    if stops.is_empty() {
        return Box::pin(pending());
    }
    Box::pin(select_all(stops).map(drop))
}

pub(super) fn give_back_stopped<H: Handler>(items: &mut Vec<Item<'_, H>>) {
    items.retain(|item| {
        let stopped = item.stop.is_cancelled();
        if let Some(begun) = item.begun.filter(|_| stopped) {
            begun.finish(false);
        }
        !stopped
    });
}

/// Takes out the items that have an outcome.
pub(super) fn extract_done<'a, H: Handler>(items: &mut Vec<Item<'a, H>>) -> Vec<Item<'a, H>> {
    if items.iter().all(|item| item.outcome.is_some()) {
        return std::mem::take(items);
    }
    items.extract_if(.., |item| item.outcome.is_some()).collect()
}
