//! A bank that does as it is told, and keeps books.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

pub(crate) const API_KEY: &str = "bank_test_key";

/// What the bank does with the next order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It pays, and says something else than JSON.
    PayAndMumble,
    /// It does nothing, and says 500.
    ServerError,
    /// It refuses.
    Refuse,
}

#[derive(Default)]
pub(crate) struct BankStub(Mutex<Books>);

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) payouts: Vec<Value>,
    /// The `Idempotency-Key` of every order that came, in that order.
    pub(crate) orders: Vec<String>,
    /// How often it was asked about payouts.
    pub(crate) questions: usize,
    behaviours: VecDeque<Behaviour>,
    by_key: HashMap<String, Value>,
}

impl BankStub {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    pub(crate) fn next(&self, behaviour: Behaviour) {
        self.books().behaviours.push_back(behaviour);
    }

    /// The only payout there is.
    pub(crate) fn payout(&self) -> Value {
        let books = self.books();
        assert_eq!(books.payouts.len(), 1, "{:?}", books.payouts);
        books.payouts[0].clone()
    }

    /// Gives every payout this status, without telling anybody.
    pub(crate) fn decide(&self, status: &str) {
        self.books()
            .payouts
            .iter_mut()
            .for_each(|payout| payout["status"] = status.into());
    }
}

pub(crate) fn routes(bank: Arc<BankStub>) -> Router {
    Router::new()
        .route("/v1/payouts", post(order).get(find))
        .route("/v1/payouts/{id}", get(ask))
        .with_state(bank)
}

async fn order(State(bank): State<Arc<BankStub>>, headers: HeaderMap, Json(order): Json<Value>) -> Response {
    if headers["authorization"] != format!("Bearer {API_KEY}") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let mut books = bank.books();
    books.orders.push(key.clone());
    let behaviour = books.behaviours.pop_front();
    match behaviour {
        Some(Behaviour::ServerError) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Behaviour::Refuse) => {
            let refusal = json!({"error": {"code": "account_closed", "message": "no"}});
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response();
        }
        Some(Behaviour::PayAndMumble) | None => {}
    }
    let next = books.payouts.len() + 1;
    if !books.by_key.contains_key(&key) {
        let payout = json!({
            "id": format!("po_{next}"), "amount": order["amount"], "currency": order["currency"],
            "status": "processing", "failure_code": null, "metadata": order["metadata"],
        });
        books.payouts.push(payout.clone());
        books.by_key.insert(key.clone(), payout);
    }
    if behaviour == Some(Behaviour::PayAndMumble) {
        return (StatusCode::CREATED, "…").into_response();
    }
    (StatusCode::CREATED, Json(books.by_key[&key].clone())).into_response()
}

async fn ask(State(bank): State<Arc<BankStub>>, Path(id): Path<String>) -> Response {
    let mut books = bank.books();
    books.questions += 1;
    match books.payouts.iter().find(|payout| payout["id"] == id.as_str()) {
        Some(payout) => Json(payout.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn find(
    State(bank): State<Arc<BankStub>>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let mut books = bank.books();
    books.questions += 1;
    let wanted = |payout: &&Value| payout["metadata"]["withdrawal_no"] == query["withdrawal_no"].as_str();
    Json(json!({"data": books.payouts.iter().filter(wanted).collect::<Vec<_>>()}))
}
