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
