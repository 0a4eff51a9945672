//! The stories of the whole platform, on a real PostgreSQL, Kafka and schema registry.
