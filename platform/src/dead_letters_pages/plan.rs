//! `/dead-letters/{group}/plans/{id}`: what would be done, and the form that has it done.

use askama::Template;
use axum::extract::Form;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use eventing::dead_letters::{Action, Changed, Error, Plan, Start};
use uuid::Uuid;

use super::room::{Instead, Room, Said};
use crate::http::operations::{Frame, show as page};

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    frame: Frame,
    path: String,
    plan: Plan,
    changes: Vec<String>,
    said: Said,
    problem: Option<String>,
    /// How long it will take at its rate, in words.
    takes: Option<String>,
}

pub(super) async fn show(room: Room) -> Result<Response, Instead> {
    let said = Said::nothing_yet(&room);
    planned(&room, said, None).await
}

/// The plan with what changed since, and what is wrong with the form.
async fn planned(room: &Room, said: Said, problem: Option<String>) -> Result<Response, Instead> {
    let id: Uuid = room.named("id")?;
    let (plan, changes) = room
        .desk
        .planned(id)
        .await
        .map_err(|error| room.instead(&error))?;
    let status = if problem.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    Ok(sheet(room, status, plan, changes, said, problem))
}

fn sheet(
    room: &Room,
    status: StatusCode,
    plan: Plan,
    changes: Vec<String>,
    said: Said,
    problem: Option<String>,
) -> Response {
    let shown = PlanPage {
        frame: room.frame("failures"),
        path: room.path(""),
        takes: plan.rate.map(|rate| duration(plan.letters, rate)),
        plan,
        changes,
        said,
        problem,
    };
    page(status, &shown)
}

/// Starts it. When something changed since it was made, it is shown as it is now instead, to be confirmed as such.
pub(super) async fn start(room: Room, Form(said): Form<Said>) -> Result<Response, Instead> {
    let id: Uuid = room.named("id")?;
    let decision = match room.decision(&said) {
        Ok(decision) => decision,
        Err(refusal) => return planned(&room, said, Some(refusal.to_string())).await,
    };
    match room.desk.start(id, &decision, Changed::Refuse).await {
        Ok(Start::Started(job)) => {
            let there = Redirect::to(&room.path(&format!("/jobs/{}", job.id)));
            Ok(room.accepted(there, &decision))
        }
        Ok(Start::Changed { plan, changes }) => {
            let problem = Some("Nothing was started: something changed since this was planned.".to_owned());
            Ok(sheet(&room, StatusCode::CONFLICT, *plan, changes, said, problem))
        }
        Err(Error::Refused(refusal)) => planned(&room, said, Some(refusal)).await,
        Err(failure) => Err(room.instead(&failure)),
    }
}

impl PlanPage {
    fn is_replay(&self) -> bool {
        self.plan.action == Action::Replay
    }
}

/// How long this many letters take at least.
pub(super) fn duration(letters: u64, rate: u32) -> String {
    let seconds = letters.div_ceil(u64::from(rate.max(1)));
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{PATH, frame, plan};
    use super::*;

    fn page_of(plan: Plan, changes: &[&str]) -> PlanPage {
        PlanPage {
            frame: frame("failures"),
            path: PATH.to_owned(),
            takes: plan.rate.map(|rate| duration(plan.letters, rate)),
            plan,
            changes: changes.iter().map(|change| (*change).to_owned()).collect(),
            said: Said::default(),
            problem: None,
        }
    }

    #[test]
    fn a_plan_says_what_would_be_sent_and_what_changed_since() {
        let changes = ["the handler was settlement 0.1.0 and is settlement 0.2.0"];
        insta::assert_snapshot!(page_of(plan(Action::Replay), &changes).render().unwrap());
    }

    #[test]
    fn an_empty_plan_cannot_be_started() {
        let plan = Plan {
            letters: 0,
            serving: 0,
            ..plan(Action::Discard)
        };
        let html = page_of(plan, &[]).render().unwrap();
        assert!(html.contains("There is nothing to discard"), "{html}");
        assert!(html.contains("No replica serves this group"), "{html}");
        assert!(!html.contains("<button id=\"start\""), "{html}");
    }

    #[test]
    fn a_duration_is_rounded_up_in_the_unit_that_matters() {
        let shown = [(0, 500), (1, 500), (100_000, 500), (10_000_000, 500), (5, 0)]
            .map(|(n, rate)| duration(n, rate));
        assert_eq!(shown, ["0 s", "1 s", "4 min", "6 h", "5 s"]);
    }
}
