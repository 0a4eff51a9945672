//! `/dead-letters/{group}`: failures by fingerprint.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use eventing::dead_letters::FailureGroup;

use super::room::{Instead, Room};
use crate::http::operations::{Count, Frame, show as page};

#[derive(Template)]
#[template(path = "failures.html")]
struct FailuresPage {
    frame: Frame,
    path: String,
    failures: Vec<FailureGroup>,
    new: Count,
    /// Letters that are on the topic and not in these numbers yet.
    behind: u64,
    serving: usize,
}

pub(super) async fn show(room: Room) -> Result<Response, Instead> {
    let failures = room.desk.groups().await.map_err(|error| room.instead(&error))?;
    // The numbers are of use without these two.
    let behind = room.desk.behind().await.unwrap_or_default();
    let serving = room.desk.serving().await.map_or(1, |replicas| replicas.len());
    let shown = FailuresPage {
        frame: room.frame("failures"),
        path: room.path(""),
        new: Count(failures.iter().map(|failure| failure.new).sum()),
        failures,
        behind,
        serving,
    };
    Ok(page(StatusCode::OK, &shown))
}
