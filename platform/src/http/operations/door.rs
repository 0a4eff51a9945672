//! Who is let in to the pages, and whose forms are believed.
//!
//! Every page passes [`enter`]: the request is addressed to us, and whatever is not a mere look was sent by a form that this
//! listener gave to this browser. A handler cannot forget it. [`let_in`] asks for a member of staff as soon as the listener
//! is bound beyond loopback, and then for the role of an operator to do anything.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use eventing::Clock;
use jiff::Timestamp;

use super::hosts::Hosts;
use super::keys::Keys;
use super::page::{self, Frame};
use super::{cookies, sign_in};
use crate::auth::{AuthError, Principal, StaffMember, TokenVerifier};

/// A form of ours is smaller than this.
const MAX_FORM_BYTES: usize = 64 * 1024;
/// The role that staff need for whatever changes something.
const OPERATOR: &str = "operator";
/// The name of the field that each form carries.
const FORM_TOKEN: &str = "form_token";
/// How long a browser remembers what its operator is called.
const NAME_REMEMBERED_SECONDS: u32 = 90 * 24 * 3600;

/// What lets in.
pub(super) struct Door {
    pub(super) service: &'static str,
    pub(super) hosts: Hosts,
    /// Whether the listener is on loopback: then whoever reaches it is let in, and says who they are.
    pub(super) is_open: bool,
    pub(super) tokens: TokenVerifier,
    pub(super) keys: Keys,
    pub(super) clock: Clock,
}

/// Who looks at a page, and what its forms must carry.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) service: &'static str,
    /// Who it is, where somebody trustworthy said so.
    pub(crate) person: Option<StaffMember>,
    /// What the operator said to be called last time, where nobody else knows it.
    pub(crate) called: String,
    pub(crate) form_token: String,
    pub(crate) now: Timestamp,
    browser: String,
    secure: bool,
}

/// Why somebody is turned away.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request is addressed to a host that is not known here")]
    Host,
    #[error("the form was not sent by a page of this listener")]
    Origin,
    #[error("the form was not given to this browser and person, or is of before the service token changed")]
    FormToken,
    #[error("the form could not be read")]
    Form(StatusCode),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("the system has no random numbers")]
    Random,
}

/// The outer door, for every page.
pub(super) async fn enter(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let (request, visit) = match door.check(request).await {
        Ok(checked) => checked,
        Err(refusal) => return refusal.page(&door.bare()),
    };
    let is_new = cookies::find(request.headers(), &door.browser_cookie()).is_none();
    let mut answer = next.run(request).await;
    if is_new {
        let name = door.browser_cookie();
        cookies::set(&mut answer, &name, &visit.browser, None, visit.secure);
    }
    answer
}

/// The inner door, for every page but the one to sign in.
pub(super) async fn let_in(
    State(door): State<Arc<Door>>,
    visit: Visit,
    request: Request,
    next: Next,
) -> Response {
    match &visit.person {
        None if door.is_open => next.run(request).await,
        None => sign_in::ask(&visit, request.uri(), StatusCode::UNAUTHORIZED, None),
        Some(person) if !request.method().is_safe() && !person.has_role(OPERATOR) => {
            Refusal::from(AuthError::MissingRole(OPERATOR)).page(&door.bare())
        }
        Some(_) => next.run(request).await,
    }
}

impl Door {
    async fn check(&self, request: Request) -> Result<(Request, Visit), Refusal> {
        if !self.hosts.admit(request.headers()) {
            return Err(Refusal::Host);
        }
        let visit = self.visit(request.headers()).await?;
        let mut request = if request.method().is_safe() {
            request
        } else {
            self.check_form(request, &visit).await?
        };
        request.extensions_mut().insert(visit.clone());
        Ok((request, visit))
    }

    async fn visit(&self, headers: &HeaderMap) -> Result<Visit, Refusal> {
        let person = self.person(headers).await?;
        let browser = match cookies::find(headers, &self.browser_cookie()) {
            Some(browser) => browser.to_owned(),
            None => random_name()?,
        };
        let subject = person.as_ref().map_or("", |person| &person.subject);
        let called = cookies::find(headers, &self.name_cookie()).unwrap_or_default();
        let called = url::form_urlencoded::parse(called.as_bytes())
            .next()
            .map_or_else(String::new, |(name, _)| name.into_owned());
        Ok(Visit {
            service: self.service,
            form_token: self.keys.form_token(&browser, subject),
            now: self.clock.now(),
            secure: cookies::is_secure(headers),
            person,
            called,
            browser,
        })
    }

