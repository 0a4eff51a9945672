//! The simulator: how it misbehaves, what it has in its books, which mails and webhooks it received.

use anyhow::{Context, Result};
use local::http::{Http, answer};
use serde_json::{Value, json};

use crate::answer::Answer;

/// The simulator.
#[derive(Debug)]
pub struct Outside {
    http: Http,
    url: String,
}

impl Outside {
    pub(crate) fn new(http: Http, url: String) -> Self {
        Self { http, url }
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All modes and behaviours back to normal.
    pub async fn reset(&self) -> Result<()> {
        self.control("reset", json!({})).await.map(drop)
    }

    /// Sets something through `POST /control/…`.
    pub async fn control(&self, path: &str, wish: Value) -> Result<Value> {
        answer(self.http.post(format!("{}/control/{path}", self.url)).json(&wish)).await
    }

    /// Asks something of `GET /control/…`.
    pub async fn ask(&self, path: &str) -> Result<Value> {
        answer(self.http.get(format!("{}/control/{path}", self.url))).await
    }

    /// The PSP's next `count` answers to `operation` show `behaviour`.
    pub async fn psp_next(&self, operation: &str, behaviour: &str, count: u32) -> Result<()> {
        let wish = json!({ "operation": operation, "behaviour": behaviour, "count": count });
        self.control("psp/next", wish).await.map(drop)
    }

    /// The bank's next answer shows `behaviour`.
    pub async fn bank_next(&self, behaviour: &str) -> Result<()> {
        self.control("bank/next", json!({ "behaviour": behaviour, "count": 1 }))
            .await
            .map(drop)
    }

    /// How the PSP's webhooks come.
    pub async fn psp_webhooks(&self, mode: &str) -> Result<()> {
        self.control("psp/webhooks", json!({ "mode": mode }))
            .await
            .map(drop)
    }

    /// The customer pays on the PSP's page.
    pub async fn pay_on_page(&self, url: &str, payment_method: &str) -> Result<()> {
        self.submit(url, &[("payment_method", payment_method)]).await
    }

    /// The customer answers the bank's question.
    pub async fn authenticate(&self, url: &str, outcome: &str) -> Result<()> {
        self.submit(url, &[("outcome", outcome)]).await
    }

    async fn submit(&self, url: &str, form: &[(&str, &str)]) -> Result<()> {
        let response = self.http.post(url).form(form).send().await?;
        response
            .error_for_status()
            .map(drop)
            .with_context(|| format!("the page {url}"))
    }

    /// What the PSP says of a payment: the rows of its book.
    pub async fn psp_payment(&self, payment_no: &str) -> Result<Vec<Value>> {
        self.rows("books/psp", "payments", "payment_no", payment_no).await
    }

    /// The rows of the PSP's book of refunds for a payment.
    pub async fn psp_refunds(&self, payment_no: &str) -> Result<Vec<Value>> {
        self.rows("books/psp", "refunds", "payment_no", payment_no).await
    }

    /// The rows of the bank's book for a payout.
    pub async fn bank_payouts(&self, withdrawal_no: &str) -> Result<Vec<Value>> {
        self.rows("books/bank", "payouts", "withdrawal_no", withdrawal_no)
            .await
    }

    /// Webhooks received at a merchant's path.
    pub async fn hooks(&self, path: &str) -> Result<Vec<Value>> {
        let received = self.ask(&format!("hooks?path={path}")).await?;
        Ok(received["requests"].as_array().cloned().unwrap_or_default())
    }

    /// Mails received by somebody.
    pub async fn mails(&self, to: &str) -> Result<Vec<Value>> {
        let request = self
            .http
            .get(format!("{}/control/mail", self.url))
            .query(&[("to", to)]);
        let received = Answer::to(request).await?.success()?;
        Ok(received["messages"].as_array().cloned().unwrap_or_default())
    }

    async fn rows(&self, book: &str, table: &str, field: &str, value: &str) -> Result<Vec<Value>> {
        let book = self.ask(book).await?;
        let rows = book[table]
            .as_array()
            .with_context(|| format!("no {table} in the book"))?;
        Ok(rows.iter().filter(|row| row[field] == value).cloned().collect())
    }
}
