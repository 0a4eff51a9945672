#![doc = include_str!("../README.md")]

pub mod clock;
pub mod condition;
pub mod consumer;
mod crash;
pub mod dead_letters;
pub mod headers;
mod hold;
pub mod kafka;
#[doc(hidden)]
pub mod laws;
pub mod outbox;
pub mod registry;
pub mod relay;
pub mod trace;
mod version;

pub use clock::Clock;
pub use condition::Condition;
pub use crash::crash_point;
pub use kafka::KafkaSettings;
pub use outbox::Outbox;
pub use registry::SchemaRegistry;
pub use relay::Relay;

/// Creates and migrates the PostgreSQL schema `eventing` in a service's own database.
///
/// It counts its migrations in `eventing._sqlx_migrations`, apart from the service's own, so both can run in any
/// order; run this one first, because a service's tables may refer to ours and never the other way round.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();
