//! `/dead-letters/{group}/replay/new` and `…/discard/new`: which letters, how fast. That makes a plan, and nothing else yet.

use askama::Template;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use eventing::dead_letters::{Action, Error, Pace};
use url::form_urlencoded;

use super::room::{Instead, Room};
use super::sought::Sought;
use crate::http::operations::{Frame, show as page};

/// What the form suggests: a few of each failure go first, so that a cause that is still there costs few attempts.
const SUGGESTED_CANARY: u32 = 5;

#[derive(Template)]
#[template(path = "act.html")]
struct ActPage {
    frame: Frame,
    path: String,
    action: Action,
    sought: Sought,
    rate: String,
    canary: String,
    problem: Option<String>,
}

/// The form, filled with what the address says.
pub(super) async fn ask(room: Room, RawQuery(query): RawQuery) -> Result<Response, Instead> {
    let action = action(&room)?;
    let sought = Sought::read(query.unwrap_or_default().as_bytes());
    let pace = (Pace::default().rate.to_string(), SUGGESTED_CANARY.to_string());
    Ok(form(&room, action, sought, pace, None))
}

/// Makes a plan, and goes on to it.
pub(super) async fn plan(room: Room, body: Bytes) -> Result<Response, Instead> {
    let action = action(&room)?;
    let sought = Sought::read(&body);
    let typed = (field(&body, "rate"), field(&body, "canary"));
    let wished = sought
        .selection()
        .and_then(|selection| Ok((selection, pace(action, &typed)?)));
    let (selection, pace) = match wished {
        Ok(wished) => wished,
        Err(wrong) => return Ok(form(&room, action, sought, typed, Some(wrong))),
    };
    match room.desk.plan(action, &selection, pace).await {
        Ok(plan) => Ok(Redirect::to(&room.path(&format!("/plans/{}", plan.id))).into_response()),
        Err(Error::Refused(refusal) | Error::NotFound(refusal)) => {
            Ok(form(&room, action, sought, typed, Some(refusal)))
        }
        Err(failure) => Err(room.instead(&failure)),
    }
}

fn form(
    room: &Room,
    action: Action,
    sought: Sought,
    (rate, canary): (String, String),
    problem: Option<String>,
) -> Response {
    let status = if problem.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let shown = ActPage {
        frame: room.frame("failures"),
        path: room.path(""),
        action,
        sought,
        rate,
        canary,
        problem,
    };
    page(status, &shown)
}

fn action(room: &Room) -> Result<Action, Instead> {
    let action: String = room.named("action")?;
    [Action::Replay, Action::Discard]
        .into_iter()
        .find(|known| known.as_str() == action)
        .ok_or_else(|| room.nothing("There is nothing here"))
}

fn field(body: &[u8], wanted: &str) -> String {
    form_urlencoded::parse(body)
        .find_map(|(name, value)| (name == wanted).then(|| value.trim().to_owned()))
        .unwrap_or_default()
}

fn pace(action: Action, (rate, canary): &(String, String)) -> Result<Pace, String> {
    if action == Action::Discard {
        return Ok(Pace::default());
    }
    let number = |what: &str, text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("{what}: expected a whole number, got {text:?}"))
    };
    Ok(Pace {
        rate: number("letters per second", rate)?,
        canary: number("first of each failure", canary)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{PATH, frame};
    use super::*;

    fn page_of(action: Action, query: &str, problem: Option<String>) -> String {
        let page = ActPage {
            frame: frame("failures"),
            path: PATH.to_owned(),
            action,
            sought: Sought::read(query.as_bytes()),
            rate: "500".to_owned(),
            canary: "5".to_owned(),
            problem,
        };
        page.render().unwrap()
    }

    #[test]
    fn a_replay_asks_which_letters_and_how_fast() {
        insta::assert_snapshot!(page_of(Action::Replay, "fingerprint=4f1c9e0b", None));
    }

    #[test]
    fn a_discard_of_chosen_letters_keeps_what_was_typed_and_says_what_is_wrong() {
        let html = page_of(
            Action::Discard,
            "ids=3-17&ids=x",
            Some("\"x\" is no letter's id".to_owned()),
        );
        assert!(
            html.contains("role=\"alert\">&#34;x&#34; is no letter&#39;s id"),
            "{html}"
        );
        assert!(html.contains(">3-17 x </textarea>"), "{html}");
        assert!(!html.contains("name=\"rate\""), "{html}");
    }

    #[test]
    fn a_pace_is_two_whole_numbers() {
        let typed = |rate: &str, canary: &str| pace(Action::Replay, &(rate.to_owned(), canary.to_owned()));
        assert_eq!(typed("20", "0"), Ok(Pace { rate: 20, canary: 0 }));
        assert!(typed("fast", "0").unwrap_err().contains("letters per second"));
        assert!(typed("20", "-1").unwrap_err().contains("first of each failure"));
    }
}
