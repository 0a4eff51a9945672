//! Who calls: merchants by signature, merchants and staff by token.

mod caller;
mod signed;

pub use caller::Caller;
pub use signed::SignedMerchant;
