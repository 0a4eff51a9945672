//! What the launcher promises about the running backbone: `TEST_SCHEMA_REGISTRY_URL` names a registry.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's preconditions"
)]

mod compatibility;
mod up;
