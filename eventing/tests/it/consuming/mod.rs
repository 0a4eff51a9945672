//! What a consumer group promises.

mod batches;
mod blocked;
mod breaker;
mod copied;
mod crash;
mod infrastructure;
mod lag;
mod membership;
mod ordered;
mod poison;
mod retry;
pub(crate) mod script;
pub(crate) mod stage;
mod unordered;
