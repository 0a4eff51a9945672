//! `/dead-letters/{group}/letters/{id}`: all that is known about one letter.

use askama::Template;
use axum::extract::Form;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use eventing::dead_letters::{Detail, Error, LetterId, Undo};

use super::room::{Instead, Room, Said};
use crate::http::operations::{Frame, show as page};

#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    frame: Frame,
    path: String,
    detail: Detail,
    /// The event as JSON, over several lines.
    event: Option<String>,
    said: Said,
    problem: Option<String>,
}

pub(super) async fn show(room: Room) -> Result<Response, Instead> {
    let said = Said::nothing_yet(&room);
    with(&room, said, None).await
}

async fn with(room: &Room, said: Said, problem: Option<String>) -> Result<Response, Instead> {
    let id: LetterId = room.named("id")?;
    let detail = room.desk.letter(id).await.map_err(|error| room.instead(&error))?;
    let status = if problem.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let shown = LetterPage {
        frame: room.frame("letters"),
        path: room.path(""),
        event: detail.event.as_ref().map(|event| format!("{event:#}")),
        detail,
        said,
        problem,
    };
    Ok(page(status, &shown))
}

/// Takes back that the letter was discarded.
pub(super) async fn undo(room: Room, Form(said): Form<Said>) -> Result<Response, Instead> {
    let id: LetterId = room.named("id")?;
    let decision = match room.decision(&said) {
        Ok(decision) => decision,
        Err(refusal) => return with(&room, said, Some(refusal.to_string())).await,
    };
    let undone = match room.desk.undo(&Undo::Letters(vec![id]), &decision).await {
        Ok(undone) => undone,
        Err(Error::Refused(refusal)) => return with(&room, said, Some(refusal)).await,
        Err(failure) => return Err(room.instead(&failure)),
    };
    if let Some((_, refusal)) = undone.refused.into_iter().next() {
        return with(&room, said, Some(refusal)).await;
    }
    let there = Redirect::to(&room.path(&format!("/letters/{id}")));
    Ok(room.accepted(there, &decision))
}

#[cfg(test)]
mod tests {
    use eventing::dead_letters::State;

    use super::super::samples::{PATH, detail, frame};
    use super::*;

    fn page_of(detail: Detail) -> LetterPage {
        LetterPage {
            frame: frame("letters"),
            path: PATH.to_owned(),
            event: detail.event.as_ref().map(|event| format!("{event:#}")),
            detail,
            said: Said::default(),
            problem: None,
        }
    }

    #[test]
    fn a_letter_shows_its_event_its_attempts_its_lives_and_its_headers() {
        insta::assert_snapshot!(page_of(detail(State::New)).render().unwrap());
    }

    #[test]
    fn a_letter_that_cannot_be_decoded_says_why_and_a_discarded_one_can_be_taken_back() {
        let mut detail = detail(State::Discarded);
        (detail.event, detail.undecodable) = (None, Some("the <bytes> end early".to_owned()));
        let html = page_of(detail).render().unwrap();
        assert!(
            html.contains("cannot be decoded: the &#60;bytes&#62; end early. Its value of 412 bytes"),
            "{html}"
        );
        assert!(html.contains("/letters/3-17/undo\""), "{html}");
        assert!(!html.contains("Replay…"), "{html}");
    }
}
