//! The leases of the lanes as a state machine: random histories of relays that take, renew, lose and give back lanes, and mark
//! rows with leases of any age, run against PostgreSQL and against a model in memory, which have to agree at every step.
//!
//! The database's clock is moved by moving every expiry, so a history of hours takes milliseconds.

use std::time::Duration;

use eventing::outbox::{LANES, Lane};
use eventing::relay::leases::{self, Lease};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use sqlx::{Executor as _, PgPool};
use uuid::Uuid;

use super::doubles;
use crate::support::database::Database;

/// Long enough that the time which a history really takes is nothing to it.
const LASTING: Duration = Duration::from_hours(1);
const RELAYS: usize = 3;

/// One step of a history. Relays are numbered, and so are the leases that a relay ever had.
#[derive(Clone, Debug)]
enum Step {
    MinutesPass(i32),
    Renew {
        relay: usize,
    },
    Take {
        relay: usize,
        count: usize,
    },
    GiveBack {
        relay: usize,
        lease: usize,
    },
    Leave {
        relay: usize,
    },
    Mark {
        relay: usize,
        lease: usize,
    },
    /// What the keeper does at every renewal.
    Rebalance {
        relay: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let relay = 0..RELAYS;
    prop_oneof![
        2 => (5..50).prop_map(Step::MinutesPass),
        3 => relay.clone().prop_map(|relay| Step::Renew { relay }),
        3 => (relay.clone(), 1..=LANES).prop_map(|(relay, count)| Step::Take { relay, count }),
        1 => (relay.clone(), 0..64_usize).prop_map(|(relay, lease)| Step::GiveBack { relay, lease }),
        1 => relay.clone().prop_map(|relay| Step::Leave { relay }),
        4 => (relay.clone(), 0..64_usize).prop_map(|(relay, lease)| Step::Mark { relay, lease }),
        2 => relay.prop_map(|relay| Step::Rebalance { relay }),
    ]
}

/// Which design runs against the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Design {
    Ours,
    /// A mark asks who has the lane, and not by which lease.
    MarkWithoutEpoch,
    /// Whoever wants a lane says by its own clock whether the lease has run out. Some clock is always ahead.
    ExpiryByOwnClock,
}

/// A lane as the model has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ModelLane {
    owner: Option<usize>,
    epoch: i64,
    /// In minutes since the history began; what is free has run out.
    expires_at: i32,
}

#[derive(Debug, Default)]
struct Model {
    now: i32,
    lanes: [ModelLane; LANES],
    alive_until: [i32; RELAYS],
    /// What each relay was ever given. It need not know which of these hold.
    leases: [Vec<Lease>; RELAYS],
}

impl Model {
    fn lane(&mut self, lane: Lane) -> &mut ModelLane {
        &mut self.lanes[usize::try_from(lane.number()).unwrap()]
    }

    fn holds(&mut self, relay: usize, lease: Lease) -> bool {
        let lane = *self.lane(lease.lane);
        lane.owner == Some(relay) && lane.epoch == lease.epoch
    }

    fn is_free(&self, lane: ModelLane) -> bool {
        lane.owner.is_none() || lane.expires_at <= self.now
    }

    fn renew(&mut self, relay: usize) -> Vec<Lease> {
        let until = self.now + 60;
        self.alive_until[relay] = until;
        let held: Vec<Lease> = self.leases[relay].clone();
        let held: Vec<Lease> = held
            .into_iter()
            .filter(|lease| self.holds(relay, *lease))
            .collect();
        for lease in &held {
            self.lane(lease.lane).expires_at = until;
        }
        held
    }

    fn take(&mut self, relay: usize, count: usize) -> Vec<Lease> {
        let free: Vec<Lane> = Lane::all()
            .filter(|lane| {
                let lane = *self.lane(*lane);
                self.is_free(lane)
            })
            .take(count)
            .collect();
        let expires_at = self.now + 60;
        free.into_iter()
            .map(|lane| {
                let epoch = self.lane(lane).epoch + 1;
                *self.lane(lane) = ModelLane {
                    owner: Some(relay),
                    epoch,
                    expires_at,
                };
                Lease { lane, epoch }
            })
            .collect()
    }

    fn alive(&self) -> Vec<usize> {
        (0..RELAYS)
            .filter(|relay| self.alive_until[*relay] > self.now)
            .collect()
    }
}

/// The relays' names; in the order of their numbers, as the census has them.
fn name(relay: usize) -> Uuid {
    Uuid::from_u128(relay as u128 + 1)
}

struct History<'a> {
    design: Design,
    pool: &'a PgPool,
    model: Model,
}

