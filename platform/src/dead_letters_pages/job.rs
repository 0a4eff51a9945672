//! `/dead-letters/{group}/jobs/{id}`: how far a job is, and the forms that stop it or let it go on.

use askama::Template;
use axum::extract::{Form, Query};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use eventing::dead_letters::{Action, Decision, Error, Job, JobState, Undo};
use serde::Deserialize;
use uuid::Uuid;

use super::plan::duration;
use super::room::{Instead, Room, Said};
use crate::http::operations::{Frame, show as page};

/// How often the page is loaded again while letters are sent.
const REFRESH_SECONDS: u32 = 2;
/// The same while outcomes are waited for, which may be in a late tier.
const REFRESH_SLOWLY_SECONDS: u32 = 10;

#[derive(Debug, Deserialize)]
pub(super) struct Look {
    /// Wishes that the page stays as it is.
    still: Option<String>,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    path: String,
    job: Job,
    progress: Progress,
    /// Whether the page would be loaded again by itself.
    moves: bool,
    still: bool,
    said: Said,
    problem: Option<String>,
}

/// How far a job is, in letters.
struct Progress {
    /// Those that need nothing more.
    through: u64,
    percent: u64,
    /// How long the rest takes at least, in words.
    left: Option<String>,
}

impl Progress {
    /// A replayed letter is through when its outcome is known, and not when it was merely sent.
    fn of(job: &Job) -> Self {
        let through = match job.action {
            Action::Replay => job.handled.saturating_add(job.failed_again),
            Action::Discard => job.done,
        };
        let through = through.min(job.letters);
        let unsent = job.letters.saturating_sub(job.done);
        let left = (job.state == JobState::Running && unsent > 0)
            .then_some(job.rate)
            .flatten()
            .map(|rate| duration(unsent, rate));
        Self {
            through,
            // Not 100 before the last one.
            percent: through
                .saturating_mul(100)
                .checked_div(job.letters)
                .unwrap_or(100),
            left,
        }
    }
}

pub(super) async fn show(room: Room, Query(look): Query<Look>) -> Result<Response, Instead> {
    let said = Said::nothing_yet(&room);
    with(&room, said, None, look.still.is_some()).await
}

async fn with(room: &Room, said: Said, problem: Option<String>, still: bool) -> Result<Response, Instead> {
    let id: Uuid = room.named("id")?;
    let job = room.desk.job(id).await.map_err(|error| room.instead(&error))?;
    let refresh = match job.state {
        JobState::Running => Some(REFRESH_SECONDS),
        _ if job.in_flight > 0 => Some(REFRESH_SLOWLY_SECONDS),
        _ => None,
    };
    let mut frame = room.frame("jobs");
    // Nothing that somebody is typing gets lost.
    frame.refresh_seconds = refresh.filter(|_| !still && problem.is_none());
    let status = if problem.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let shown = JobPage {
        frame,
        path: room.path(""),
        progress: Progress::of(&job),
        job,
        moves: refresh.is_some(),
        still,
        said,
        problem,
    };
    Ok(page(status, &shown))
}

/// `pause`, `resume`, `cancel`, and of what it discarded `undo`.
pub(super) async fn change(room: Room, Form(said): Form<Said>) -> Result<Response, Instead> {
    let id: Uuid = room.named("id")?;
    let change: String = room.named("change")?;
    let decision = match room.decision(&said) {
        Ok(decision) => decision,
        Err(refusal) => return with(&room, said, Some(refusal.to_string()), true).await,
    };
    match decide(&room, id, &change, &decision).await {
        Some(Ok(None)) => {
            let there = Redirect::to(&room.path(&format!("/jobs/{id}")));
            Ok(room.accepted(there, &decision))
        }
        Some(Ok(Some(problem)) | Err(Error::Refused(problem))) => {
            with(&room, said, Some(problem), true).await
        }
        Some(Err(failure)) => Err(room.instead(&failure)),
        None => Err(room.nothing("There is nothing here")),
    }
}

/// Does it; none when there is no such thing to do. What could not be done is said in words.
async fn decide(
    room: &Room,
    id: Uuid,
    change: &str,
    decision: &Decision,
) -> Option<Result<Option<String>, Error>> {
    let desk = &room.desk;
    Some(match change {
        "pause" => desk.pause(id, decision).await.map(|_| None),
        "resume" => desk.resume(id, decision).await.map(|_| None),
        "cancel" => desk.cancel(id, decision).await.map(|_| None),
        "undo" => desk.undo(&Undo::Job(id), decision).await.map(|undone| {
            let (_, reason) = undone.refused.first()?;
            Some(format!(
                "{} letters are new again, {} stay discarded: {reason}",
                undone.letters.len(),
                undone.refused.len()
            ))
        }),
        _ => return None,
    })
}

impl JobPage {
    fn is_replay(&self) -> bool {
        self.job.action == Action::Replay
    }

    fn can_pause(&self) -> bool {
        self.job.state == JobState::Running
    }

    fn can_resume(&self) -> bool {
        matches!(self.job.state, JobState::Paused | JobState::Stopped)
    }

    fn can_cancel(&self) -> bool {
        self.can_pause() || self.can_resume()
    }

    fn can_undo(&self) -> bool {
        self.job.action == Action::Discard && self.job.done > 0 && !self.can_pause()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{PATH, frame, job};
    use super::*;

    fn page_of(job: Job, still: bool) -> JobPage {
        let moves = job.state == JobState::Running;
        let mut frame = frame("jobs");
        frame.refresh_seconds = (moves && !still).then_some(REFRESH_SECONDS);
        JobPage {
            frame,
            path: PATH.to_owned(),
            progress: Progress::of(&job),
            job,
            moves,
            still,
            said: Said::default(),
            problem: None,
        }
    }

    #[test]
    fn a_running_replay_follows_itself() {
        let html = page_of(job(Action::Replay, JobState::Running), false)
            .render()
            .unwrap();
        insta::assert_snapshot!(html);
    }

    #[test]
    fn each_state_offers_what_can_be_done_in_it() {
        let offers = |action, state| {
            let html = page_of(job(action, state), true).render().unwrap();
            ["/pause\"", "/resume\"", "/cancel\"", "/undo\""].map(|change| html.contains(change))
        };
        assert_eq!(
            offers(Action::Replay, JobState::Running),
            [true, false, true, false]
        );
        assert_eq!(
            offers(Action::Replay, JobState::Paused),
            [false, true, true, false]
        );
        assert_eq!(
            offers(Action::Replay, JobState::Stopped),
            [false, true, true, false]
        );
        assert_eq!(offers(Action::Replay, JobState::Cancelled), [false; 4]);
        assert_eq!(offers(Action::Replay, JobState::Finished), [false; 4]);
        assert_eq!(
            offers(Action::Discard, JobState::Finished),
            [false, false, false, true]
        );
    }

    #[test]
    fn the_bar_counts_outcomes_and_not_what_was_merely_sent() {
        let mut job = job(Action::Replay, JobState::Running);
        (job.letters, job.done, job.handled, job.failed_again) = (1_000, 1_000, 989, 10);
        let progress = Progress::of(&job);
        assert_eq!(
            (progress.through, progress.percent),
            (999, 99),
            "not 100 before the last one"
        );
        assert_eq!(progress.left, None, "everything is sent");
        job.handled = 990;
        assert_eq!(Progress::of(&job).percent, 100);
        job.letters = 0;
        assert_eq!(Progress::of(&job).percent, 100);
    }
}
