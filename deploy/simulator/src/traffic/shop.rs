//! The merchant's shop: signed requests to the payment gateway.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::exchange::{self, ExchangeError};
use super::scenario::Plan;
use super::settings::{TrafficSettings, base};
use super::signer::Signer;

pub(super) struct Shop {
    client: reqwest::Client,
    gateway_url: String,
    notify_url: String,
    signer: Signer,
}

/// What the shop needs of a payment; everything else in the answer is ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the gateway's JSON"
)]
pub(super) struct Payment {
    pub(super) payment_no: String,
    pub(super) status: String,
    pub(super) payment_url: Option<String>,
    pub(super) next_action: Option<NextAction>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NextAction {
    pub(super) redirect_url: Option<String>,
}

impl Shop {
    pub(super) fn new(settings: &TrafficSettings, client: reqwest::Client) -> Self {
        Self {
            client,
            gateway_url: base(&settings.gateway_url),
            notify_url: format!("{}/hooks/demo", base(&settings.simulator_url)),
            signer: Signer {
                api_key: settings.api_key.clone(),
                api_secret: settings.api_secret.clone(),
            },
        }
    }

    pub(super) async fn create(&self, plan: &Plan) -> Result<Payment, ExchangeError> {
        let mut order = json!({
            "order_no": plan.order_no,
            "amount": plan.amount,
            "currency": plan.currency,
            "customer_email": plan.customer_email,
            "notify_url": self.notify_url,
            "description": "A demo order",
        });
        if let (Some(method), Some(order)) = (plan.way.payment_method(), order.as_object_mut()) {
            order.insert("payment_method".to_owned(), json!(method));
        }
        let answer = self
            .post("a payment", "/api/v1/payments", &plan.order_no, &order)
            .await?;
        Ok(read(answer))
    }

    pub(super) async fn look(&self, payment_no: &str) -> Result<Payment, ExchangeError> {
        let path = format!("/api/v1/payments/{payment_no}");
        let answer = exchange::send("a look at a payment", || {
            self.signed(Method::GET, &path, "", Vec::new())
        })
        .await?;
        Ok(read(answer))
    }

    pub(super) async fn refund(&self, plan: &Plan, payment: &Payment) -> Result<(), ExchangeError> {
        let path = format!("/api/v1/payments/{}/refunds", payment.payment_no);
        let key = format!("refund-{}", plan.order_no);
        let order = json!({ "amount": plan.refund, "reason": "requested_by_customer" });
        self.post("a refund", &path, &key, &order).await?;
        Ok(())
    }

    async fn post(&self, what: &str, path: &str, key: &str, order: &Value) -> Result<Value, ExchangeError> {
        let body = order.to_string().into_bytes();
        exchange::send(what, || self.signed(Method::POST, path, key, body.clone())).await
    }

    /// Signs anew at each attempt: a signature's time is only good for some minutes.
    fn signed(&self, method: Method, path: &str, key: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
        let signature = self.signer.sign(method.as_str(), path, key, &body);
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.gateway_url))
            .header("x-api-key", &self.signer.api_key)
            .header("x-signature", signature);
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        request
    }
}

fn read(answer: Value) -> Payment {
    serde_json::from_value(answer).unwrap_or_default()
}
