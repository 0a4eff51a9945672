//! A PSP with Stripe's shapes that keeps books, honours idempotency keys, and does as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

/// What is to happen with the next POST.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Done, but the answer is lost.
    DropAnswer,
    /// Lost before it is done.
    DropBefore,
    /// 500, and nothing done.
    ServerError,
    /// 401: our key is wrong.
    Unauthorized,
    /// Done, and answered when the gate is opened.
    Hold(Arc<Gate>),
}

/// Somebody waits here.
pub(crate) struct Gate {
    arrived: Semaphore,
    open: Semaphore,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            arrived: Semaphore::new(0),
            open: Semaphore::new(0),
        })
    }

    /// Waits until somebody stands before it.
    pub(crate) async fn arrived(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    pub(crate) fn open(&self) {
        self.open.add_permits(1000);
    }

    pub(super) async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }
}

/// What the PSP holds.
#[derive(Default)]
pub(crate) struct Books {
    pub(super) intents: BTreeMap<String, Value>,
    pub(super) sessions: BTreeMap<String, Value>,
    pub(super) refunds: BTreeMap<String, Value>,
    pub(super) keys: BTreeMap<String, (StatusCode, Value)>,
    pub(super) behaviours: VecDeque<Behaviour>,
    /// Method and path of every request, in order.
    pub(super) requests: Vec<String>,
    /// The stub is the host of the issuers' keys, too.
    pub(crate) staff_jwks: Value,
    pub(crate) gateway_jwks: Value,
    next_id: u32,
}

impl Books {
    pub(crate) fn sessions_len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}_{}", self.next_id)
    }
}

pub(crate) struct Psp {
    pub(crate) url: Url,
    books: Arc<Mutex<Books>>,
    _serving: JoinSet<()>,
}

impl Psp {
    pub(crate) async fn start() -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        let routes: Router = super::psp_routes::routes(Arc::clone(&books));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/stripe", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            books,
            _serving: serving,
        }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Orders what is to happen with the next POST, after what was ordered before.
    pub(crate) fn next(&self, behaviour: Behaviour) {
        self.books().behaviours.push_back(behaviour);
    }

    /// The intents for this payment.
    pub(crate) fn intents_of(&self, payment_no: &str) -> Vec<Value> {
        let is_of = |intent: &&Value| intent["metadata"]["payment_no"] == payment_no;
        self.books().intents.values().filter(is_of).cloned().collect()
    }

    pub(crate) fn session_of(&self, payment_no: &str) -> Value {
        let is_of = |session: &&Value| session["metadata"]["payment_no"] == payment_no;
        self.books().sessions.values().find(is_of).cloned().unwrap()
    }

    pub(crate) fn refunds(&self) -> Vec<Value> {
        self.books().refunds.values().cloned().collect()
    }

    /// How many requests began so, e.g. `POST /v1/refunds`.
    pub(crate) fn count(&self, request: &str) -> usize {
        self.books()
            .requests
            .iter()
            .filter(|seen| seen.starts_with(request))
            .count()
    }

    /// Changes an intent, as the customer or the bank would.
    pub(crate) fn set_intent(&self, id: &str, status: &str) -> Value {
        let mut books = self.books();
        let intent = books.intents.get_mut(id).unwrap();
        intent["status"] = json!(status);
        if status == "succeeded" {
            intent["amount_received"] = intent["amount"].clone();
        }
        intent.clone()
    }

    pub(crate) fn set_intent_field(&self, id: &str, field: &str, value: Value) -> Value {
        let mut books = self.books();
        let intent = books.intents.get_mut(id).unwrap();
        intent[field] = value;
        intent.clone()
    }

    /// The customer pays on the hosted page; gives the intent.
    pub(crate) fn pay_session(&self, session_id: &str) -> Value {
        let mut books = self.books();
        let id = books.id("pi");
        let session = books.sessions.get_mut(session_id).unwrap();
        let intent = json!({
            "id": id, "object": "payment_intent", "status": "succeeded", "metadata": session["metadata"],
            "amount": session["amount_total"], "amount_received": session["amount_total"],
            "currency": session["currency"],
        });
        session["status"] = json!("complete");
        session["payment_status"] = json!("paid");
        session["payment_intent"] = json!(id);
        books.intents.insert(id, intent.clone());
        intent
    }

    pub(crate) fn set_refund(&self, id: &str, status: &str) -> Value {
        let mut books = self.books();
        let refund = books.refunds.get_mut(id).unwrap();
        refund["status"] = json!(status);
        refund.clone()
    }
}
