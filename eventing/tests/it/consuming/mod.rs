//! What a consumer group promises.

mod ahead;
mod back_pressure;
mod batch_crash;
mod batches;
mod blocked;
mod breaker;
mod copied;
mod crash;
mod duplicates;
mod infrastructure;
mod lag;
mod members;
mod membership;
mod ordered;
mod poison;
mod process;
mod retry;
pub(crate) mod script;
mod spread;
pub(crate) mod stage;
mod unordered;
