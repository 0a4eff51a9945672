//! The stories of the whole platform, on a real PostgreSQL, Kafka and schema registry.

#![expect(clippy::indexing_slicing, reason = "a test that fails may panic")]

mod whole_way;
