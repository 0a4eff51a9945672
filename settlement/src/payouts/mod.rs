//! Payouts on their way: ordered at the bank, asked about, and taken note of.
//!
//! Three may work on one withdrawal at once: this worker, its twin on another replica, and the bank's webhook. All of them go
//! through [`Payouts::take_in`], under the withdrawal's row lock, where what was already known changes nothing.
//!
//! **Unknown is never failed.** Before an order leaves, the withdrawal is `processing`, and it stays so until the bank says
//! otherwise. An order is repeated only after the bank was asked and knows nothing of it, and only while it surely still has the
//! idempotency key; after that it is only asked, and staff see the withdrawal as stuck.

use std::sync::Arc;

use eventing::outbox::AppendError;
use eventing::{Clock, Outbox};
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::clients::bank::Bank;
use crate::domain::ledger::LedgerError;
use crate::domain::settlement::SettlementError;
use crate::domain::withdrawal::NotPending;
use crate::store::StoreError;

mod follow_up;
mod metrics;
pub mod schedule;
mod take_in;
mod worker;

pub use schedule::Schedule;
pub use take_in::TakenIn;

/// Works on payouts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Payouts {
    pool: PgPool,
    outbox: Outbox,
    clock: Clock,
    bank: Bank,
    schedule: Schedule,
    wake: Arc<Notify>,
}

/// Why a payout could not be worked on. The bank's silence is not among these: it is the ordinary course of things.
#[derive(Debug, thiserror::Error)]
pub enum PayoutError {
    /// There is no such withdrawal.
    #[error("there is no such withdrawal")]
    NotFound,
    /// Reading or writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The amount cannot be booked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The settlement is not where its withdrawal says.
    #[error("the settlement does not follow its withdrawal")]
    Settlement(#[from] SettlementError),
    /// Somebody else has started it.
    #[error(transparent)]
    NotPending(#[from] NotPending),
}

impl From<sqlx::Error> for PayoutError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Payouts {
    /// Works on the withdrawals in `pool`.
    pub fn new(pool: PgPool, outbox: Outbox, clock: Clock, bank: Bank, schedule: Schedule) -> Self {
        Self {
            pool,
            outbox,
            clock,
            bank,
            schedule,
            wake: Arc::new(Notify::new()),
        }
    }

    /// There is a new withdrawal: the worker of this process need not wait for its next round.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}
