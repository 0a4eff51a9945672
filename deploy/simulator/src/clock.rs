//! The simulator's own clock: it stands for other companies' machines, which do not share the platform's clock.

use jiff::Timestamp;

/// The present instant.
#[expect(
    clippy::disallowed_methods,
    reason = "the outside world has its own clock; the platform's would hide a service's dependence on it"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Unix time in whole seconds, as the PSP's objects and signatures carry it.
pub(crate) fn unix_seconds() -> i64 {
    now().as_second()
}

/// Unix time in milliseconds, for what falls due within a second.
pub(crate) fn unix_millis() -> i64 {
    now().as_millisecond()
}
