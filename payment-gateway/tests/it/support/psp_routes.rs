//! The PSP's HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde_json::{Value, json};

use super::psp::{Behaviour, Books};

type Shared = State<Arc<Mutex<Books>>>;
type Fields = BTreeMap<String, String>;

pub(crate) fn routes(books: Arc<Mutex<Books>>) -> Router {
    let stripe = Router::new()
        .route("/v1/payment_intents", post(create_intent))
        .route("/v1/payment_intents/search", get(search))
        .route("/v1/payment_intents/{id}", get(get_intent))
        .route("/v1/payment_intents/{id}/cancel", post(cancel_intent))
        .route("/v1/checkout/sessions", post(create_session))
        .route("/v1/checkout/sessions/{id}", get(get_session))
        .route("/v1/checkout/sessions/{id}/expire", post(expire_session))
        .route("/v1/refunds", post(create_refund).get(list_refunds))
        .route("/v1/refunds/{id}", get(get_refund))
        .layer(from_fn_with_state(Arc::clone(&books), behave));
    Router::new()
        .nest("/stripe", stripe)
        .route("/staff/jwks.json", get(staff_jwks))
        .route("/gateway/jwks.json", get(gateway_jwks))
        .with_state(books)
}

async fn staff_jwks(State(books): Shared) -> Json<Value> {
    Json(books.lock().unwrap().staff_jwks.clone())
}

async fn gateway_jwks(State(books): Shared) -> Json<Value> {
    Json(books.lock().unwrap().gateway_jwks.clone())
}

async fn behave(State(books): Shared, request: Request, next: Next) -> Response {
    let is_post = request.method() == "POST";
    let behaviour = {
        let mut books = books.lock().unwrap();
        books
            .requests
            .push(format!("{} {}", request.method(), request.uri().path()));
        if is_post {
            books.behaviours.pop_front()
        } else {
            None
        }
    };
    match behaviour {
        None => next.run(request).await,
        Some(Behaviour::DropBefore) => broken(),
        Some(Behaviour::ServerError) => refused(StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
        Some(Behaviour::Unauthorized) => refused(StatusCode::UNAUTHORIZED, "invalid_request_error"),
        Some(Behaviour::DropAnswer) => {
            next.run(request).await;
            broken()
        }
        Some(Behaviour::Hold(gate)) => {
            let response = next.run(request).await;
            gate.pass().await;
            response
        }
    }
}

/// An answer that breaks off, and the connection with it.
fn broken() -> Response {
    let breaks = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(breaks))
}

fn refused(status: StatusCode, kind: &str) -> Response {
    (status, Json(json!({ "error": { "type": kind } }))).into_response()
}

/// Performs under the request's idempotency key: the second time it only answers.
fn once(
    books: &mut Books,
    headers: &HeaderMap,
    perform: impl FnOnce(&mut Books) -> (StatusCode, Value),
) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    if let Some((status, body)) = books.keys.get(&key) {
        return (*status, Json(body.clone())).into_response();
    }
    let (status, body) = perform(books);
    books.keys.insert(key, (status, body.clone()));
    (status, Json(body)).into_response()
}

async fn create_intent(State(books): Shared, headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    once(&mut books.lock().unwrap(), &headers, |books| {
        let id = books.id("pi");
        let amount: i64 = fields["amount"].parse().unwrap();
        let mut intent = json!({
            "id": id, "object": "payment_intent", "amount": amount, "amount_received": 0,
            "currency": fields["currency"], "metadata": { "payment_no": fields["metadata[payment_no]"] },
        });
        let mut status = StatusCode::OK;
        match fields["payment_method"].as_str() {
            "pm_card_visa" => {
                intent["status"] = json!("succeeded");
                intent["amount_received"] = json!(amount);
            }
            "pm_card_threeDSecure2Required" => {
                intent["status"] = json!("requires_action");
                intent["next_action"] = json!({
                    "type": "redirect_to_url", "redirect_to_url": { "url": "https://psp.example/3ds" }
                });
            }
            "pm_card_delayed" => intent["status"] = json!("processing"),
            "pm_card_visa_chargeDeclined" => {
                intent["status"] = json!("requires_payment_method");
                intent["last_payment_error"] =
                    json!({ "code": "card_declined", "decline_code": "insufficient_funds" });
                status = StatusCode::PAYMENT_REQUIRED;
            }
            _ => {
                return (
                    StatusCode::BAD_REQUEST,
                    json!({ "error": { "type": "invalid_request_error" } }),
                );
            }
        }
        books.intents.insert(id, intent.clone());
        let body = if status.is_success() {
            intent
        } else {
            json!({ "error": { "type": "card_error", "message": "SECRET TEXT", "payment_intent": intent } })
        };
        (status, body)
    })
}

