//! The alarm when the PSP contradicts what we hold as final.

use std::sync::LazyLock;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use schemas::ids::{PaymentNo, RefundNo};

use crate::domain::psp::Conflict;

static CONFLICTS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("payment-gateway")
        .u64_counter("gateway.psp.conflicts")
        .with_description("Contradictions between the PSP and what we hold as final; each needs a person")
        .build()
});

/// Says it once, where somebody looks.
pub(super) fn alarm(payment_no: PaymentNo, refund_no: Option<RefundNo>, conflict: &Conflict) {
    CONFLICTS.add(1, &[KeyValue::new("kind", conflict.kind.word())]);
    tracing::error!(
        %payment_no,
        refund_no = refund_no.map(tracing::field::display),
        kind = conflict.kind.word(),
        psp_reference = conflict.psp_reference,
        our_status = conflict.our_status,
        psp_status = conflict.psp_status,
        "the psp contradicts what we hold as final"
    );
}
