//! The work at the PSP: whoever calls it, what came of it is applied here, under the payment's lock.
//!
//! A call never runs inside a database transaction, and never belongs to the request that caused it: it is an owned task
//! that goes on when the merchant's connection is gone. If the process dies, the row says what is open, and the
//! [`sweeper`] asks.

use std::sync::Arc;
use std::time::Duration;

use eventing::{Clock, Outbox};
use jiff::{SignedDuration, Timestamp};
use platform::Tasks;
use platform::breaker::Permit;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::clients::stripe::Stripe;
use crate::store::StoreError;

mod apply;
mod conflict;
mod payment;
mod refund;
pub mod sweeper;

pub use apply::{Finding, RefundFinding};

/// Calls to the PSP for requests under way at once. They may outlive their requests by 30 s, so the bound on requests does
/// not bound them.
const MAX_CALLS: usize = 1024;

/// Everything that work at the PSP needs. Cheap to clone.
#[derive(Clone)]
pub struct Charging {
    /// The service's database.
    pub pool: PgPool,
    /// Where events go, in the transaction of their change.
    pub outbox: Outbox,
    /// The clock.
    pub clock: Clock,
    /// The PSP.
    pub stripe: Stripe,
    /// What calls belong to.
    pub tasks: Tasks,
    /// Its settings.
    pub terms: Terms,
    calls: Arc<Semaphore>,
    hands: Arc<Semaphore>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// A payment that is open for longer is closed.
    pub expire_after: SignedDuration,
    /// Nobody else asks the PSP about the same payment or refund for this long.
    pub claim: SignedDuration,
    /// A merchant waits for the PSP no longer than this; the call goes on.
    pub patience: Duration,
}

/// A request is answered within 10 s; this leaves two for everything else.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(8);

/// What came of a call could not be written down; the sweeper asks again.
#[derive(Debug, thiserror::Error)]
pub enum ChargingError {
    /// Reading or writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event could not be appended.
    #[error(transparent)]
    Append(#[from] eventing::outbox::AppendError),
    /// There is no such payment or refund.
    #[error("{0} does not exist")]
    Missing(String),
}

impl From<sqlx::Error> for ChargingError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Room for one task that calls the PSP.
pub type Room = tokio::sync::OwnedSemaphorePermit;

/// Leave to make one post to the PSP. The breaker's permit is a part of it: whatever opens the breaker between the promise and
/// the post, the post goes out, so that nothing is created that was never sent.
#[derive(Debug)]
pub struct Leave {
    room: Room,
    permit: Permit,
}

/// The PSP cannot be asked at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the psp cannot be asked at the moment")]
pub struct Refusing;

impl Charging {
    /// With nothing under way.
    pub fn new(
        pool: PgPool,
        outbox: Outbox,
        clock: Clock,
        stripe: Stripe,
        tasks: Tasks,
        terms: Terms,
    ) -> Self {
        Self {
            pool,
            outbox,
            clock,
            stripe,
            tasks,
            terms,
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
            hands: Arc::new(Semaphore::new(sweeper::AT_ONCE)),
        }
    }

    /// Leave to make one post. Asked for before anything is created, so that a refusal leaves nothing behind.
    pub fn leave(&self) -> Result<Leave, Refusing> {
        let room = self.room()?;
        let permit = self.stripe.permit().map_err(|_| Refusing)?;
        Ok(Leave { room, permit })
    }

    /// Room for asking about something that exists, where a call that is not made after all does no harm.
    pub fn room(&self) -> Result<Room, Refusing> {
        if self.stripe.is_refusing() {
            return Err(Refusing);
        }
        Arc::clone(&self.calls).try_acquire_owned().map_err(|_| Refusing)
    }

    /// When a claim made now ends.
    pub fn claimed_until(&self, now: Timestamp) -> Timestamp {
        now + self.terms.claim
    }
}
