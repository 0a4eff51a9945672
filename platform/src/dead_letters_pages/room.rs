//! What every page about a group's letters begins with: the group's desk, the visitor, and what to say when something is not
//! possible.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use eventing::dead_letters::{Decision, Desk, Error};
use serde::Deserialize;

use crate::http::operations::{Frame, Visit, message};
use crate::problem::Chain;

/// The pages of one group, for one visitor.
pub(super) struct Room {
    pub(super) desk: Desk,
    visit: Visit,
    names: HashMap<String, String>,
}

/// Who and why, as a form says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    pub(super) operator: String,
    pub(super) reason: String,
}

/// An answer instead of the page that was asked for.
pub(super) struct Instead(Box<Response>);

impl Room {
    pub(super) fn group(&self) -> &str {
        &self.desk.group().name
    }

    pub(super) fn path(&self, rest: &str) -> String {
        format!("/dead-letters/{}{rest}", self.group())
    }

    /// What surrounds a page that is found in the navigation under this word.
    pub(super) fn frame(&self, place: &'static str) -> Frame {
        Frame::of(&self.visit).at(self.desk.group(), place)
    }

    /// A name in the page's path; one that cannot be a name of the thing names nothing.
    pub(super) fn named<T: FromStr>(&self, what: &str) -> Result<T, Instead> {
        let name = self.names.get(what).and_then(|name| name.parse().ok());
        name.ok_or_else(|| self.nothing("There is nothing here"))
    }

    pub(super) fn nothing(&self, title: &str) -> Instead {
        let advice = "It may belong to another group, or the address is cut off.";
        Instead::of(message(&self.frame(""), StatusCode::NOT_FOUND, title, advice))
    }

    /// What to say when the desk cannot answer.
    pub(super) fn instead(&self, failure: &Error) -> Instead {
        let say =
            |status, title: &str, advice: &str| Instead::of(message(&self.frame(""), status, title, advice));
        match failure {
            Error::NotFound(_) => self.nothing(&failure.to_string()),
            Error::Refused(_) => say(
                StatusCode::UNPROCESSABLE_ENTITY,
                &failure.to_string(),
                "Nothing was done.",
            ),
            Error::Database(_) | Error::Kafka(_) | Error::Output(_) => {
                tracing::warn!(error = %Chain(failure), "a page about dead letters cannot be shown");
                say(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The group's database or Kafka does not answer",
                    "Load the page again when it does. Letters and jobs are kept; a job that runs goes on by itself.",
                )
            }
        }
    }

    /// Who decides, and why: as the token says, or where nobody asks for one, as the operator says.
    pub(super) fn decision(&self, said: &Said) -> Result<Decision, Error> {
        Decision::new(self.visit.operator(said.operator.trim()), &said.reason)
    }

    /// An answer to a form that was accepted; the browser keeps what the operator is called.
    pub(super) fn accepted(&self, answer: impl IntoResponse, decision: &Decision) -> Response {
        let mut answer = answer.into_response();
        if self.visit.person.is_none() {
            self.visit.remember(&mut answer, decision.operator());
        }
        answer
    }
}

impl Said {
    /// An empty form: the operator is called what they were called last time.
    pub(super) fn nothing_yet(room: &Room) -> Self {
        Self {
            operator: room.visit.called.clone(),
            reason: String::new(),
        }
    }
}

impl Instead {
    pub(super) fn of(answer: impl IntoResponse) -> Self {
        Self(Box::new(answer.into_response()))
    }
}

impl IntoResponse for Instead {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl FromRequestParts<Arc<[Desk]>> for Room {
    type Rejection = Instead;

    async fn from_request_parts(parts: &mut Parts, desks: &Arc<[Desk]>) -> Result<Self, Instead> {
        let visit = Visit::from_request_parts(parts, desks)
            .await
            .map_err(Instead::of)?;
        let names = Path::<HashMap<String, String>>::from_request_parts(parts, desks).await;
        let Path(names) = names.map_err(Instead::of)?;
        let group = names.get("group").map_or("", String::as_str);
        match desks.iter().find(|desk| desk.group().name == group) {
            Some(desk) => Ok(Self {
                desk: desk.clone(),
                visit,
                names,
            }),
            None => Err(Instead::of(message(
                &Frame::of(&visit),
                StatusCode::NOT_FOUND,
                "There is no such consumer group here",
                "The start page lists those of this service.",
            ))),
        }
    }
}
