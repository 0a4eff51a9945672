//! `/dead-letters/{group}/jobs`: what is being done and was done.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use eventing::dead_letters::Job;
use serde::Deserialize;

use super::room::{Instead, Room};
use crate::http::operations::{Frame, show as page};

/// Jobs on one page.
const ROWS: u32 = 50;

/// Which page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Further {
    pub(super) after: Option<String>,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    path: String,
    jobs: Vec<Job>,
    next: Option<String>,
}

pub(super) async fn show(room: Room, Query(further): Query<Further>) -> Result<Response, Instead> {
    let found = room.desk.jobs(further.after.as_deref(), ROWS).await;
    let found = found.map_err(|error| room.instead(&error))?;
    let shown = JobsPage {
        frame: room.frame("jobs"),
        path: room.path(""),
        jobs: found.rows,
        next: found.next,
    };
    Ok(page(StatusCode::OK, &shown))
}

#[cfg(test)]
mod tests {
    use eventing::dead_letters::{Action, JobState};

    use super::super::samples::{PATH, frame, job};
    use super::*;

    #[test]
    fn jobs_are_listed_with_how_far_they_are() {
        let page = JobsPage {
            frame: frame("jobs"),
            path: PATH.to_owned(),
            jobs: vec![
                job(Action::Replay, JobState::Running),
                job(Action::Discard, JobState::Finished),
            ],
            next: Some("opaque/&".to_owned()),
        };
        insta::assert_snapshot!(page.render().unwrap());
    }
}
