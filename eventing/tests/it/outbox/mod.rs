//! From a committed event to its topic.

mod append;
mod broker_faults;
mod cost;
mod crash;
mod doubles;
mod failover;
mod registry;
mod set_aside;
mod telemetry;
mod traps;
