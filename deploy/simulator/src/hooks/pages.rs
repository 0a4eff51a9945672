//! `/hooks`: what the merchants' ends received.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::{Hooks, Received};
use crate::page;

/// The page shows the newest; the control API has all.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "hooks.html")]
struct HooksPage {
    title: String,
    requests: Vec<Received>,
    more: bool,
}

pub(super) async fn list(State(hooks): State<Hooks>) -> Response {
    show("Received webhooks".to_owned(), hooks.received(|_| true).0)
}

pub(super) async fn receiver(State(hooks): State<Hooks>, Path(path): Path<String>) -> Response {
    let (requests, _) = hooks.received(|request| request.path == path);
    show(format!("Received at /hooks/{path}"), requests)
}

fn show(title: String, mut requests: Vec<Received>) -> Response {
    requests.reverse();
    let more = requests.len() > SHOWN;
    requests.truncate(SHOWN);
    page::show(&HooksPage {
        title,
        requests,
        more,
    })
}
