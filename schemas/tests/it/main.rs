//! The contract of the topics: schemas, event types and wire format.

mod lint;
mod samples;
mod wire;
