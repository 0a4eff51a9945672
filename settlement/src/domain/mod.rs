//! What settlement knows without a database, a network or a clock.
//!
//! Everything here is a value or a function of values: a transition takes the state and what happened and returns the new
//! state together with the event that tells it. Storing both is the caller's, in one transaction.

mod events;
pub mod ledger;
pub mod payment_books;
pub mod period;
pub mod settlement;
pub mod terms;
pub mod text;
pub mod totals;
pub mod withdrawal;
