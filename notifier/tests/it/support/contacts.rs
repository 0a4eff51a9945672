//! The gateway's contact endpoint, as a test wants it to answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use schemas::MerchantId;
use serde_json::json;

use super::receiver::listen;

pub(crate) const SERVICE_TOKEN: &str = "service-token-of-the-gateway";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Clone)]
pub(crate) struct Contacts {
    pub(crate) url: String,
    state: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    merchants: HashMap<String, Entry>,
    is_away: bool,
    asked: usize,
}

#[derive(Clone)]
struct Entry {
    notify_url: Option<String>,
    payment_notify_url: Option<String>,
    is_customer_erased: bool,
    is_broken: bool,
}

impl Contacts {
    pub(crate) async fn start() -> Self {
        let state = Arc::<Mutex<Book>>::default();
        let routes = Router::new()
            .route("/internal/v1/contacts/{merchant_id}", get(answer))
            .with_state(Arc::clone(&state));
        let url = listen(routes).await;
        Self { url, state }
    }

    /// A merchant whose webhooks go to `notify_url`.
    pub(crate) fn merchant(&self, notify_url: Option<&str>) -> MerchantId {
        let merchant_id = MerchantId::generate();
        let entry = Entry {
            notify_url: notify_url.map(str::to_owned),
            payment_notify_url: None,
            is_customer_erased: false,
            is_broken: false,
        };
        self.state
            .lock()
            .unwrap()
            .merchants
            .insert(merchant_id.to_string(), entry);
        merchant_id
    }

    pub(crate) fn erase_customers(&self, merchant_id: MerchantId) {
        self.change(merchant_id, |entry| entry.is_customer_erased = true);
    }

    /// The question for this merchant is answered with an error.
    pub(crate) fn fail_for(&self, merchant_id: MerchantId) {
        self.change(merchant_id, |entry| entry.is_broken = true);
    }

    pub(crate) fn move_endpoint(&self, merchant_id: MerchantId, notify_url: &str) {
        self.change(merchant_id, |entry| {
            entry.notify_url = Some(notify_url.to_owned());
        });
    }

    pub(crate) fn payments_go_to(&self, merchant_id: MerchantId, notify_url: &str) {
        self.change(merchant_id, |entry| {
            entry.payment_notify_url = Some(notify_url.to_owned());
        });
    }

    /// Nobody answers.
    pub(crate) fn go_away(&self, is_away: bool) {
        self.state.lock().unwrap().is_away = is_away;
    }

    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    fn change(&self, merchant_id: MerchantId, change: impl FnOnce(&mut Entry)) {
        change(
            self.state
                .lock()
                .unwrap()
                .merchants
                .get_mut(&merchant_id.to_string())
                .unwrap(),
        );
    }
}

async fn answer(
    State(state): State<Arc<Mutex<Book>>>,
    Path(merchant_id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let mut book = state.lock().unwrap();
    book.asked += 1;
    if headers[header::AUTHORIZATION] != format!("Bearer {SERVICE_TOKEN}") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if book.is_away {
        let cut = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("away"))]);
        return Ok(Response::new(Body::from_stream(cut)));
    }
    let entry = book
        .merchants
        .get(&merchant_id)
        .cloned()
        .ok_or(StatusCode::NOT_FOUND)?;
    if entry.is_broken {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let merchant = json!({
        "merchant_id": merchant_id, "name": "Shop <& Sons>", "email": "owner@shop.example",
        "notify_url": entry.notify_url, "webhook_secret": WEBHOOK_SECRET,
    });
    let email = (!entry.is_customer_erased).then_some("alice.smith@mail.example");
    let customer = json!({
        "customer_ref": "cus_01h455vb4pex5vsknk084sn02q", "email": email, "phone": null,
        "erased": entry.is_customer_erased,
    });
    let Some(payment_no) = query.get("payment_no") else {
        return Ok(Json(json!({ "merchant": merchant, "customer": null, "payment": null })).into_response());
    };
    let payment = json!({
        "payment_no": payment_no, "order_no": "order-1", "notify_url": entry.payment_notify_url,
        "description": "Two tickets",
    });
    Ok(Json(json!({ "merchant": merchant, "customer": customer, "payment": payment })).into_response())
}
