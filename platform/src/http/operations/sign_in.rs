//! `/sign-in` and `/sign-out`: where the pages ask who somebody is, a browser hands in a staff token once.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::cookies;
use super::door::{Door, Visit};
use super::page::{self, Frame};
use crate::auth::Principal;

/// Browsers refuse larger cookies.
const MAX_SESSION_BYTES: usize = 4_000;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    frame: Frame,
    /// Where to go on to.
    to: &'a str,
    refused: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct Handed {
    #[serde(default)]
    token: String,
    #[serde(default)]
    to: String,
}

/// Shows the form instead of the page that was asked for.
pub(super) fn ask(visit: &Visit, wanted: &Uri, status: StatusCode, refused: Option<&str>) -> Response {
    let to = wanted.path_and_query().map_or("/", |wanted| wanted.as_str());
    form(visit, own_path(to), status, refused)
}

fn form(visit: &Visit, to: &str, status: StatusCode, refused: Option<&str>) -> Response {
    let frame = Frame::of(visit);
    let mut answer = page::show(status, &SignIn { frame, to, refused });
    if status == StatusCode::UNAUTHORIZED {
        challenge(&mut answer);
    }
    answer
}

/// Tells programs what is wanted.
pub(super) fn challenge(answer: &mut Response) {
    let bearer = HeaderValue::from_static("Bearer");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
}

/// `GET /sign-in`
pub(super) async fn show(visit: Visit) -> Response {
    form(&visit, "/", StatusCode::OK, None)
}

/// `POST /sign-in`
pub(super) async fn open(
    State(door): State<Arc<Door>>,
    visit: Visit,
    Form(handed): Form<Handed>,
) -> Response {
    let to = own_path(&handed.to);
    let again = |status, refused: &str| form(&visit, to, status, Some(refused));
    let token = handed.token.trim();
    match door.tokens.verify(token).await {
        Ok(Principal::Staff(_)) => {}
        Ok(Principal::Merchant(_)) => {
            return again(StatusCode::FORBIDDEN, "it is a merchant's, and this is for staff");
        }
        Err(refusal) => return again(StatusCode::UNAUTHORIZED, &refusal.to_string()),
    }
    let Ok(session) = door.keys.seal_session(token) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if session.len() > MAX_SESSION_BYTES {
        return again(
            StatusCode::UNPROCESSABLE_ENTITY,
            "it is too large for a browser to keep; a shorter list of roles would help",
        );
    }
    let mut answer = Redirect::to(to).into_response();
    cookies::set(
        &mut answer,
        &door.session_cookie(),
        &session,
        None,
        visit.secure(),
    );
    answer
}

/// `POST /sign-out`
pub(super) async fn close(State(door): State<Arc<Door>>, visit: Visit) -> Response {
    let mut answer = Redirect::to("/").into_response();
    cookies::set(&mut answer, &door.session_cookie(), "", Some(0), visit.secure());
    answer
}

/// A path of this listener; whatever else was asked for is the start page. A browser takes `//` and `/\` for another host.
fn own_path(to: &str) -> &str {
    let is_own = to.starts_with('/')
        && !to.starts_with("//")
        && to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { to } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_signs_in_stays_here() {
        assert_eq!(
            own_path("/dead-letters/settlement?state=open"),
            "/dead-letters/settlement?state=open"
        );
        for elsewhere in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
        ] {
            assert_eq!(own_path(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
