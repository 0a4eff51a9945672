//! Who calls: merchants by signature, merchants and staff by token.

mod caller;
pub mod credentials;
mod signed;
mod tokens;

pub use caller::Caller;
pub use signed::SignedMerchant;
pub use tokens::{TokenError, TokenIssuer};
