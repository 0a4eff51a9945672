//! `/mail` and `/mail/{id}`

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::{Mailbox, Message};
use crate::page;

/// The page shows the newest; the control API has all.
const SHOWN: usize = 200;

pub(super) fn routes() -> Router<Mailbox> {
    Router::new().route("/", get(list)).route("/{id}", get(show))
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    messages: Vec<Message>,
    to: String,
    more: bool,
}

#[derive(Template)]
#[template(path = "message_detail.html")]
struct DetailPage {
    message: Message,
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    to: String,
}

async fn list(State(mailbox): State<Mailbox>, Query(filter): Query<Filter>) -> Response {
    let wanted = filter.to.to_lowercase();
    let (mut messages, _) =
        mailbox.messages(|message| wanted.is_empty() || message.to.iter().any(|to| to.contains(&wanted)));
    messages.reverse();
    let more = messages.len() > SHOWN;
    messages.truncate(SHOWN);
    page::show(&MailPage {
        messages,
        to: filter.to,
        more,
    })
}

async fn show(State(mailbox): State<Mailbox>, Path(id): Path<u64>) -> Response {
    let (mut found, _) = mailbox.messages(|message| message.id == id);
    match found.pop() {
        Some(message) => page::show(&DetailPage { message }),
        None => page::not_found("There is no such message."),
    }
}
