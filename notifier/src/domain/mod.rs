//! What a notice is and what becomes of it. Pure: no database, no network, no clock.

pub mod addressing;
pub mod contact;
pub mod facts;
pub mod mask;
pub mod notice;
pub mod outcome;
pub mod plan;
pub mod reason;
pub mod resend;
pub mod shares;
pub mod signature;
