//! What operators watch: contradictions and payouts that nobody knows the end of.

use std::sync::LazyLock;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

use crate::domain::withdrawal::ConflictKind;

static CONFLICTS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("settlement")
        .u64_counter("settlement.payout.conflicts")
        .with_description("Reports of the bank that contradict what is booked; each needs a person")
        .build()
});

static STUCK: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("settlement")
        .u64_counter("settlement.payout.stuck_looks")
        .with_description(
            "Looks at a payout that the bank does not know and that is too old to be ordered again",
        )
        .build()
});

pub(super) fn conflict(kind: ConflictKind) {
    CONFLICTS.add(1, &[KeyValue::new("kind", kind.name())]);
}

pub(super) fn stuck() {
    STUCK.add(1, &[]);
}
