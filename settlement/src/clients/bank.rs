//! The bank: orders payouts, and asks what became of them.
//!
//! Its `Idempotency-Key` is the withdrawal's number and the order is made of the withdrawal alone, so that the same order sent
//! twice is one payout for as long as the bank keeps the key. That it refuses is only believed of an answer in its own words.

use axum::http::{HeaderName, StatusCode};
use platform::client::{Answer, CallError, Client, Unknown};
use schemas::{
    ids::WithdrawalNo,
    money::{Currency, Money},
    withdrawal::WithdrawalFailureCode,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::domain::withdrawal::{PayoutId, PayoutStatus, Report, Withdrawal};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Calls the bank. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bank {
    client: Client,
    payouts: Url,
    api_key: SecretString,
}

/// What the bank says to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// It pays, or has paid.
    Accepted(Report),
    /// It will not pay; nothing happened.
    Refused,
}

/// The configured address cannot be called.
#[derive(Debug, thiserror::Error)]
#[error("bank.base_url {0} cannot be the base of an address")]
pub struct BaseUrlError(Url);

impl Bank {
    /// The bank at `base_url`, which precedes `/v1/payouts`.
    pub fn new(client: Client, base_url: &Url, api_key: SecretString) -> Result<Self, BaseUrlError> {
        let mut payouts = base_url.clone();
        payouts
            .path_segments_mut()
            .map_err(|()| BaseUrlError(base_url.clone()))?
            .pop_if_empty()
            .extend(["v1", "payouts"]);
        Ok(Self {
            client,
            payouts,
            api_key,
        })
    }

    /// Orders the payout. It may be repeated as long as the bank keeps the key.
    pub async fn order(&self, withdrawal: &Withdrawal) -> Result<Ordered, CallError> {
        let withdrawal_no = withdrawal.withdrawal_no.to_string();
        let order = Order {
            amount: withdrawal.amount.minor,
            currency: withdrawal.amount.currency,
            metadata: Metadata {
                withdrawal_no: withdrawal_no.clone(),
            },
            beneficiary: Beneficiary {
                reference: withdrawal.merchant_id.to_string(),
            },
        };
        let answer = self
            .client
            .post(self.payouts.clone())
            .bearer(&self.api_key)
            .header(IDEMPOTENCY_KEY, &withdrawal_no)
            .json(&order)
            .send()
            .await?;
        if refuses(&answer) {
            return Ok(Ordered::Refused);
        }
        let payout: Payout = answer.success_json()?;
        Ok(Ordered::Accepted(read(&payout, &answer)?))
    }

    /// Asks for a payout by the bank's own name for it.
    pub async fn ask(&self, payout_id: &PayoutId) -> Result<Report, CallError> {
        let mut url = self.payouts.clone();
        // A base with a path always has segments: the constructor has extended them.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(payout_id.as_str());
        }
        let answer = self.client.get(url).bearer(&self.api_key).send().await?;
        let payout: Payout = answer.success_json()?;
        read(&payout, &answer)
    }

    /// Asks for the payouts of a withdrawal: none, or one; more would be the bank's mistake, and ours to see.
    pub async fn find(&self, withdrawal_no: WithdrawalNo) -> Result<Vec<Report>, CallError> {
        let request = self.client.get(self.payouts.clone()).bearer(&self.api_key);
        let answer = request
            .query("withdrawal_no", &withdrawal_no.to_string())
            .send()
            .await?;
        let list: List = answer.success_json()?;
        let own = |payout: &Payout| payout.metadata.withdrawal_no == withdrawal_no.to_string();
        list.data
            .into_iter()
            .filter(own)
            .map(|payout| read(&payout, &answer))
            .collect()
    }
}

/// A refusal is a 4xx about the order itself, in the bank's own words. A 401, a 404 or a proxy's page says nothing about the
/// order, a 409 or 429 asks for patience, and an idempotency error means that an earlier order exists.
fn refuses(answer: &Answer) -> bool {
    let about_the_order = matches!(
        answer.status,
        StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED | StatusCode::UNPROCESSABLE_ENTITY
    );
    about_the_order
        && answer.json::<Refusal>().is_ok_and(|refusal| {
            !refusal.error.code.is_empty() && !refusal.error.code.starts_with("idempotency")
        })
}

fn read(payout: &Payout, answer: &Answer) -> Result<Report, CallError> {
    let unreadable = |error: UnreadablePayout| {
        CallError::Unknown(Unknown::Unreadable {
            status: answer.status,
            reason: error.to_string(),
        })
    };
    let status = match payout.status.as_str() {
        "processing" => PayoutStatus::Processing,
        "completed" => PayoutStatus::Completed,
        "failed" => PayoutStatus::Failed(payout.failure(WithdrawalFailureCode::BankRejected)),
        "returned" => PayoutStatus::Returned(payout.failure(WithdrawalFailureCode::ReturnedByBank)),
        _ => return Err(unreadable(UnreadablePayout("its status is not known"))),
    };
    payout.report(status).map_err(unreadable)
}

/// What the bank pushes to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// News of a payout.
    Payout {
        /// Ours.
        withdrawal_no: WithdrawalNo,
        /// The news.
        report: Report,
    },
    /// Something that this version does not know; there may be more of the kind one day.
    Other,
}