    /// A member of staff, by header or by session; a session that has ended is none.
    async fn person(&self, headers: &HeaderMap) -> Result<Option<StaffMember>, AuthError> {
        let principal = if headers.contains_key(header::AUTHORIZATION) {
            self.tokens.authenticate(headers).await?
        } else {
            let session = cookies::find(headers, &self.session_cookie());
            let Some(token) = session.and_then(|cookie| self.keys.open_session(cookie)) else {
                return Ok(None);
            };
            match self.tokens.verify(&token).await {
                Err(AuthError::Invalid(_)) => return Ok(None),
                verified => verified?,
            }
        };
        match principal {
            Principal::Staff(member) => Ok(Some(member)),
            Principal::Merchant(_) => Err(AuthError::WrongPrincipal),
        }
    }

    /// Reads the form to see whether it is one of ours, and hands it on unread.
    async fn check_form(&self, request: Request, visit: &Visit) -> Result<Request, Refusal> {
        if !self.hosts.admit_origin(request.headers()) {
            return Err(Refusal::Origin);
        }
        let (parts, body) = request.into_parts();
        if !is_form(&parts.headers) {
            return Err(Refusal::Form(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let body = to_bytes(body, MAX_FORM_BYTES)
            .await
            .map_err(|_| Refusal::Form(StatusCode::PAYLOAD_TOO_LARGE))?;
        let subject = visit.person.as_ref().map_or("", |person| &person.subject);
        let was_given = url::form_urlencoded::parse(&body)
            .find(|(name, _)| name == FORM_TOKEN)
            .is_some_and(|(_, sent)| self.keys.is_form_token(&visit.browser, subject, &sent));
        if was_given {
            Ok(Request::from_parts(parts, Body::from(body)))
        } else {
            Err(Refusal::FormToken)
        }
    }

    pub(super) fn bare(&self) -> Frame {
        Frame::bare(self.service, self.clock.now())
    }

    fn browser_cookie(&self) -> String {
        format!("{}_browser", self.service)
    }

    fn name_cookie(&self) -> String {
        format!("{}_operator", self.service)
    }

    pub(super) fn session_cookie(&self) -> String {
        format!("{}_session", self.service)
    }
}

impl Visit {
    /// Has the browser remember what its operator is called.
    pub(crate) fn remember(&self, answer: &mut Response, called: &str) {
        let name = format!("{}_operator", self.service);
        let value: String = url::form_urlencoded::byte_serialize(called.as_bytes()).collect();
        cookies::set(answer, &name, &value, Some(NAME_REMEMBERED_SECONDS), self.secure);
    }

    /// Under which name what the visitor does is written down: the token's, or where nobody is asked for one, the one given.
    pub(crate) fn operator<'a>(&'a self, given: &'a str) -> &'a str {
        self.person.as_ref().map_or(given, |person| &person.subject)
    }

    pub(super) fn secure(&self) -> bool {
        self.secure
    }
}

/// Any page behind the door knows its visitor.
impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let visit = parts.extensions.get::<Self>();
        visit.cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl Refusal {
    fn page(&self, frame: &Frame) -> Response {
        let (status, advice) = match self {
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "Use an address of this machine, or add the name to operations.hosts.",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "Nothing was done. Open the page here, and send its form.",
            ),
            Self::FormToken => (
                StatusCode::FORBIDDEN,
                "Nothing was done. Go back, load the page again, and send its form.",
            ),
            Self::Form(status) => (*status, "Nothing was done."),
            Self::Auth(AuthError::WrongPrincipal) => (StatusCode::FORBIDDEN, "This is for members of staff."),
            Self::Auth(AuthError::MissingRole(_)) => (
                StatusCode::FORBIDDEN,
                "Nothing was done. Ask somebody who has the role.",
            ),
            Self::Auth(AuthError::KeysUnavailable) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Try again soon; on the machine itself the command line works without a token.",
            ),
            Self::Auth(_) => (
                StatusCode::UNAUTHORIZED,
                "Send a valid token of a member of staff.",
            ),
            Self::Random => (StatusCode::INTERNAL_SERVER_ERROR, "Nothing was done."),
        };
        let mut answer = page::message(frame, status, &self.to_string(), advice);
        if status == StatusCode::UNAUTHORIZED {
            sign_in::challenge(&mut answer);
        }
        answer.into_response()
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type
        .and_then(|text| text.split(';').next())
        .is_some_and(|essence| {
            essence
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

fn random_name() -> Result<String, Refusal> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Refusal::Random)?;
    Ok(hex::encode(bytes))
}