impl History<'_> {
    async fn take(&mut self, relay: usize, count: usize) -> Result<(), TestCaseError> {
        let expected = self.model.take(relay, count);
        let mut taken: Vec<Lease> = if self.design == Design::ExpiryByOwnClock {
            doubles::take_by_own_clock(self.pool, name(relay), count, 20)
                .await
                .into_iter()
                .map(|(lane, epoch)| Lease {
                    lane: Lane::numbered(lane).unwrap(),
                    epoch,
                })
                .collect()
        } else {
            leases::take(self.pool, name(relay), count, &[], LASTING)
                .await
                .unwrap()
        };
        taken.sort_by_key(|lease| lease.lane);
        self.model.leases[relay].extend(&taken);
        prop_assert_eq!(taken, expected, "taken by {}", relay);
        Ok(())
    }

    async fn renew(&mut self, relay: usize) -> Result<Vec<Lease>, TestCaseError> {
        let known = self.model.leases[relay].clone();
        let mut renewed = leases::renew(self.pool, name(relay), &known, LASTING)
            .await
            .unwrap();
        renewed.sort_by_key(|lease| lease.lane);
        let mut expected = self.model.renew(relay);
        expected.sort_by_key(|lease| lease.lane);
        prop_assert_eq!(&renewed, &expected, "renewed by {}", relay);
        Ok(renewed)
    }

    async fn give_back(&mut self, relay: usize, lease: Lease) {
        leases::give_back(self.pool, name(relay), lease).await.unwrap();
        if self.model.holds(relay, lease) {
            self.model.lane(lease.lane).owner = None;
        }
    }

    /// Marks a row that was sent under this lease: it is marked if the lease still holds, and only then.
    async fn mark(&mut self, relay: usize, lease: Lease) -> Result<(), TestCaseError> {
        let seq: i64 = sqlx::query_scalar(
            "insert into eventing.outbox (lane, topic, key, sequence, payload, headers, created_at)
             values ($1, 'payments.payment.v1', 'a', 1, '', '', now()) returning seq",
        )
        .bind(lease.lane.number())
        .fetch_one(self.pool)
        .await
        .unwrap();
        let marked = if self.design == Design::MarkWithoutEpoch {
            doubles::mark_by_owner(self.pool, name(relay), lease, &[seq]).await
        } else {
            leases::mark(self.pool, name(relay), lease, &[seq]).await.unwrap()
        };
        let expected = u64::from(self.model.holds(relay, lease));
        prop_assert_eq!(marked, expected, "marked by {} under {:?}", relay, lease);
        Ok(())
    }

    async fn rebalance(&mut self, relay: usize) -> Result<(), TestCaseError> {
        let held = self.renew(relay).await?;
        let census = leases::census(self.pool).await.unwrap();
        let alive: Vec<Uuid> = self.model.alive().into_iter().map(name).collect();
        prop_assert_eq!(&census.relays, &alive);
        let free = self
            .model
            .lanes
            .iter()
            .filter(|lane| self.model.is_free(**lane))
            .count();
        prop_assert_eq!(census.without_owner, free);
        let share = leases::share(&census.relays, name(relay));
        for lease in held.iter().skip(share) {
            self.give_back(relay, *lease).await;
        }
        match share.saturating_sub(held.len()) {
            0 => Ok(()),
            wanted => self.take(relay, wanted).await,
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::MinutesPass(minutes) => {
                self.model.now += minutes;
                for table in ["outbox_lanes", "outbox_relays"] {
                    let pass = format!(
                        "update eventing.{table} set expires_at = expires_at - make_interval(mins => $1)"
                    );
                    sqlx::query(sqlx::AssertSqlSafe(pass))
                        .bind(minutes)
                        .execute(self.pool)
                        .await
                        .unwrap();
                }
            }
            Step::Renew { relay } => drop(self.renew(relay).await?),
            Step::Take { relay, count } => self.take(relay, count).await?,
            Step::GiveBack { relay, lease } => {
                if let Some(lease) = self.any_lease(relay, lease) {
                    self.give_back(relay, lease).await;
                }
            }
            Step::Leave { relay } => {
                leases::leave(self.pool, name(relay)).await.unwrap();
                self.model.alive_until[relay] = 0;
                for lane in self
                    .model
                    .lanes
                    .iter_mut()
                    .filter(|lane| lane.owner == Some(relay))
                {
                    lane.owner = None;
                }
            }
            Step::Mark { relay, lease } => {
                if let Some(lease) = self.any_lease(relay, lease) {
                    self.mark(relay, lease).await?;
                }
            }
            Step::Rebalance { relay } => self.rebalance(relay).await?,
        }
        Ok(())
    }

    fn any_lease(&self, relay: usize, number: usize) -> Option<Lease> {
        let leases = &self.model.leases[relay];
        leases.get(number % leases.len().max(1)).copied()
    }

    /// When everybody is alive and nothing happens any more, all lanes are shared fairly.
    async fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..3 {
            for relay in 0..RELAYS {
                self.rebalance(relay).await?;
            }
        }
        let mut shares = [0; RELAYS];
        for lane in self.model.lanes.iter().filter(|lane| !self.model.is_free(**lane)) {
            shares[lane.owner.unwrap()] += 1;
        }
        prop_assert_eq!(shares, [3, 3, 2]);
        Ok(())
    }
}

/// Runs random histories. Returns the smallest that the design does not survive, if there is one.
fn run(design: Design) -> Option<Vec<Step>> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(Database::create());
    let config = Config {
        cases: 100,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let history = prop::collection::vec(step(), 1..40);
    let outcome = TestRunner::new(config).run(&history, |steps| {
        runtime.block_on(async {
            for reset in [
                "update eventing.outbox_lanes set owner = null, epoch = 0, expires_at = '-infinity'",
                "delete from eventing.outbox_relays",
            ] {
                database.pool.execute(reset).await.unwrap();
            }
            let mut history = History {
                design,
                pool: &database.pool,
                model: Model::default(),
            };
            for step in &steps {
                history.step(step).await?;
            }
            history.settle().await
        })
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(reason, steps)) => {
            println!("{design:?} fails: {reason} in {steps:#?}");
            Some(steps)
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn leases_behave_as_their_model() {
    assert!(run(Design::Ours).is_none());
}

#[test]
fn a_mark_that_asks_for_the_owner_and_not_for_the_lease_is_caught() {
    let steps = run(Design::MarkWithoutEpoch).unwrap();
    assert!(steps.iter().any(|step| matches!(step, Step::Mark { .. })));
}

#[test]
fn a_lease_that_runs_out_by_its_owner_s_clock_is_caught() {
    let steps = run(Design::ExpiryByOwnClock).unwrap();
    assert!(steps.iter().any(|step| matches!(step, Step::MinutesPass(_))));
}
