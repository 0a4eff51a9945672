//! A merchant as JSON.

use jiff::Timestamp;
use schemas::ids::MerchantId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::merchants::StoredMerchant;

/// A merchant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MerchantDocument {
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    name: String,
    email: String,
    /// Where its webhooks go, unless a payment says otherwise.
    notify_url: Option<String>,
    /// `active` or `suspended`.
    status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A merchant just created, with what is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedMerchant {
    #[serde(flatten)]
    merchant: MerchantDocument,
    /// Webhooks to the merchant are signed with it (Standard Webhooks).
    webhook_secret: String,
}

impl CreatedMerchant {
    pub(super) fn new(merchant: StoredMerchant, webhook_secret: String) -> Self {
        Self {
            merchant: merchant.into(),
            webhook_secret,
        }
    }
}

impl From<StoredMerchant> for MerchantDocument {
    fn from(merchant: StoredMerchant) -> Self {
        Self {
            merchant_id: merchant.merchant_id,
            name: merchant.name,
            email: merchant.email,
            notify_url: merchant.notify_url,
            status: merchant.status.as_str(),
            created_at: merchant.created_at,
        }
    }
}
