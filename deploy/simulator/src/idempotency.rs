//! Idempotency keys as Stripe treats them, used by the PSP and by the bank.
//!
//! Same key and same parameters: the first answer again. Other parameters: refused. First request still running:
//! refused. What failed before anything was executed is not saved, so the key stays free.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::journal::{Journal, Restored};
use crate::shelf::Shelf;

/// Stripe may remove keys that are at least 24 hours old.
const RETENTION_SECONDS: i64 = 24 * 3600;
/// Newest keys that are kept; a day of traffic of a local platform.
const MAX_KEYS: usize = 200_000;

/// An answer that is given again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) request_id: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    key: String,
    fingerprint: String,
    begun_at: i64,
    /// `None` while the first request runs.
    answer: Option<Saved>,
}

/// What to do with a request that carries a key.
#[derive(Debug)]
pub(crate) enum Begin {
    Fresh,
    Replay(Saved),
    OtherParameters,
    InUse,
}

#[derive(Debug)]
pub(crate) struct Idempotency {
    kind: &'static str,
    entries: Mutex<Shelf<Entry>>,
    journal: Arc<Journal>,
}

impl Idempotency {
    pub(crate) fn restore(
        kind: &'static str,
        restored: &mut Restored,
        journal: Arc<Journal>,
    ) -> Result<Self, serde_json::Error> {
        let mut shelf = Shelf::new(MAX_KEYS);
        for entry in restored.take::<Entry>(kind)? {
            let key = entry.key.clone();
            shelf.put(&key, entry);
        }
        Ok(Self {
            kind,
            entries: Mutex::new(shelf),
            journal,
        })
    }

    pub(crate) fn begin(&self, key: &str, fingerprint: &str) -> Begin {
        let now = clock::unix_seconds();
        let mut entries = self.entries();
        if let Some(known) = entries.get(key) {
            if now - known.begun_at < RETENTION_SECONDS || known.answer.is_none() {
                return match &known.answer {
                    _ if known.fingerprint != fingerprint => Begin::OtherParameters,
                    Some(answer) => Begin::Replay(answer.clone()),
                    None => Begin::InUse,
                };
            }
            entries.remove(key);
        }
        let entry = Entry {
            key: key.to_owned(),
            fingerprint: fingerprint.to_owned(),
            begun_at: now,
            answer: None,
        };
        entries.put(key, entry);
        for forgotten in entries.drain_forgotten() {
            self.journal.forget(self.kind, &forgotten);
        }
        Begin::Fresh
    }

    /// Ends a request that began as fresh: with an answer to give again, or with none if nothing was executed.
    pub(crate) fn finish(&self, key: &str, answer: Option<Saved>) {
        let mut entries = self.entries();
        let Some(answer) = answer else {
            entries.remove(key);
            return;
        };
        if let Some(entry) = entries.get_mut(key) {
            entry.answer = Some(answer);
            self.journal.keep(self.kind, key, entry);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Shelf<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
