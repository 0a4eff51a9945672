//! A merchant's standing.

/// Whether a merchant may ask for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MerchantStatus {
    /// It may.
    Active,
    /// It may not; what is under way goes on.
    Suspended,
}

impl MerchantStatus {
    /// The word in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// How many keys of a merchant may sign at once: the old one and the new one, while the merchant switches.
pub const MAX_LIVE_KEYS: usize = 2;
