//! `/`: how the service is, and where to go from here.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use eventing::dead_letters::{Desk, Error, JobState};

use super::door::Visit;
use super::page::{self, Count, Frame};
use crate::health::{Health, Report, Status};
use crate::problem::Chain;

/// Jobs that are looked at for those that are under way.
const NEWEST_JOBS: u32 = 50;

/// What the page is made of.
#[derive(Clone)]
pub(super) struct Start {
    health: Health,
    desks: Arc<[Desk]>,
}

impl Start {
    pub(super) fn new(health: Health, desks: Arc<[Desk]>) -> Self {
        Self { health, desks }
    }
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    frame: Frame,
    report: Report,
    groups: Vec<Group>,
}

/// A consumer group at a glance.
struct Group {
    name: String,
    /// None when they cannot be told now.
    letters: Option<Letters>,
}

struct Letters {
    new: Count,
    failures: usize,
    jobs: usize,
}

/// Shows it.
pub(super) async fn show(State(start): State<Start>, visit: Visit) -> Response {
    let mut groups = Vec::with_capacity(start.desks.len());
    for desk in start.desks.iter() {
        let letters = glance(desk).await;
        if let Err(failure) = &letters {
            tracing::warn!(error = %Chain(failure), "the dead letters cannot be told");
        }
        groups.push(Group {
            name: desk.group().name.clone(),
            letters: letters.ok(),
        });
    }
    let page = StartPage {
        frame: Frame::of(&visit),
        report: start.health.report(),
        groups,
    };
    page::show(StatusCode::OK, &page)
}

async fn glance(desk: &Desk) -> Result<Letters, Error> {
    let failures = desk.groups().await?;
    let jobs = desk.jobs(None, NEWEST_JOBS).await?;
    let is_under_way = |state| matches!(state, JobState::Running | JobState::Paused | JobState::Stopped);
    Ok(Letters {
        new: Count(failures.iter().map(|failure| failure.new).sum()),
        failures: failures.iter().filter(|failure| failure.new > 0).count(),
        jobs: jobs.rows.iter().filter(|job| is_under_way(job.state)).count(),
    })
}

impl Status {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}
