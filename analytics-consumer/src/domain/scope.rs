//! Whose numbers somebody may see.

use schemas::MerchantId;

/// The tenant that a query is confined to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every merchant: staff.
    All,
    /// One merchant.
    Merchant(MerchantId),
}

impl Scope {
    /// The scope narrowed to the merchant that a query names; none if it may not see that one.
    pub fn narrow(self, asked: Option<MerchantId>) -> Option<Self> {
        match (self, asked) {
            (scope, None) => Some(scope),
            (Self::All, Some(merchant)) => Some(Self::Merchant(merchant)),
            (Self::Merchant(own), Some(merchant)) => (own == merchant).then_some(self),
        }
    }

    /// The merchant, or none for all of them.
    pub fn merchant(self) -> Option<MerchantId> {
        match self {
            Self::All => None,
            Self::Merchant(merchant) => Some(merchant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_sees_nobody_else() {
        let (own, other) = (MerchantId::generate(), MerchantId::generate());
        assert_eq!(Scope::Merchant(own).narrow(None), Some(Scope::Merchant(own)));
        assert_eq!(Scope::Merchant(own).narrow(Some(own)), Some(Scope::Merchant(own)));
        assert_eq!(Scope::Merchant(own).narrow(Some(other)), None);
        assert_eq!(Scope::All.narrow(Some(other)), Some(Scope::Merchant(other)));
    }
}
