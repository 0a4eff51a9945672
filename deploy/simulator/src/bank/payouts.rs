//! `POST /v1/payouts`, `GET /v1/payouts/{id}`, `GET /v1/payouts?withdrawal_no=`

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Bank;
use super::answer::{self, BankError};
use super::behaviour::Carriage;
use super::payout::{Payout, PayoutStatus};
use crate::http::lost_answer;
use crate::idempotency::{Begin, Saved};
use crate::{clock, signature};

/// A list answers with at most this many, newest first.
const MAX_LISTED: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPayout {
    amount: i64,
    currency: String,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    beneficiary: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    withdrawal_no: Option<String>,
}

pub(super) async fn create(State(bank): State<Bank>, headers: HeaderMap, body: Bytes) -> Response {
    let carriage = bank.behaviours().take_carriage();
    let delay = match carriage {
        Carriage::RequestLost => return lost_answer(),
        Carriage::ServerError => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return answer::respond(
                &BankError::new(status, "server_error", "something broke").saved(),
                false,
            );
        }
        Carriage::Late(delay) => delay,
        Carriage::Straight | Carriage::AnswerLost => Duration::ZERO,
    };
    let worker = bank.clone();
    // The work goes on if the client hangs up, as it does in reality.
    let answered = bank
        .0
        .tasks
        .spawn(async move { worker.execute(&headers, &body, delay).await })
        .await;
    match (carriage, answered) {
        (Carriage::AnswerLost, _) | (_, Err(_)) => lost_answer(),
        (_, Ok((saved, replayed))) => answer::respond(&saved, replayed),
    }
}

impl Bank {
    /// The answer, and whether it was given before.
    async fn execute(&self, headers: &HeaderMap, body: &[u8], delay: Duration) -> (Saved, bool) {
        let checked = answer::authenticate(headers, &self.0.settings.api_key)
            .and_then(|()| read(body))
            .and_then(|new| Ok((new, idempotency_key(headers)?)));
        let (new, key) = match checked {
            Ok(checked) => checked,
            Err(error) => return (error.saved(), false),
        };
        if let Some(key) = &key {
            match self.0.idempotency.begin(key, &signature::sha256_hex(body)) {
                Begin::Fresh => {}
                Begin::Replay(saved) => return (saved, true),
                Begin::OtherParameters => {
                    let message = format!("the key {key} was used with another request");
                    let error = BankError::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "idempotency_key_reused",
                        message,
                    );
                    return (error.saved(), false);
                }
                Begin::InUse => {
                    let message = format!("the first request with the key {key} still runs");
                    let error = BankError::new(StatusCode::CONFLICT, "idempotency_key_in_use", message);
                    return (error.saved(), false);
                }
            }
        }
        tokio::time::sleep(delay).await;
        let saved = self.pay(new);
        if let Some(key) = &key {
            self.0.idempotency.finish(key, Some(saved.clone()));
        }
        (saved, false)
    }

    fn pay(&self, new: NewPayout) -> Saved {
        let fate = self.behaviours().take_fate();
        let payout = Payout {
            id: format!("po_{}", Uuid::now_v7().simple()),
            amount: new.amount,
            currency: new.currency.to_uppercase(),
            metadata: new.metadata,
            beneficiary: new.beneficiary,
            created: clock::unix_seconds(),
            status: PayoutStatus::Processing {
                fate,
                decided_at_ms: clock::unix_millis().saturating_add(self.0.settings.answer_ms),
            },
        };
        let saved = answer::ok(StatusCode::CREATED, &payout.render());
        self.save(&mut self.payouts(), payout);
        saved
    }
}

fn read(body: &[u8]) -> Result<NewPayout, BankError> {
    let new: NewPayout =
        serde_json::from_slice(body).map_err(|error| BankError::bad("invalid_request", error.to_string()))?;
    if new.amount < 1 {
        return Err(BankError::bad(
            "invalid_amount",
            format!("amount must be at least 1, but is {}", new.amount),
        ));
    }
    if new.currency.len() != 3 || !new.currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        let message = format!("currency must be an ISO 4217 code, but is {:?}", new.currency);
        return Err(BankError::bad("invalid_currency", message));
    }
    Ok(new)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, BankError> {
    match headers.get("idempotency-key").map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(key)) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        Some(_) => Err(BankError::bad(
            "invalid_idempotency_key",
            "expected 1 to 255 ASCII characters",
        )),
    }
}

pub(super) async fn get(State(bank): State<Bank>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let found = answer::authenticate(&headers, &bank.0.settings.api_key).and_then(|()| {
        bank.payouts().get(&id).map(Payout::render).ok_or_else(|| {
            BankError::new(
                StatusCode::NOT_FOUND,
                "not_found",
                format!("no payout {id} is known"),
            )
        })
    });
    match found {
        Ok(payout) => answer::respond(&answer::ok(StatusCode::OK, &payout), false),
        Err(error) => answer::respond(&error.saved(), false),
    }
}

pub(super) async fn list(
    State(bank): State<Bank>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Response {
    if let Err(error) = answer::authenticate(&headers, &bank.0.settings.api_key) {
        return answer::respond(&error.saved(), false);
    }
    let wanted = filter.withdrawal_no.as_deref();
    let payouts = bank.payouts();
    let listed: Vec<Value> = payouts
        .iter()
        .rev()
        .filter(|payout| wanted.is_none() || payout.withdrawal_no() == wanted)
        .take(MAX_LISTED)
        .map(Payout::render)
        .collect();
    drop(payouts);
    answer::respond(&answer::ok(StatusCode::OK, &json!({ "data": listed })), false)
}
