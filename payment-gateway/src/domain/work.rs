//! What to ask the PSP next, when its last answer is open. Decides only; calls nothing.
//!
//! Asking comes before posting, and posting again happens only while the PSP still remembers the idempotency key: past
//! that, the same post would charge a second time.

use jiff::{SignedDuration, Timestamp};

use super::payment::{Closing, Payment};
use super::refund::Refund;

/// Stripe keeps idempotency keys for 24 h at least; four hours are left for clocks and for requests on their way.
pub const PSP_REMEMBERS_KEYS_FOR: SignedDuration = SignedDuration::from_hours(20);

/// How long after a post "not found" may only mean "not found yet": Stripe's search lags by up to a minute, in an outage by
/// up to an hour.
pub const PSP_FINDS_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// A hosted page lives for at most 24 h after it was made, and one whose name was lost can only be waited for.
const HOSTED_PAGE_LIVES_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Calls that were made for a payment or a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// How often somebody set out to ask the PSP, the first post included.
    pub count: i32,
    /// When the PSP was last posted to, or was about to be: a process that died in between may have done it.
    pub posted_at: Timestamp,
}

impl Attempts {
    /// The first call is about to be made.
    pub fn first(now: Timestamp) -> Self {
        Self {
            count: 1,
            posted_at: now,
        }
    }
}

/// The next thing to ask about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Look the charge up by its name.
    AskIntent(String),
    /// Look the hosted page up by its name.
    AskSession(String),
    /// The name is not known: look it up by our number.
    Search,
    /// Have the charge cancelled.
    CancelIntent(String),
    /// Have the hosted page closed.
    ExpireSession(String),
}

/// What it means that the PSP has nothing under our number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// The post never arrived, and may be repeated.
    Post,
    /// It may not have looked well enough yet.
    Wait,
    /// It never had it, and never will.
    Final,
}

impl Payment {
    /// The next thing to ask the PSP about this open payment, once the first post is over.
    pub fn next_step(&self) -> Step {
        match (&self.psp.session, &self.psp.intent, self.closing) {
            (Some(session), _, Some(_)) => Step::ExpireSession(session.clone()),
            (Some(session), _, None) => Step::AskSession(session.clone()),
            (None, Some(intent), Some(_)) => Step::CancelIntent(intent.clone()),
            (None, Some(intent), None) => Step::AskIntent(intent.clone()),
            (None, None, _) => Step::Search,
        }
    }

    /// What it means that the PSP found nothing under our number.
    pub fn absence(&self, attempts: Attempts, now: Timestamp) -> Absence {
        let is_remembered = now.duration_since(self.created_at) < PSP_REMEMBERS_KEYS_FOR;
        // A hosted page charges nobody by being made, so making it once more to close it is safe; a charge is not.
        if is_remembered && (self.is_hosted() || self.closing.is_none()) {
            return Absence::Post;
        }
        let lives_for = if self.is_hosted() {
            HOSTED_PAGE_LIVES_FOR
        } else {
            SignedDuration::ZERO
        };
        if now.duration_since(attempts.posted_at) < lives_for + PSP_FINDS_AFTER {
            Absence::Wait
        } else {
            Absence::Final
        }
    }

    /// Too old to be waited for any longer.
    #[must_use]
    pub fn expire_if_due(self, expire_after: SignedDuration, now: Timestamp) -> Self {
        if now.duration_since(self.created_at) >= expire_after {
            self.ask_to_close(Closing::Expire)
        } else {
            self
        }
    }
}

impl Refund {
    /// What it means that the PSP has no refund under our number.
    pub fn absence(&self, attempts: Attempts, now: Timestamp) -> Absence {
        if now.duration_since(self.created_at) < PSP_REMEMBERS_KEYS_FOR {
            Absence::Post
        } else if now.duration_since(attempts.posted_at) < PSP_FINDS_AFTER {
            Absence::Wait
        } else {
            Absence::Final
        }
    }
}

/// How long to leave the PSP alone after `count` questions: 2 s, doubled each time up to five minutes.
pub fn pause_after(count: i32) -> SignedDuration {
    const LONGEST: SignedDuration = SignedDuration::from_mins(5);
    let doublings = count.clamp(1, 10) - 1;
    SignedDuration::from_secs(2_i64 << doublings).min(LONGEST)
}
