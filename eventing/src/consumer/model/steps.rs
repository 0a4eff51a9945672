//! What may happen in a walk, and how often.

use proptest::prelude::*;

use super::world::Answer;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The next event is read, or one that was read before.
    Read {
        key: usize,
        back: usize,
        how: How,
    },
    /// A record of a tier is read.
    Retry {
        pick: usize,
        how: How,
    },
    /// The periodic drain comes by.
    Drain {
        how: How,
    },
    /// The next event never gets to the topic.
    Lose {
        key: usize,
    },
    /// The next event gets there as bytes that nobody can decode.
    Break {
        key: usize,
    },
    Discard {
        key: usize,
        pick: usize,
    },
    Undo {
        key: usize,
        pick: usize,
    },
    Replay {
        key: usize,
        pick: usize,
    },
    Accept {
        key: usize,
    },
}

#[derive(Clone, Debug, Default)]
pub(super) struct How {
    /// What the handler does with the first events that it gets; it applies the rest.
    pub(super) answers: Vec<Answer>,
    /// After how many polls the process dies.
    pub(super) crash: Option<u16>,
}

/// Seldom more than one thing goes wrong with an aggregate by chance, so most walks begin in the middle of it.
fn starts() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        2 => Just(Vec::new()),
        // A dead letter, and events that are parked behind it.
        4 => Just(vec![dies(0), read(0), read(0)]),
        // The same, but the first of those behind it is a dead letter as well.
        3 => Just(vec![dies(0), Step::Break { key: 0 }, read(0), read(0)]),
        // A letter was given up, and the event behind it is one now.
        3 => Just(vec![dies(0), Step::Discard { key: 0, pick: 0 }, dies(0), read(0)]),
        // An event waits in a tier, and events are parked behind it.
        2 => Just(vec![read_so(0, Answer::Retry), read(0), read(0)]),
    ]
}

fn read(key: usize) -> Step {
    read_so(key, Answer::Apply)
}

fn dies(key: usize) -> Step {
    read_so(key, Answer::Dead)
}

fn read_so(key: usize, answer: Answer) -> Step {
    let how = How {
        answers: vec![answer],
        crash: None,
    };
    Step::Read { key, back: 0, how }
}

/// How a walk begins, and what happens then.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let answer = prop_oneof![
        4 => Just(Answer::Apply),
        2 => Just(Answer::Retry),
        2 => Just(Answer::Dead),
    ];
    let crash = prop_oneof![3 => Just(None), 1 => (1_u16..60).prop_map(Some)];
    let how =
        (prop::collection::vec(answer, 0..4), crash).prop_map(|(answers, crash)| How { answers, crash });
    // The first aggregate is where a walk begins.
    let key = prop_oneof![3 => Just(0_usize), 1 => Just(1_usize)];
    let pick = 0_usize..6;
    let step = prop_oneof![
        10 => (key.clone(), prop_oneof![4 => Just(0_usize), 1 => 1_usize..4], how.clone())
            .prop_map(|(key, back, how)| Step::Read { key, back, how }),
        5 => (pick.clone(), how.clone()).prop_map(|(pick, how)| Step::Retry { pick, how }),
        3 => how.prop_map(|how| Step::Drain { how }),
        1 => key.clone().prop_map(|key| Step::Lose { key }),
        1 => key.clone().prop_map(|key| Step::Break { key }),
        5 => (key.clone(), pick.clone()).prop_map(|(key, pick)| Step::Discard { key, pick }),
        4 => (key.clone(), pick.clone()).prop_map(|(key, pick)| Step::Undo { key, pick }),
        2 => (key.clone(), pick).prop_map(|(key, pick)| Step::Replay { key, pick }),
        1 => key.prop_map(|key| Step::Accept { key }),
    ];
    (starts(), prop::collection::vec(step, 3..25)).prop_map(|(mut steps, then)| {
        steps.extend(then);
        steps
    })
}
