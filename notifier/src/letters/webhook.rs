//! A notice as a webhook's body. The README documents it for merchants.

use jiff::Timestamp;
use schemas::MerchantId;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::facts::Facts;
use crate::domain::notice::NoticeType;

#[derive(Serialize)]
struct Payload<'a> {
    r#type: NoticeType,
    timestamp: Timestamp,
    event_id: Uuid,
    event_type: &'a str,
    merchant_id: MerchantId,
    data: &'a Facts,
}

/// The body: a function of what is kept with the notice, so it is the same at every attempt.
pub fn body(
    notice_type: NoticeType,
    event_type: &str,
    event_id: Uuid,
    occurred_at: Timestamp,
    merchant_id: MerchantId,
    facts: &Facts,
) -> Result<Vec<u8>, serde_json::Error> {
    let payload = Payload {
        r#type: notice_type,
        timestamp: occurred_at,
        event_id,
        event_type,
        merchant_id,
        data: facts,
    };
    serde_json::to_vec(&payload)
}
