//! Looks for rows of which nobody told: those that other processes commit, and whatever a wake-up was lost for.
//!
//! A commit of this process wakes its lane's task directly. For all other rows, one statement asks for the idle lanes of this
//! relay, every millisecond while it finds some, and less and less often when it does not. After a second without any work the
//! relay says that it sleeps: from then on it asks only four times a second, and writers of other processes notify it. There is no
//! `NOTIFY` while it is awake: inside every transaction it serialises commits.

use std::time::Duration;

use sqlx::PgExecutor;
use tokio::time::Instant;

use super::floor::Floor;
use crate::outbox::Lane;

/// While events come from elsewhere, one waits no longer than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// While the relay is awake.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// While it sleeps: for an event that was inserted when it was still awake, and committed when it slept.
const ASLEEP_PAUSE: Duration = Duration::from_millis(250);
/// After so long without work it sleeps.
pub(super) const SLEEP_AFTER: Duration = Duration::from_secs(1);

/// How often to look.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    next_at: Instant,
    asleep: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            pause: SHORTEST_PAUSE,
            next_at: Instant::now(),
            asleep: false,
        }
    }

    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// Looked just now; `unannounced` if rows that nobody had told of were sent since the last time.
    pub(super) fn looked(&mut self, unannounced: bool) {
        self.pause = match (unannounced, self.asleep) {
            (true, _) => SHORTEST_PAUSE,
            (false, true) => ASLEEP_PAUSE,
            (false, false) => (self.pause * 2).min(LONGEST_PAUSE),
        };
        self.next_at = Instant::now() + self.pause;
    }

    /// Writers elsewhere know from now on that we sleep; what they committed before is looked for once more, at once.
    pub(super) fn fell_asleep(&mut self) {
        self.asleep = true;
        self.next_at = Instant::now();
    }

    pub(super) fn woke_up(&mut self) {
        self.asleep = false;
        self.pause = SHORTEST_PAUSE;
        self.next_at = Instant::now();
    }
}

/// Which of these lanes have rows above their floors.
pub(super) async fn lanes_with_rows(
    db: impl PgExecutor<'_>,
    lanes: &[(Lane, Floor)],
) -> sqlx::Result<Vec<Lane>> {
    let numbers: Vec<i16> = lanes.iter().map(|(lane, _)| lane.number()).collect();
    let seqs: Vec<i64> = lanes.iter().map(|(_, floor)| floor.seq).collect();
    let releases: Vec<i64> = lanes.iter().map(|(_, floor)| floor.releases).collect();
    let found = sqlx::query_scalar!(
        r#"select asked.lane as "lane!"
           from unnest($1::smallint[], $2::bigint[], $3::bigint[]) as asked (lane, seq, releases)
           join eventing.outbox_lanes as lanes using (lane)
           cross join lateral (
               select from eventing.outbox as row
               where row.lane = asked.lane
                 and row.seq > case when lanes.releases = asked.releases then asked.seq else 0 end
               order by row.seq
               limit 1
           ) as first"#,
        &numbers,
        &seqs,
        &releases,
    )
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().filter_map(Lane::numbered).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_slows_down_until_something_unannounced_comes() {
        let mut pace = Pace::new();
        for _ in 0..10 {
            pace.looked(false);
        }
        assert_eq!(pace.pause, LONGEST_PAUSE);
        pace.fell_asleep();
        pace.looked(false);
        assert_eq!((pace.pause, pace.is_asleep()), (ASLEEP_PAUSE, true));
        pace.woke_up();
        pace.looked(true);
        assert_eq!((pace.pause, pace.is_asleep()), (SHORTEST_PAUSE, false));
    }
}
