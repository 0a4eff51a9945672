//! Requests of staff, merchants and the bank.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use platform::signature::Signature;
use schemas::ids::MerchantId;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::World;
use super::world::WEBHOOK_SECRET;

pub(crate) const ALICE: &str = "staff_alice";
pub(crate) const BOB: &str = "staff_bob";

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// Asserts that it was refused so.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, slug: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(
            self.body["type"],
            format!("urn:problem-type:payments:{slug}"),
            "{}",
            self.body
        );
    }
}

impl World {
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .unwrap();
        self.send(request).await
    }

    pub(crate) fn staff(&self, subject: &str) -> String {
        self.outside
            .issuers
            .staff(subject, &["operator", "approver"], &self.clock)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &self.staff(ALICE), None).await
    }

    pub(crate) async fn get_as_merchant(&self, merchant_id: MerchantId, path: &str) -> Answer {
        let token = self.outside.issuers.merchant(merchant_id, &self.clock);
        self.call("GET", path, &token, None).await
    }

    pub(crate) async fn post(&self, subject: &str, path: &str, body: Value) -> Answer {
        self.call("POST", path, &self.staff(subject), Some(body)).await
    }

    pub(crate) async fn post_with(&self, token: &str, path: &str, body: Value) -> Answer {
        self.call("POST", path, token, Some(body)).await
    }

    pub(crate) async fn put(&self, subject: &str, path: &str, body: Value) -> Answer {
        self.call("PUT", path, &self.staff(subject), Some(body)).await
    }

    /// Alice settles the ninth of March.
    pub(crate) async fn settle(&self) -> Answer {
        self.settle_period("2026-03-09T00:00:00Z", "2026-03-09T23:59:59Z")
            .await
    }

    pub(crate) async fn settle_period(&self, start: &str, end: &str) -> Answer {
        let body =
            json!({"merchant_id": self.merchant_id, "cycle": "daily", "start_date": start, "end_date": end});
        self.post(ALICE, "/api/v1/settlements", body).await
    }

    pub(crate) async fn approve(&self, settlement_no: &str) -> Answer {
        let body = json!({"approver_id": BOB, "approver_name": "Bob", "comments": "fine"});
        self.post(BOB, &format!("/api/v1/settlements/{settlement_no}/approve"), body)
            .await
    }

    pub(crate) async fn reject(&self, settlement_no: &str) -> Answer {
        let body = json!({"approver_id": BOB, "comments": "no"});
        self.post(BOB, &format!("/api/v1/settlements/{settlement_no}/reject"), body)
            .await
    }

    pub(crate) async fn execute(&self, settlement_no: &str) -> Answer {
        self.post(
            ALICE,
            &format!("/api/v1/settlements/{settlement_no}/execute"),
            json!({}),
        )
        .await
    }

    /// A settlement that is approved and on its way out: its number and its withdrawal's.
    pub(crate) async fn paying(&self) -> (String, String) {
        let settlement_no = number(&self.settle().await.ok());
        self.approve(&settlement_no).await.ok();
        let executed = self.execute(&settlement_no).await.ok();
        (
            settlement_no,
            executed["withdrawal_no"].as_str().unwrap().to_owned(),
        )
    }

    pub(crate) async fn settlement(&self, settlement_no: &str) -> Value {
        self.get(&format!("/api/v1/settlements/{settlement_no}"))
            .await
            .ok()
    }

    pub(crate) async fn withdrawal(&self, withdrawal_no: &str) -> Value {
        self.get(&format!("/api/v1/withdrawals/{withdrawal_no}"))
            .await
            .ok()
    }

    /// The bank says what became of a payout.
    pub(crate) async fn bank_says(&self, kind: &str, payout: &Value) -> Answer {
        let body = json!({"id": "bev_1", "type": kind, "created": 0, "data": {"payout": payout}}).to_string();
        let signature = Signature::sign_webhook(WEBHOOK_SECRET.as_bytes(), self.clock.now(), body.as_bytes());
        self.webhook(Some(&signature.to_string()), body).await
    }

    pub(crate) async fn webhook(&self, signature: Option<&str>, body: String) -> Answer {
        let mut request = Request::post("/webhooks/bank").header(header::CONTENT_TYPE, "application/json");
        if let Some(signature) = signature {
            request = request.header("Bank-Signature", signature);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }
}

/// The number of the settlement in an answer.
pub(crate) fn number(settlement: &Value) -> String {
    settlement["settlement_no"].as_str().unwrap().to_owned()
}
