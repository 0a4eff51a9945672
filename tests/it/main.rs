//! The stories of the whole platform, on a real PostgreSQL, Kafka and schema registry.

#![expect(clippy::indexing_slicing, reason = "a test that fails may panic")]

mod bad_input;
mod crashes;
mod dashboard;
mod dead_letters;
mod dead_letters_pages;
mod metrics;
mod outages;
mod payments;
mod settlements;
mod subscriber;
mod topics;
mod traces;
mod unknown_outcomes;
mod webhooks;
mod whole_way;
