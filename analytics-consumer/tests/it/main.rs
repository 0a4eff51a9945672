//! The consumer's tables on a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that fails may panic"
)]

mod database;
mod rollups;
mod tokens;
