//! Parking and draining as a state machine: the runtime itself, on a real database, against what it promises.
//!
//! A case is a random walk over two aggregates: events are read, again and again, in and out of turn, fail, come back through
//! tiers, die, are given up, taken back, replayed, never published, accepted as missing; and in the middle of any of it the
//! process dies. After each step, and after everything that is left was done, the promises are looked at: each event
//! applied once, in the order of its sequence, and nothing lost. Doubles that break one of them on purpose are kept, to see that
//! the walk finds them.

mod case;
mod steps;
mod world;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use case::Case;
use steps::{Step, steps};
use world::World;

/// How it is done: as it should be, or wrong in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Real,
    /// The drain takes an event out of the parked ones before it is settled.
    UnparksFirst,
    /// Giving an event up moves the aggregate on to it, whatever is missing before it.
    DiscardJumps,
    /// Giving an event up can be taken back when later ones were applied.
    UndoForgets,
}

/// Walks until a promise is broken, or so many cases have kept them.
fn explore(variant: Variant, cases: u32) -> Result<(), TestError<Vec<Step>>> {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = tokio.block_on(World::new());
    let config = Config {
        cases,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = match variant {
        Variant::Real => TestRunner::new(config),
        // Always the same walks, among which one is known to find it.
        _ => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let found = runner.run(&steps(), |steps| {
        tokio.block_on(Case::new(&world, variant).walk(&steps))
    });
    tokio.block_on(world.drop());
    found
}

#[test]
fn events_are_applied_once_in_order_and_none_is_lost_whatever_happens() {
    if let Err(broken) = explore(Variant::Real, 60) {
        panic!("{broken}");
    }
}

#[test]
fn a_drain_that_unparks_before_it_has_settled_is_found() {
    assert!(matches!(
        explore(Variant::UnparksFirst, 400),
        Err(TestError::Fail(..))
    ));
}

#[test]
fn a_discard_that_jumps_over_what_is_missing_is_found() {
    assert!(matches!(
        explore(Variant::DiscardJumps, 400),
        Err(TestError::Fail(..))
    ));
}

#[test]
fn an_undo_that_forgets_what_was_applied_since_is_found() {
    assert!(matches!(
        explore(Variant::UndoForgets, 400),
        Err(TestError::Fail(..))
    ));
}