/// A webhook's body that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// Not the JSON that was agreed on.
    #[error("the webhook is not the JSON that was expected")]
    Json(#[from] serde_json::Error),
    /// JSON of the right shape that says something impossible.
    #[error("the webhook cannot be read: {0}")]
    Payout(#[from] UnreadablePayout),
}

/// What is wrong with a payout, without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadablePayout(&'static str);

impl Notice {
    /// Reads the body of a webhook whose signature was verified.
    pub fn parse(body: &[u8]) -> Result<Self, NoticeError> {
        let event: Event = serde_json::from_slice(body)?;
        if !matches!(
            event.event_type.as_str(),
            "payout.completed" | "payout.failed" | "payout.returned"
        ) {
            return Ok(Self::Other);
        }
        let Contents { payout } = serde_json::from_value(event.data)?;
        let status = match event.event_type.as_str() {
            "payout.completed" => PayoutStatus::Completed,
            "payout.failed" => PayoutStatus::Failed(payout.failure(WithdrawalFailureCode::BankRejected)),
            _ => PayoutStatus::Returned(payout.failure(WithdrawalFailureCode::ReturnedByBank)),
        };
        let withdrawal_no = payout.metadata.withdrawal_no.parse();
        let withdrawal_no =
            withdrawal_no.map_err(|_| UnreadablePayout("its withdrawal_no is none of ours"))?;
        Ok(Self::Payout {
            withdrawal_no,
            report: payout.report(status)?,
        })
    }
}

#[derive(Serialize)]
struct Order {
    amount: i64,
    currency: Currency,
    metadata: Metadata,
    beneficiary: Beneficiary,
}

#[derive(Serialize)]
struct Beneficiary {
    /// The bank keeps the merchants' accounts; this is its customer's reference.
    reference: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Metadata {
    #[serde(default)]
    withdrawal_no: String,
}

#[derive(Deserialize)]
struct Payout {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    failure_code: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Payout>,
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Deserialize)]
struct RefusalError {
    code: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct Contents {
    payout: Payout,
}

impl Payout {
    fn report(&self, status: PayoutStatus) -> Result<Report, UnreadablePayout> {
        let payout_id =
            PayoutId::parse(&self.id).map_err(|_| UnreadablePayout("its id is not acceptable"))?;
        let currency = Currency::parse(&self.currency.to_ascii_uppercase())
            .map_err(|_| UnreadablePayout("its currency is none"))?;
        Ok(Report {
            payout_id,
            amount: Money::new(self.amount, currency),
            status,
        })
    }

    /// The bank's word for it in words of ours.
    fn failure(&self, otherwise: WithdrawalFailureCode) -> WithdrawalFailureCode {
        match self.failure_code.as_deref() {
            Some("account_closed" | "no_account") => WithdrawalFailureCode::AccountClosed,
            Some("account_invalid" | "invalid_account_number") => WithdrawalFailureCode::AccountInvalid,
            _ => otherwise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: axum::http::HeaderMap::new(),
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn only_the_banks_own_words_refuse_an_order() {
        assert!(refuses(&answer(
            400,
            r#"{"error": {"code": "invalid_amount", "message": "…"}}"#
        )));
        assert!(refuses(&answer(422, r#"{"error": {"code": "account_closed"}}"#)));
        for (status, body) in [
            (400, "<html>bad gateway configuration</html>"),
            (401, r#"{"error": {"code": "unauthorized"}}"#),
            (404, r#"{"error": {"code": "not_found"}}"#),
            (409, r#"{"error": {"code": "idempotency_key_in_use"}}"#),
            (422, r#"{"error": {"code": "idempotency_key_reused"}}"#),
            (500, r#"{"error": {"code": "server_error"}}"#),
        ] {
            assert!(!refuses(&answer(status, body)), "{status} {body}");
        }
    }

    #[test]
    fn a_notice_is_read_with_its_amount_and_reason() {
        let withdrawal_no = WithdrawalNo::generate();
        let body = serde_json::json!({
            "id": "bev_1", "type": "payout.failed", "created": 1,
            "data": {"payout": {
                "id": "po_1", "amount": 500, "currency": "eur", "status": "failed",
                "failure_code": "account_closed", "metadata": {"withdrawal_no": withdrawal_no},
            }},
        });
        let Notice::Payout {
            withdrawal_no: read,
            report,
        } = Notice::parse(body.to_string().as_bytes()).unwrap()
        else {
            panic!("expected news of a payout")
        };
        assert_eq!(read, withdrawal_no);
        assert_eq!(report.amount, Money::new(500, Currency::parse("EUR").unwrap()));
        assert_eq!(
            report.status,
            PayoutStatus::Failed(WithdrawalFailureCode::AccountClosed)
        );
    }

    #[test]
    fn a_notice_of_another_kind_is_passed_over_and_nonsense_is_not() {
        let other = br#"{"id": "bev_1", "type": "account.updated", "data": {"account": {}}}"#;
        assert_eq!(Notice::parse(other).unwrap(), Notice::Other);
        assert!(Notice::parse(b"{}").is_err());
        assert!(Notice::parse(br#"{"type": "payout.completed", "data": {}}"#).is_err());
        let strange = br#"{"type": "payout.completed", "data": {"payout":
            {"id": "po_1", "amount": 1, "currency": "EUR", "status": "completed", "metadata": {"withdrawal_no": "x"}}}}"#;
        assert!(matches!(Notice::parse(strange), Err(NoticeError::Payout(_))));
    }
}
