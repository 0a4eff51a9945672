//! Pages about dead letters, for whoever is woken by them: what fails, why, and what to do about it.
//!
//! Every page is whole without a script. What changes something is a form with a reason, behind the door that
//! [`crate::http::operations`] puts before all pages; the library writes who and why into the audit log before it does anything.

mod act;
mod audit;
mod export;
mod failures;
mod gaps;
mod job;
mod jobs;
mod letter;
mod letters;
mod plan;
mod room;
#[cfg(test)]
mod samples;
mod sought;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use eventing::dead_letters::Desk;

/// The pages of each group under `/dead-letters/{group}`.
pub(crate) fn routes(desks: Arc<[Desk]>) -> Router {
    let of_group = Router::new()
        .route("/", get(failures::show))
        .route("/letters", get(letters::show))
        .route("/letters/{id}", get(letter::show))
        .route("/letters/{id}/undo", post(letter::undo))
        .route("/export", get(export::send))
        .route("/{action}/new", get(act::ask).post(act::plan))
        .route("/plans/{id}", get(plan::show))
        .route("/plans/{id}/start", post(plan::start))
        .route("/jobs", get(jobs::show))
        .route("/jobs/{id}", get(job::show))
        .route("/jobs/{id}/{change}", post(job::change))
        .route("/gaps", get(gaps::show))
        .route("/gaps/accept", post(gaps::accept))
        .route("/audit", get(audit::show))
        .with_state(desks);
    Router::new().nest("/dead-letters/{group}", of_group)
}
