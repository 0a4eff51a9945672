//! What a payment is and may become. Pure: no database, no HTTP, no clock.
//!
//! A [`Payment`] moves only through the functions here, each of which gives the new payment and the one event that
//! tells of it. What the PSP says comes in as [`psp::PspPayment`] or [`psp::PspRefund`], however it was learned (answer,
//! webhook, sweep), and goes through one function, so that order and repetition cannot matter.

pub mod details;
#[cfg(test)]
mod laws;
pub mod merchant;
pub mod observation;
pub mod payment;
pub mod psp;
pub mod refund;
pub mod text;
pub mod work;

pub use details::Details;
pub use payment::{Charge, Closing, NewPayment, Payment, PaymentState, TransitionError};
pub use refund::{Refund, RefundState};
pub use text::{OrderNo, PaymentMethod};
