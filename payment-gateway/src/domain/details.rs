//! What a merchant attaches to a payment for its own use.

use std::collections::BTreeMap;

/// Opaque to us, given back as it came. It may contain anything, personal data too, so it never leaves on a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// For people.
    pub description: Option<String>,
    /// For the merchant's programs.
    pub metadata: BTreeMap<String, String>,
    /// Where this payment's merchant webhooks go, instead of the merchant's own target.
    pub notify_url: Option<String>,
}
