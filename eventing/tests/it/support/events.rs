//! Events, and the registry that knows their schemas.

use eventing::SchemaRegistry;
use jiff::Timestamp;
use schemas::catalogue::TOPICS;
use schemas::payment::{PaymentEvent, PaymentEventType, PaymentStatus};
use schemas::{Currency, EventId, MerchantId, PaymentNo};
use sqlx::PgPool;
use tokio::sync::OnceCell;

use super::address;

/// Some event of a payment.
pub(crate) fn payment(payment_no: PaymentNo, sequence: i64) -> PaymentEvent {
    PaymentEvent {
        event_id: EventId::generate(),
        event_type: PaymentEventType::Processing,
        occurred_at: Timestamp::from_microsecond(1_767_225_600_123_456).unwrap(),
        payment_no,
        merchant_id: MerchantId::generate(),
        sequence,
        old_status: Some(PaymentStatus::Pending),
        new_status: PaymentStatus::Processing,
        amount: 1_999,
        amount_refunded: 0,
        currency: Currency::parse("EUR").unwrap(),
        order_no: "order-1".into(),
        customer_ref: None,
        channel: "stripe".into(),
        failure_code: None,
        refund: None,
    }
}

/// A client of the real registry, which knows our schemas.
pub(crate) async fn registry(pool: &PgPool) -> SchemaRegistry {
    register_schemas().await;
    SchemaRegistry::new(&address("TEST_SCHEMA_REGISTRY_URL"), pool.clone()).unwrap()
}

/// Registers our schemas, as a deployment does ahead of time.
async fn register_schemas() {
    static REGISTERED: OnceCell<()> = OnceCell::const_new();
    REGISTERED
        .get_or_init(|| async {
            #[expect(clippy::disallowed_methods, reason = "a test talks to the registry directly")]
            let http = reqwest::Client::new();
            for topic in TOPICS {
                let base = address("TEST_SCHEMA_REGISTRY_URL");
                let answer = http
                    .post(format!("{base}/subjects/{}/versions", topic.subject()))
                    .header("content-type", "application/vnd.schemaregistry.v1+json")
                    .body(serde_json::json!({ "schema": topic.schema }).to_string())
                    .send()
                    .await
                    .unwrap();
                assert!(
                    answer.status().is_success(),
                    "{}: {}",
                    topic.name,
                    answer.text().await.unwrap()
                );
            }
        })
        .await;
}
