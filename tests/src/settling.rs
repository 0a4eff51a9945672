//! Staff: who draw up, approve and execute settlements.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use local::http::Http;
use local::merchant;
use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::{Answer, number, text};
use crate::shop::Shop;
use crate::wait::eventually;

/// A member of staff at the settlement service.
#[derive(Debug)]
pub struct Staff {
    http: Http,
    settlement: String,
    person: merchant::Staff,
    /// The Bearer token.
    pub token: String,
}

impl Staff {
    pub(crate) fn new(http: Http, settlement: String, person: merchant::Staff, token: String) -> Self {
        Self {
            http,
            settlement,
            person,
            token,
        }
    }

    /// What `sub` of the token says.
    pub fn subject(&self) -> &'static str {
        self.person.subject
    }

    /// Sends a request to the settlement service.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.settlement))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::to(request).await
    }

    /// Reads something.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await?.success()
    }

    /// Draws up a settlement of all that the shop is owed until now.
    pub async fn draw_up(&self, shop: &Shop) -> Result<Answer> {
        self.send(Method::POST, "/api/v1/settlements", Some(&order(shop)))
            .await
    }

    /// Approves a settlement.
    pub async fn approve(&self, settlement_no: &str) -> Result<Answer> {
        let approval =
            json!({ "approver_id": self.subject(), "approver_name": self.person.name, "comments": "fine" });
        self.send(
            Method::POST,
            &format!("/api/v1/settlements/{settlement_no}/approve"),
            Some(&approval),
        )
        .await
    }

    /// Executes a settlement.
    pub async fn execute(&self, settlement_no: &str) -> Result<Answer> {
        self.send(
            Method::POST,
            &format!("/api/v1/settlements/{settlement_no}/execute"),
            None,
        )
        .await
    }

    /// Waits until the settlement has this status, and gives it.
    pub async fn settlement_becomes(&self, settlement_no: &str, status: &str) -> Result<Value> {
        self.becomes(&format!("/api/v1/settlements/{settlement_no}"), status)
            .await
    }

    /// Waits until the withdrawal has this status, and gives it.
    pub async fn withdrawal_becomes(&self, withdrawal_no: &str, status: &str) -> Result<Value> {
        self.becomes(&format!("/api/v1/withdrawals/{withdrawal_no}"), status)
            .await
    }

    async fn becomes(&self, path: &str, status: &str) -> Result<Value> {
        eventually(&format!("{path} to become {status}"), async || {
            let found = self.get(path).await?;
            ensure!(found["status"] == status, "it is {}", found["status"]);
            Ok(Some(found))
        })
        .await
    }

    /// The shop's balance in EUR.
    pub async fn balance(&self, shop: &Shop) -> Result<Value> {
        let balances = self
            .get(&format!("/api/v1/balances?merchant_id={}", shop.id()))
            .await?;
        let rows = balances["data"].as_array().context("no balances")?;
        rows.iter()
            .find(|row| row["currency"] == "EUR")
            .cloned()
            .context("no balance in EUR")
    }

    /// Waits until the ledger owes the shop this much, in minor units of EUR, that no settlement has taken.
    pub async fn owes(&self, shop: &Shop, unsettled: i64) -> Result<()> {
        eventually(&format!("the ledger to owe {unsettled}"), async || {
            let owed = number(&self.balance(shop).await?, "unsettled_amount")?;
            ensure!(owed == unsettled, "it owes {owed}");
            Ok(Some(()))
        })
        .await
    }
}

/// What a request for a settlement of everything until now says.
pub fn order(shop: &Shop) -> Value {
    #[expect(clippy::disallowed_methods, reason = "staff have the system's clock")]
    let end = Timestamp::now() + SignedDuration::from_secs(2);
    let start = end - SignedDuration::from_hours(24);
    json!({
        "merchant_id": shop.id(), "cycle": "daily", "start_date": start.to_string(), "end_date": end.to_string(),
        "currency": "EUR",
    })
}

/// Alice draws up, Bob approves, Alice executes; gives the numbers of the settlement and of its withdrawal.
pub async fn settle(alice: &Staff, bob: &Staff, shop: &Shop) -> Result<(String, String)> {
    let settlement_no = text(&alice.draw_up(shop).await?.success()?, "settlement_no")?;
    bob.approve(&settlement_no).await?.success()?;
    let executed = alice.execute(&settlement_no).await?.success()?;
    Ok((settlement_no, text(&executed, "withdrawal_no")?))
}
