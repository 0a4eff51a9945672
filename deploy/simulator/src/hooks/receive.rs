//! `POST /hooks/{anything}`

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;

use super::{Hooks, Mode, Received};
use crate::clock;
use crate::http::lost_answer;

/// More than any sender should read of an answer to a webhook.
const LARGE_ANSWER_BYTES: usize = 16 * 1024 * 1024;

pub(super) async fn receive(
    State(hooks): State<Hooks>,
    Path(path): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Before the mode is read, so that a change in between is not missed.
    let changed = hooks.0.changed.subscribe();
    let (id, mode) = {
        let mut state = hooks.state();
        let id = state.next_id;
        state.next_id += 1;
        let received = Received {
            id,
            received_at: clock::now(),
            method: method.to_string(),
            path: path.clone(),
            query: uri.query().map(str::to_owned),
            headers: readable(&headers),
            body: String::from_utf8_lossy(&body).into_owned(),
            body_base64: STANDARD.encode(&body),
            answered: None,
        };
        state
            .received
            .push(received, body.len().saturating_mul(3).saturating_add(1024));
        (id, state.take_mode(&path))
    };
    let response = answer(&hooks, &path, mode, changed).await;
    let mut state = hooks.state();
    if let Some(request) = state.received.iter_mut().rev().find(|request| request.id == id)
        && mode != Mode::Hang
    {
        request.answered = Some(response.status().as_u16());
    }
    response
}

async fn answer(hooks: &Hooks, path: &str, mode: Mode, mut changed: watch::Receiver<()>) -> Response {
    match mode {
        Mode::Normal => (StatusCode::OK, "received\n").into_response(),
        Mode::Fail => (StatusCode::INTERNAL_SERVER_ERROR, "failed, as it was told to\n").into_response(),
        Mode::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/hooks/redirected")]).into_response(),
        Mode::Large => vec![b'.'; LARGE_ANSWER_BYTES].into_response(),
        Mode::Hang => {
            loop {
                tokio::select! {
                    changed = changed.changed() => if changed.is_err() || hooks.state().mode(path) != Mode::Hang { break },
                    () = hooks.0.shutdown.cancelled() => break,
                }
            }
            lost_answer()
        }
    }
}

fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut readable: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        readable
            .entry(name.as_str().to_owned())
            .and_modify(|values| {
                values.push_str(", ");
                values.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    readable
}
