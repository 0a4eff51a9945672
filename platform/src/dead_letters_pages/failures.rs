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
    serving: usize,
}

pub(super) async fn show(room: Room) -> Result<Response, Instead> {
    let failures = room.desk.groups().await.map_err(|error| room.instead(&error))?;
    // Replicas that serve keep the index at the topic's end. How far it is behind without them only Kafka knows, and this page
    // does not wait for Kafka.
    let serving = room.desk.serving().await.map_or(1, |replicas| replicas.len());
    let shown = FailuresPage {
        frame: room.frame("failures"),
        path: room.path(""),
        new: Count(failures.iter().map(|failure| failure.new).sum()),
        failures,
        serving,
    };
    Ok(page(StatusCode::OK, &shown))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{PATH, failures, frame};
    use super::*;

    fn page_of(failures: Vec<FailureGroup>) -> FailuresPage {
        FailuresPage {
            frame: frame("failures"),
            path: PATH.to_owned(),
            new: Count(failures.iter().map(|failure| failure.new).sum()),
            failures,
            serving: 1,
        }
    }

    #[test]
    fn failures_are_counted_dated_and_lead_to_their_letters() {
        insta::assert_snapshot!(page_of(failures()).render().unwrap());
    }

    #[test]
    fn a_group_without_dead_letters_says_so_and_one_without_replicas_too() {
        let mut page = page_of(Vec::new());
        page.serving = 0;
        let html = page.render().unwrap();
        assert!(html.contains("has no dead letters"), "{html}");
        assert!(html.contains("No replica serves this group"), "{html}");
    }
}
