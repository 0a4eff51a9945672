//! A merchant as its own server would act: signs its requests, takes payments, refunds them.

use anyhow::{Result, ensure};
use local::http::Http;
use local::merchant::Merchant;
use local::signature::Unsigned;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::{Answer, text};
use crate::wait::eventually;

/// A merchant.
#[derive(Debug, Clone)]
pub struct Shop {
    http: Http,
    gateway: String,
    /// The path at which the simulator receives its webhooks.
    pub hooks: String,
    /// Its credentials.
    pub merchant: Merchant,
    /// Its Bearer token for the other services.
    pub token: String,
}

impl Shop {
    pub(crate) fn new(http: Http, gateway: String, hooks: String, merchant: Merchant, token: String) -> Self {
        Self {
            http,
            gateway,
            hooks,
            merchant,
            token,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.merchant.merchant_id
    }

    /// Where its own mail goes.
    pub fn email(&self) -> String {
        format!("{}@shops.example", self.hooks)
    }

    /// A payment order of 19.99 EUR with a new order number and a customer of its own.
    pub fn order(&self, payment_method: Option<&str>) -> Value {
        let order_no = format!("order-{}", Uuid::now_v7().simple());
        json!({
            "order_no": order_no,
            "amount": 1999,
            "currency": "EUR",
            "customer_email": format!("{order_no}@customers.example"),
            "payment_method": payment_method,
        })
    }

    /// Sends a signed request.
    pub async fn send(
        &self,
        method: Method,
        target: &str,
        idempotency_key: &str,
        body: &str,
    ) -> Result<Answer> {
        let unsigned = Unsigned {
            method: method.as_str(),
            target,
            idempotency_key,
            body: body.as_bytes(),
        };
        let key = self.merchant.key();
        let mut request = self
            .http
            .request(method.clone(), format!("{}{target}", self.gateway))
            .header("X-API-Key", &key.id)
            .header("X-Signature", key.sign(unsigned))
            .header("Content-Type", "application/json")
            .body(body.to_owned());
        if !idempotency_key.is_empty() {
            request = request.header("Idempotency-Key", idempotency_key);
        }
        Answer::to(request).await
    }

    /// Asks for a payment.
    pub async fn order_payment(&self, order: &Value) -> Result<Answer> {
        self.send(Method::POST, "/api/v1/payments", "", &order.to_string())
            .await
    }

    /// A new payment with this method; the answer's body.
    pub async fn pay(&self, payment_method: &str) -> Result<Value> {
        self.order_payment(&self.order(Some(payment_method)))
            .await?
            .success()
    }

    /// A payment that is charged.
    pub async fn charged(&self) -> Result<String> {
        let payment = self.pay("pm_card_visa").await?;
        let payment_no = text(&payment, "payment_no")?;
        self.status_becomes(&payment_no, "success").await?;
        Ok(payment_no)
    }

    /// The payment as it is now.
    pub async fn payment(&self, payment_no: &str) -> Result<Value> {
        self.send(Method::GET, &format!("/api/v1/payments/{payment_no}"), "", "")
            .await?
            .success()
    }

    /// Waits until the payment has this status, and gives it.
    pub async fn status_becomes(&self, payment_no: &str, status: &str) -> Result<Value> {
        eventually(&format!("{payment_no} to become {status}"), async || {
            let payment = self.payment(payment_no).await?;
            ensure!(payment["status"] == status, "it is {}", payment["status"]);
            Ok(Some(payment))
        })
        .await
    }

    /// Asks for a refund of a part of a payment, under a key of its own.
    pub async fn order_refund(&self, payment_no: &str, amount: i64) -> Result<Answer> {
        let key = format!("refund-{}", Uuid::now_v7().simple());
        self.order_refund_as(payment_no, amount, &key).await
    }

    /// Asks for a refund under this key.
    pub async fn order_refund_as(&self, payment_no: &str, amount: i64, key: &str) -> Result<Answer> {
        let body = json!({ "amount": amount }).to_string();
        self.send(
            Method::POST,
            &format!("/api/v1/payments/{payment_no}/refunds"),
            key,
            &body,
        )
        .await
    }

    /// A refund that was paid back.
    pub async fn refunded(&self, payment_no: &str, amount: i64) -> Result<String> {
        let refund = self.order_refund(payment_no, amount).await?.success()?;
        let refund_no = text(&refund, "refund_no")?;
        self.refund_becomes(payment_no, &refund_no, "succeeded").await?;
        Ok(refund_no)
    }

    /// Waits until the refund has this status.
    pub async fn refund_becomes(&self, payment_no: &str, refund_no: &str, status: &str) -> Result<Value> {
        let target = format!("/api/v1/payments/{payment_no}/refunds/{refund_no}");
        eventually(&format!("{refund_no} to become {status}"), async || {
            let refund = self.send(Method::GET, &target, "", "").await?.success()?;
            ensure!(refund["status"] == status, "it is {}", refund["status"]);
            Ok(Some(refund))
        })
        .await
    }

    /// Every payment of the merchant.
    pub async fn payments(&self) -> Result<Vec<Value>> {
        self.all("/api/v1/payments?limit=100").await
    }

    /// Every refund of a payment.
    pub async fn refunds(&self, payment_no: &str) -> Result<Vec<Value>> {
        self.all(&format!("/api/v1/payments/{payment_no}/refunds?limit=100"))
            .await
    }

    async fn all(&self, target: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = target.to_owned();
        loop {
            let page = self.send(Method::GET, &next, "", "").await?.success()?;
            all.extend(page["data"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("{target}&cursor={cursor}"),
                None => return Ok(all),
            }
        }
    }

    /// Tells another service, with the Bearer token, to do what this URL is for.
    pub async fn tell(&self, url: &str) -> Result<Value> {
        Answer::to(self.http.post(url).bearer_auth(&self.token))
            .await?
            .success()
    }

    /// Asks another service, with the Bearer token, for something under this URL.
    pub async fn ask(&self, url: &str) -> Result<Value> {
        Answer::to(self.http.get(url).bearer_auth(&self.token))
            .await?
            .success()
    }
}
