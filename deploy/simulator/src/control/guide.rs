//! `GET /control`: what can be ordered, as JSON for machines and as a page for people.

use askama::Template;
use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::json;

use crate::page;

/// One entry of the control API.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Entry {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// The JSON body, or the query.
    pub(crate) takes: &'static str,
    pub(crate) meaning: &'static str,
}

const fn entry(
    method: &'static str,
    path: &'static str,
    takes: &'static str,
    meaning: &'static str,
) -> Entry {
    Entry {
        method,
        path,
        takes,
        meaning,
    }
}

pub(crate) const ENTRIES: &[Entry] = &[
    entry("GET", "/control", "", "this list"),
    entry("GET", "/control/state", "", "all that is ordered and not used up"),
    entry(
        "POST",
        "/control/psp/next",
        r#"{"operation": "payment|refund|cancel|lookup", "behaviour": "decline|delay|drop_answer|drop_before_charging|server_error", "count": 1, "delay_ms": 0}"#,
        "the next count requests of that kind misbehave; delay does the work delay_ms later, drop_answer does it and closes the connection, the last two do nothing",
    ),
    entry(
        "POST",
        "/control/psp/search",
        r#"{"lag_seconds": 0}"#,
        "how long search does not find a new payment",
    ),
    entry(
        "GET",
        "/control/psp/webhooks",
        "",
        "mode, target and counts of the PSP's webhooks",
    ),
    entry(
        "POST",
        "/control/psp/webhooks",
        r#"{"mode": "normal|duplicate|reversed|held|before_answer", "window_ms": 3000}"#,
        "how webhooks are delivered; reversed collects an object's events until none came for window_ms, and sends the newest first",
    ),
    entry(
        "POST",
        "/control/psp/webhooks/release",
        r#"{"order": "kept|reversed"}"#,
        "sends what is held, and goes back to normal",
    ),
    entry(
        "POST",
        "/control/psp/webhook-target",
        r#"{"url": "http://…", "secrets": ["whsec_…"]}"#,
        "where the PSP's webhooks go; without secrets the present ones stay, without url none are sent",
    ),
    entry(
        "POST",
        "/control/bank/next",
        r#"{"behaviour": "fail|return|delay|drop_answer|drop_before_paying|server_error", "count": 1, "delay_ms": 0}"#,
        "the next count payouts misbehave; return completes the payout and returns it a little later",
    ),
    entry(
        "POST",
        "/control/bank/return",
        r#"{"withdrawal_no": "wdr_…"}"#,
        "a completed payout comes back now",
    ),
    entry(
        "GET",
        "/control/bank/webhooks",
        "",
        "mode, target and counts of the bank's webhooks",
    ),
    entry(
        "POST",
        "/control/bank/webhooks",
        r#"{"mode": "…"}"#,
        "as for the PSP; before_answer does as normal",
    ),
    entry(
        "POST",
        "/control/bank/webhooks/release",
        r#"{"order": "kept|reversed"}"#,
        "as for the PSP",
    ),
    entry(
        "POST",
        "/control/bank/webhook-target",
        r#"{"url": "http://…", "secrets": ["…"]}"#,
        "as for the PSP",
    ),
    entry(
        "GET",
        "/control/mail",
        "?to=&message_id=",
        "received messages in arrival order, duplicates kept",
    ),
    entry(
        "POST",
        "/control/mail",
        r#"{"mode": "normal|reject|defer|drop_answer|down", "count": 1}"#,
        "how mail is taken: 550, 451, kept without saying so, nobody listening; without count until told otherwise",
    ),
    entry(
        "GET",
        "/control/hooks",
        "?path=",
        "received webhooks in arrival order, with headers and raw body",
    ),
    entry(
        "POST",
        "/control/hooks",
        r#"{"mode": "normal|fail|hang|redirect|large", "path": "demo", "count": 1}"#,
        "how /hooks/… answers: 200, 500, not at all, 302, 200 with 16 MiB; without path for all receivers",
    ),
    entry(
        "GET",
        "/control/books/psp",
        "",
        "what the PSP really charged and refunded",
    ),
    entry("GET", "/control/books/bank", "", "what the bank really paid out"),
    entry(
        "POST",
        "/control/reset",
        r#"{"mail": false, "hooks": false}"#,
        "everybody behaves again, held webhooks are sent; on request the mailbox and the received webhooks are emptied; books never are",
    ),
];

#[derive(Template)]
#[template(path = "control.html")]
struct GuidePage {
    entries: &'static [Entry],
}

pub(super) async fn show(headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if accept.contains("text/html") {
        return page::show(&GuidePage { entries: ENTRIES });
    }
    Json(json!({ "control": ENTRIES })).into_response()
}
