//! When failures show that something is down, rather than that a record is wrong.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// Fingerprints that are watched at once. Failures of more kinds than these do not look like one thing that is down.
const MAX_FINGERPRINTS: usize = 256;

/// Failures by fingerprint since the last event of the same type was applied.
///
/// What is down fails every record that needs it. So a fingerprint is proved by a run of failures of so many *different* keys,
/// in which no event of their types is applied. One poison record is one key, however often it is tried. Many poison records
/// among good ones never make a run, because the good ones end it: at even odds, a run of 20 is one in a million.
/// An event of another type says nothing: it may not need what is down at all.
#[derive(Debug)]
pub(super) struct Suspects {
    keys: usize,
    window: Duration,
    runs: HashMap<String, Run>,
}

/// The keys that failed, and what failed of them last.
type Run = HashMap<Vec<u8>, Failed>;

#[derive(Debug)]
struct Failed {
    event_type: String,
    at: Instant,
}

impl Suspects {
    /// `keys` make a run, each of which failed within `window`.
    pub(super) fn new(keys: usize, window: Duration) -> Self {
        Self {
            keys,
            window,
            runs: HashMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Counts a failure, and answers the event types that fail when it completes a run.
    pub(super) fn failed(
        &mut self,
        fingerprint: &str,
        event_type: &str,
        key: &[u8],
        now: Instant,
    ) -> Option<BTreeSet<String>> {
        if self.runs.len() >= MAX_FINGERPRINTS && !self.runs.contains_key(fingerprint) {
            self.runs.clear();
        }
        let window = self.window;
        let run = self.runs.entry(fingerprint.to_owned()).or_default();
        run.retain(|_, failed| now.duration_since(failed.at) <= window);
        run.insert(
            key.to_vec(),
            Failed {
                event_type: event_type.to_owned(),
                at: now,
            },
        );
        if run.len() < self.keys {
            return None;
        }
        let run = self.runs.remove(fingerprint)?;
        Some(run.into_values().map(|failed| failed.event_type).collect())
    }

    /// An event of this type was applied: what it needs is there.
    pub(super) fn applied(&mut self, event_type: &str) {
        self.runs.retain(|_, run| {
            run.retain(|_, failed| failed.event_type != event_type);
            !run.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(10);

    fn suspects() -> Suspects {
        Suspects::new(3, WINDOW)
    }

    /// Fails these keys' events of type `t`, and answers whether that proves anything.
    fn fail(suspects: &mut Suspects, keys: &[&str], at: Instant) -> bool {
        keys.iter()
            .any(|key| suspects.failed("f", "t", key.as_bytes(), at).is_some())
    }

    #[tokio::test]
    async fn a_run_of_different_keys_proves_a_fingerprint_and_one_key_never_does() {
        let (mut suspects, now) = (suspects(), Instant::now());
        assert!(!fail(&mut suspects, &["a"; 100], now));
        assert!(!fail(&mut suspects, &["b"], now));
        assert!(fail(&mut suspects, &["c"], now));
        assert!(suspects.is_empty(), "it starts over");
    }

    #[tokio::test]
    async fn an_applied_event_of_the_same_type_ends_a_run_and_one_of_another_type_does_not() {
        let (mut suspects, now) = (suspects(), Instant::now());
        fail(&mut suspects, &["a", "b"], now);
        suspects.applied("t");
        assert!(!fail(&mut suspects, &["c", "d"], now));
        suspects.applied("another");
        assert!(fail(&mut suspects, &["e"], now));
    }

    #[tokio::test]
    async fn an_applied_event_takes_only_its_own_type_out_of_a_run_of_several() {
        let (mut suspects, now) = (suspects(), Instant::now());
        suspects.failed("f", "t", b"a", now);
        suspects.failed("f", "u", b"b", now);
        suspects.applied("t");
        assert_eq!(suspects.failed("f", "u", b"c", now), None);
        let types = suspects.failed("f", "u", b"d", now).unwrap();
        assert_eq!(types, BTreeSet::from(["u".to_owned()]));
    }

    #[tokio::test]
    async fn fingerprints_are_counted_apart_and_old_failures_forgotten() {
        let (mut suspects, now) = (suspects(), Instant::now());
        suspects.failed("g", "t", b"x", now);
        suspects.failed("g", "t", b"y", now);
        assert!(!fail(&mut suspects, &["a", "b"], now));
        assert!(!fail(&mut suspects, &["c"], now + WINDOW * 2));
    }

    #[tokio::test]
    async fn thousand_poison_records_among_as_many_good_ones_prove_nothing() {
        let (mut suspects, now) = (Suspects::new(20, WINDOW), Instant::now());
        for poison in 0..1_000 {
            assert!(!fail(&mut suspects, &[&poison.to_string()], now));
            if poison % 2 == 0 {
                suspects.applied("t");
            }
        }
    }
}
