//! From a committed event to its topic.

mod append;
mod broker_faults;
mod cost;
mod crash;
mod doubles;
mod failover;
mod first_contact;
mod lanes;
mod lease_model;
mod registry;
mod set_aside;
mod stale;
mod telemetry;
mod traps;
