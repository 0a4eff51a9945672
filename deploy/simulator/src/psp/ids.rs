//! Ids in Stripe's form: a prefix and letters that sort by time.

use uuid::Uuid;

pub(super) fn next(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}
