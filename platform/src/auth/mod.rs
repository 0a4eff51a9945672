//! Who calls: Bearer tokens of trusted issuers, as extractors.
//!
//! What an issuer may assert is configured (`[[trust]]`), never read from the token: the gateway's issuer names merchants,
//! the staff issuer names staff. A handler takes [`Principal`], [`Staff`] or [`Merchant`] as an argument; its state must give
//! a [`TokenVerifier`] (`#[derive(FromRef)]` on the state does that). The tenant comes from the credential: a handler asks
//! [`Principal::may_see`] and answers 404 otherwise.

use schemas::ids::MerchantId;

mod extract;
mod jwks;
mod token;

pub use extract::{Merchant, Staff};
pub use token::{AuthError, TokenVerifier};

/// Who makes the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A merchant, who sees what is its own.
    Merchant(MerchantId),
    /// A member of staff, who sees all.
    Staff(StaffMember),
}

/// A person of ours, as the staff issuer names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaffMember {
    /// `sub` of the token, `staff_alice`; it goes into audit columns.
    pub subject: String,
    /// `name` of the token.
    pub name: String,
    /// `roles` of the token, `operator`, `approver`.
    pub roles: Vec<String>,
}

impl Principal {
    /// The merchant whose rows the caller is confined to; `None` for staff, who see all.
    pub fn tenant(&self) -> Option<MerchantId> {
        match self {
            Self::Merchant(merchant_id) => Some(*merchant_id),
            Self::Staff(_) => None,
        }
    }

    /// Whether the caller may see what belongs to `merchant_id`; if not, the answer is 404.
    pub fn may_see(&self, merchant_id: MerchantId) -> bool {
        self.tenant().is_none_or(|tenant| tenant == merchant_id)
    }
}

impl StaffMember {
    /// Whether the person has the role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// 403 unless the person has the role.
    pub fn require_role(&self, role: &'static str) -> Result<(), AuthError> {
        if self.has_role(role) {
            Ok(())
        } else {
            Err(AuthError::MissingRole(role))
        }
    }
}
