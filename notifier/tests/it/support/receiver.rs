//! A merchant's endpoint.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

/// What the endpoint does with a request.
#[derive(Clone)]
pub(crate) enum Behaviour {
    Answer(StatusCode),
    AnswerAndClose,
    Redirect(String),
    Hang,
    AskToWait(u32),
}

#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<Inbox>>,
}

struct Inbox {
    behaviour: Behaviour,
    requests: Vec<Request>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::start_at(LOOPBACK).await
    }

    /// Listens on this address.
    pub(crate) async fn start_at(address: &str) -> Self {
        let inbox = Inbox {
            behaviour: Behaviour::Answer(StatusCode::NO_CONTENT),
            requests: Vec::new(),
        };
        let state = Arc::new(Mutex::new(inbox));
        let routes = Router::new().fallback(receive).with_state(Arc::clone(&state));
        let url = listen_at(address, routes).await;
        let address = url.trim_start_matches("http://").parse().unwrap();
        Self {
            url: format!("{url}/hooks"),
            address,
            state,
        }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.state.lock().unwrap().behaviour = behaviour;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().unwrap().requests.len()
    }

    /// Waits until so many requests have come, and gives them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Request> {
        let what = format!("{count} webhooks");
        super::eventually(&what, async || {
            Some(self.requests()).filter(|it| it.len() >= count)
        })
        .await
    }
}

async fn receive(
    State(state): State<Arc<Mutex<Inbox>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let behaviour = {
        let mut inbox = state.lock().unwrap();
        inbox.requests.push(Request {
            path: uri.path().to_owned(),
            headers,
            body,
        });
        inbox.behaviour.clone()
    };
    match behaviour {
        Behaviour::Answer(status) => status.into_response(),
        Behaviour::AnswerAndClose => {
            (StatusCode::NO_CONTENT, [(header::CONNECTION, "close")]).into_response()
        }
        Behaviour::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::AskToWait(seconds) => (
            StatusCode::TOO_MANY_REQUESTS,
            [(header::RETRY_AFTER, seconds.to_string())],
        )
            .into_response(),
    }
}

/// Serves on a free port of loopback until the test's runtime ends; gives the base URL.
pub(crate) async fn listen(routes: Router) -> String {
    listen_at(LOOPBACK, routes).await
}

/// A free port of loopback.
const LOOPBACK: &str = "127.0.0.1:0";

async fn listen_at(address: &str, routes: Router) -> String {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}")
}

#[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
