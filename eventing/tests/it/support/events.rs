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
            for topic in TOPICS {
                register(&topic.subject(), topic.schema).await;
            }
        })
        .await;
}

/// Registers a schema under a subject, and answers its id.
pub(crate) async fn register(subject: &str, schema: &str) -> u32 {
    #[expect(clippy::disallowed_methods, reason = "a test talks to the registry directly")]
    let http = reqwest::Client::new();
    let base = address("TEST_SCHEMA_REGISTRY_URL");
    let answer = http
        .post(format!("{base}/subjects/{subject}/versions"))
        .header("content-type", "application/vnd.schemaregistry.v1+json")
        .body(serde_json::json!({ "schema": schema }).to_string())
        .send()
        .await
        .unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{subject}: {text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    answer["id"].as_u64().unwrap().try_into().unwrap()
}