async fn search(State(books): Shared, Query(query): Query<Fields>) -> Json<Value> {
    let payment_no = query["query"].split('\'').nth(3).unwrap().to_owned();
    let books = books.lock().unwrap();
    let found: Vec<_> = books
        .intents
        .values()
        .filter(|intent| intent["metadata"]["payment_no"] == payment_no)
        .collect();
    Json(json!({ "object": "search_result", "data": found, "has_more": false }))
}

fn one(object: Option<&Value>) -> Response {
    object.map_or_else(
        || refused(StatusCode::NOT_FOUND, "invalid_request_error"),
        |object| Json(object.clone()).into_response(),
    )
}

async fn get_intent(State(books): Shared, Path(id): Path<String>) -> Response {
    one(books.lock().unwrap().intents.get(&id))
}

async fn cancel_intent(State(books): Shared, Path(id): Path<String>) -> Response {
    let mut books = books.lock().unwrap();
    let intent = books.intents.get_mut(&id).unwrap();
    if intent["status"] == "succeeded" || intent["status"] == "canceled" || intent["status"] == "processing" {
        return refused(StatusCode::BAD_REQUEST, "invalid_request_error");
    }
    intent["status"] = json!("canceled");
    Json(intent.clone()).into_response()
}

async fn create_session(State(books): Shared, headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    once(&mut books.lock().unwrap(), &headers, |books| {
        let id = books.id("cs");
        let amount: i64 = fields["line_items[0][price_data][unit_amount]"].parse().unwrap();
        let session = json!({
            "id": id, "object": "checkout.session", "status": "open", "payment_status": "unpaid",
            "amount_total": amount, "currency": fields["line_items[0][price_data][currency]"],
            "metadata": { "payment_no": fields["metadata[payment_no]"] },
            "url": format!("https://psp.example/pay/{id}"), "payment_intent": null,
        });
        books.sessions.insert(id, session.clone());
        (StatusCode::OK, session)
    })
}

async fn get_session(State(books): Shared, Path(id): Path<String>) -> Response {
    one(books.lock().unwrap().sessions.get(&id))
}

async fn expire_session(State(books): Shared, Path(id): Path<String>) -> Response {
    let mut books = books.lock().unwrap();
    let session = books.sessions.get_mut(&id).unwrap();
    if session["status"] != "open" {
        return refused(StatusCode::BAD_REQUEST, "invalid_request_error");
    }
    session["status"] = json!("expired");
    Json(session.clone()).into_response()
}

async fn create_refund(State(books): Shared, headers: HeaderMap, Form(fields): Form<Fields>) -> Response {
    once(&mut books.lock().unwrap(), &headers, |books| {
        let amount: i64 = fields["amount"].parse().unwrap();
        let intent = books.intents[&fields["payment_intent"]].clone();
        let is_of = |refund: &&Value| {
            refund["payment_intent"] == fields["payment_intent"] && refund["status"] != "failed"
        };
        let refunded: i64 = books
            .refunds
            .values()
            .filter(is_of)
            .map(|refund| refund["amount"].as_i64().unwrap())
            .sum();
        if refunded + amount > intent["amount_received"].as_i64().unwrap() {
            return (
                StatusCode::BAD_REQUEST,
                json!({ "error": { "type": "invalid_request_error" } }),
            );
        }
        let id = books.id("re");
        // Told by the amount, so that a test need not say it beforehand.
        let status = match amount {
            111 => "pending",
            222 => "failed",
            _ => "succeeded",
        };
        let refund = json!({
            "id": id, "object": "refund", "amount": amount, "currency": intent["currency"], "status": status,
            "payment_intent": fields["payment_intent"],
            "metadata": { "refund_no": fields["metadata[refund_no]"], "payment_no": fields["metadata[payment_no]"] },
        });
        books.refunds.insert(id, refund.clone());
        (StatusCode::OK, refund)
    })
}

async fn get_refund(State(books): Shared, Path(id): Path<String>) -> Response {
    one(books.lock().unwrap().refunds.get(&id))
}

async fn list_refunds(State(books): Shared, Query(query): Query<Fields>) -> Json<Value> {
    let books = books.lock().unwrap();
    let is_of = |refund: &&Value| refund["payment_intent"] == query["payment_intent"];
    let found: Vec<_> = books.refunds.values().filter(is_of).collect();
    Json(json!({ "object": "list", "data": found, "has_more": false }))
}
