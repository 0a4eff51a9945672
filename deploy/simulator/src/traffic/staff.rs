//! Two people of the platform's staff: one creates the daily settlement, the other approves it, then it is executed.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::exchange::{self, ExchangeError};
use super::outage::Outage;
use super::settings::{TrafficSettings, base};
use crate::clock;

pub(super) struct Staff {
    client: reqwest::Client,
    settlement_url: String,
    simulator_url: String,
    merchant_id: String,
    currencies: Vec<String>,
    outage: Outage,
}

struct Person {
    subject: &'static str,
    name: &'static str,
    /// Each may do only their part.
    role: &'static str,
}

const CREATOR: Person = Person {
    subject: "staff_alice",
    name: "Alice",
    role: "operator",
};
const APPROVER: Person = Person {
    subject: "staff_bob",
    name: "Bob",
    role: "approver",
};

impl Staff {
    pub(super) fn new(settings: &TrafficSettings, client: reqwest::Client) -> Self {
        Self {
            client,
            settlement_url: base(&settings.settlement_url),
            simulator_url: base(&settings.simulator_url),
            merchant_id: settings.merchant_id.clone(),
            currencies: settings.currencies.clone(),
            outage: Outage::new("settlement"),
        }
    }

    /// Settles every currency; tells how many settlements were executed.
    pub(super) async fn settle_all(&self) -> u64 {
        let mut settled = 0;
        for currency in &self.currencies {
            match self.settle(currency).await {
                Ok(()) => {
                    self.outage.over();
                    settled += 1;
                }
                Err(error) if nothing_to_settle(&error) => {
                    tracing::debug!(%error, currency, "there is nothing to settle");
                }
                Err(error) => self.outage.report(&error),
            }
        }
        settled
    }

    async fn settle(&self, currency: &str) -> Result<(), ExchangeError> {
        let now = clock::now();
        let creator = self.token(&CREATOR).await?;
        let approver = self.token(&APPROVER).await?;
        let order = json!({
            "merchant_id": self.merchant_id,
            "cycle": "daily",
            "start_date": start_of_day(now).to_string(),
            "end_date": now.to_string(),
            "currency": currency,
        });
        let created = self.post("a settlement", "", &creator, &order).await?;
        let settlement_no = created
            .get("settlement_no")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let approval = json!({
            "approver_id": APPROVER.subject,
            "approver_name": APPROVER.name,
            "comments": "checked against the PSP's report",
        });
        self.post(
            "an approval",
            &format!("/{settlement_no}/approve"),
            &approver,
            &approval,
        )
        .await?;
        self.post(
            "an execution",
            &format!("/{settlement_no}/execute"),
            &creator,
            &json!({}),
        )
        .await?;
        Ok(())
    }

    async fn token(&self, person: &Person) -> Result<String, ExchangeError> {
        let order = json!({
            "subject": person.subject,
            "name": person.name,
            "roles": [person.role],
            "ttl_seconds": 600,
        });
        let url = format!("{}/issuer/token", self.simulator_url);
        let answer = exchange::send("a staff token", || self.client.post(&url).json(&order)).await?;
        Ok(answer
            .get("access_token")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    async fn post(&self, what: &str, path: &str, token: &str, order: &Value) -> Result<Value, ExchangeError> {
        let url = format!("{}/api/v1/settlements{path}", self.settlement_url);
        exchange::once(what, self.client.post(&url).bearer_auth(token).json(order)).await
    }
}

/// Midnight in UTC.
fn start_of_day(now: Timestamp) -> Timestamp {
    now.to_zoned(TimeZone::UTC)
        .start_of_day()
        .map_or(now, |midnight| midnight.timestamp())
}

/// No entry, or no positive rest after refunds and fees: both are answered 422.
fn nothing_to_settle(error: &ExchangeError) -> bool {
    matches!(error, ExchangeError::Refused { status, .. } if *status == StatusCode::UNPROCESSABLE_ENTITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_begins_at_midnight_utc() {
        let now: Timestamp = "2025-03-04T05:06:07.8Z".parse().unwrap();
        assert_eq!(start_of_day(now).to_string(), "2025-03-04T00:00:00Z");
    }
}
