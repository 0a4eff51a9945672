//! What a person does at first: enlist a merchant, give it an API key, agree on its terms, and get tokens.

use anyhow::{Context, Result};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{Http, answer};
use crate::signature::{ApiKey, Unsigned};
use crate::state::{State, write_private};

/// Staff tokens last a day of trying things out by hand.
const STAFF_TOKEN_SECONDS: u32 = 12 * 3600;
const MERCHANTS: &str = "merchants.json";
/// What the demo merchant is charged, in basis points and minor units of the charge's currency.
const DEMO_FEE: (u32, u32) = (290, 30);

/// A member of staff whom the simulator's issuer knows by name only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staff {
    /// `sub` of the token.
    pub subject: &'static str,
    /// For people.
    pub name: &'static str,
}

/// Creates settlements.
pub const ALICE: Staff = Staff {
    subject: "staff_alice",
    name: "Alice Operator",
};
/// Somebody else, who may approve what Alice created.
pub const BOB: Staff = Staff {
    subject: "staff_bob",
    name: "Bob Approver",
};

/// A merchant with what it needs to sign.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Merchant {
    /// `mer_…`
    pub merchant_id: String,
    /// `key_…`
    pub api_key: String,
    /// What it signs with.
    pub api_secret: String,
    /// What the notifier signs its webhooks with.
    pub webhook_secret: Option<String>,
}

impl Merchant {
    /// The key as a signer.
    pub fn key(&self) -> ApiKey {
        ApiKey {
            id: self.api_key.clone(),
            secret: self.api_secret.clone(),
        }
    }
}

/// Where the calls go.
#[derive(Debug, Clone)]
pub struct Desk {
    http: Http,
    gateway: String,
    settlement: String,
    issuer: String,
}

impl Desk {
    /// A desk at these services; `issuer` is the staff issuer's base URL.
    pub fn new(http: Http, gateway: String, settlement: String, issuer: String) -> Self {
        Self {
            http,
            gateway,
            settlement,
            issuer,
        }
    }

    /// A token of a member of staff.
    pub async fn staff_token(&self, staff: Staff) -> Result<String> {
        let claims = json!({
            "subject": staff.subject,
            "name": staff.name,
            "roles": ["operator", "approver"],
            "ttl_seconds": STAFF_TOKEN_SECONDS,
        });
        token(answer(self.http.post(format!("{}/token", self.issuer)).json(&claims)).await?)
    }

    /// A token of a merchant.
    pub async fn merchant_token(&self, merchant: &Merchant) -> Result<String> {
        token(
            self.signed(&merchant.key(), Method::POST, "/api/v1/tokens", None)
                .await?,
        )
    }

    /// A new merchant that is told about its payments at `notify_url`.
    pub async fn enlist(&self, name: &str, email: &str, notify_url: Option<&str>) -> Result<Merchant> {
        #[derive(Deserialize)]
        struct Enlisted {
            merchant_id: String,
            webhook_secret: String,
        }
        let staff = self.staff_token(ALICE).await?;
        let request = json!({ "name": name, "email": email, "notify_url": notify_url });
        let enlisted: Enlisted = answer(
            self.http
                .post(format!("{}/api/v1/merchants", self.gateway))
                .bearer_auth(&staff)
                .json(&request),
        )
        .await?;
        let mut merchant = self.new_key(&enlisted.merchant_id).await?;
        merchant.webhook_secret = Some(enlisted.webhook_secret);
        Ok(merchant)
    }

    /// One more API key for a merchant.
    pub async fn new_key(&self, merchant_id: &str) -> Result<Merchant> {
        #[derive(Deserialize)]
        struct Key {
            api_key: String,
            api_secret: String,
        }
        let staff = self.staff_token(ALICE).await?;
        let url = format!("{}/api/v1/merchants/{merchant_id}/api-keys", self.gateway);
        let key: Key = answer(self.http.post(url).bearer_auth(&staff)).await?;
        Ok(Merchant {
            merchant_id: merchant_id.to_owned(),
            api_key: key.api_key,
            api_secret: key.api_secret,
            webhook_secret: None,
        })
    }

    /// Agrees on the demo merchant's fees, which hold from now on.
    pub async fn agree_on_terms(&self, merchant_id: &str) -> Result<()> {
        let staff = self.staff_token(ALICE).await?;
        let (basis_points, fixed_minor) = DEMO_FEE;
        let terms = json!({ "basis_points": basis_points, "fixed_minor": fixed_minor });
        let url = format!("{}/api/v1/merchants/{merchant_id}/terms", self.settlement);
        let _: Value = answer(self.http.put(url).bearer_auth(&staff).json(&terms)).await?;
        Ok(())
    }

    /// Whether the gateway knows this merchant and takes its key.
    pub async fn knows(&self, merchant: &Merchant) -> bool {
        self.merchant_token(merchant).await.is_ok()
    }

    async fn signed(
        &self,
        key: &ApiKey,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let signature = key.sign(Unsigned {
            method: method.as_str(),
            target,
            idempotency_key: "",
            body: body.as_bytes(),
        });
        let request = self
            .http
            .request(method, format!("{}{target}", self.gateway))
            .header("X-API-Key", &key.id)
            .header("X-Signature", signature)
            .header("Content-Type", "application/json")
            .body(body);
        answer(request).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "an answer is read once")]
fn token(answer: Value) -> Result<String> {
    answer
        .get("access_token")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .context("the issuer's answer has no access_token")
}

/// The merchants whose secrets this platform's folder knows; the first is the demo merchant.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct KnownMerchants(Vec<Merchant>);

impl KnownMerchants {
    /// Reads them.
    pub fn read(state: &State) -> Result<Self> {
        match std::fs::read_to_string(state.join(MERCHANTS)) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("{MERCHANTS} is not ours")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {MERCHANTS}")),
        }
    }

    /// The demo merchant.
    pub fn demo(&self) -> Option<&Merchant> {
        self.0.first()
    }

    /// The merchant of this id.
    pub fn get(&self, merchant_id: &str) -> Option<&Merchant> {
        self.0.iter().find(|merchant| merchant.merchant_id == merchant_id)
    }

    /// Adds one and writes them all down.
    pub fn add(&mut self, state: &State, merchant: Merchant) -> Result<()> {
        self.0.push(merchant);
        write_private(&state.join(MERCHANTS), &serde_json::to_string_pretty(self)?)
    }

    /// Forgets them: the databases know none of them any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
