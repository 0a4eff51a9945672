//! The consumer's tables on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod database;
mod rollups;
mod tokens;
