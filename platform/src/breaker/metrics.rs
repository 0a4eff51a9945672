//! What operators see of breakers.

use std::sync::LazyLock;

use opentelemetry::metrics::{Counter, UpDownCounter};
use opentelemetry::{KeyValue, global};

use super::machine::Phase;

struct Instruments {
    open: UpDownCounter<i64>,
    transitions: Counter<u64>,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
    let meter = global::meter("platform");
    Instruments {
        open: meter
            .i64_up_down_counter("breaker.open")
            .with_description("Destinations that are left alone, open or half-open")
            .build(),
        transitions: meter
            .u64_counter("breaker.transitions")
            .with_description("Changes of a breaker's state, by the state entered")
            .build(),
    }
});

/// Counts a change of phase.
pub(super) fn changed(family: &'static str, before: Phase, after: Phase) {
    let destination = KeyValue::new("destination", family);
    let to = match after {
        Phase::Closed => "closed",
        Phase::Open => "open",
        Phase::HalfOpen => "half_open",
    };
    if after == Phase::Open {
        tracing::warn!(
            destination = family,
            "breaker opens: the destination is left alone"
        );
    }
    INSTRUMENTS
        .transitions
        .add(1, &[destination.clone(), KeyValue::new("to", to)]);
    let delta = i64::from(after != Phase::Closed) - i64::from(before != Phase::Closed);
    INSTRUMENTS.open.add(delta, &[destination]);
}
