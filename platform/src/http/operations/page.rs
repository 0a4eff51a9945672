//! Pages for operators: HTML from the server, no script, nothing loaded from anywhere.

use std::fmt;
use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use eventing::consumer::{ConsumerGroup, Ordering};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::door::{Door, Visit};

/// The one style of all pages; it is inside of them, so that a page is one answer.
const STYLE: &str = include_str!("../../../templates/style.css");

/// Our own style, by its hash, and forms to ourselves. Scripts, images, frames, connections: none.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What surrounds every page.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) service: &'static str,
    /// Who is signed in.
    pub(crate) person: Option<String>,
    /// What each form of the page must carry.
    pub(crate) form_token: String,
    pub(crate) style: &'static str,
    /// Seconds after which the page is loaded again, while something on it is under way.
    pub(crate) refresh_seconds: Option<u32>,
    /// The consumer group whose pages these are.
    pub(crate) group: Option<String>,
    /// Whether that group keeps the order of a key's events.
    pub(crate) is_ordered: bool,
    /// The word in the navigation under which the page is found.
    pub(crate) place: &'static str,
    now: Timestamp,
}

impl Frame {
    pub(crate) fn of(visit: &Visit) -> Self {
        Self {
            person: visit.person.as_ref().map(|person| person.name.clone()),
            form_token: visit.form_token.clone(),
            ..Self::bare(visit.service, visit.now)
        }
    }

    /// For somebody who is turned away: nothing that a form could use.
    pub(crate) fn bare(service: &'static str, now: Timestamp) -> Self {
        Self {
            service,
            person: None,
            form_token: String::new(),
            style: STYLE,
            refresh_seconds: None,
            group: None,
            is_ordered: false,
            place: "",
            now,
        }
    }

    /// On the pages of a consumer group.
    #[must_use]
    pub(crate) fn at(mut self, group: &ConsumerGroup, place: &'static str) -> Self {
        self.group = Some(group.name.clone());
        self.is_ordered = group.ordering == Ordering::PerKey;
        self.place = place;
        self
    }

    /// When, and how long ago that is.
    pub(crate) fn when(&self, at: &Timestamp) -> Moment {
        Moment {
            at: *at,
            now: self.now,
        }
    }

    /// A number for people.
    #[expect(
        clippy::unused_self,
        clippy::trivially_copy_pass_by_ref,
        reason = "that is how templates call it"
    )]
    pub(crate) fn count(&self, number: &u64) -> Count {
        Count(*number)
    }

    /// The pages of a consumer group: the place's word, its name and its path. Only an ordered group misses events.
    pub(crate) fn places(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let mut places = vec![
            ("failures", "Failures", ""),
            ("letters", "Letters", "/letters"),
            ("jobs", "Jobs", "/jobs"),
            ("gaps", "Gaps", "/gaps"),
            ("audit", "Audit log", "/audit"),
        ];
        places.retain(|(place, ..)| self.is_ordered || *place != "gaps");
        places
    }

    /// Whether the navigation marks this word.
    pub(crate) fn is_at(&self, place: &str) -> bool {
        self.place == place
    }
}

/// A page as it is sent.
pub(crate) fn show(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    frame: &'a Frame,
    title: &'a str,
    advice: &'a str,
}

/// A page that only says something.
pub(crate) fn message(frame: &Frame, status: StatusCode, title: &str, advice: &str) -> Response {
    let title = capitalised(title);
    let page = Message {
        frame,
        title: &title,
        advice,
    };
    show(status, &page)
}

/// Around all pages: what a browser may do with them, and refusals of the router and of extractors as pages.
pub(super) async fn dress(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let status = answer.status();
    let is_refused = status.is_client_error() || status.is_server_error();
    let mut answer = if is_refused && !is_written(&answer) {
        let title = status.canonical_reason().unwrap_or("Refused");
        let mut page = message(&door.bare(), status, title, "Nothing was done.");
        if let Some(allow) = answer.headers().get(header::ALLOW) {
            page.headers_mut().insert(header::ALLOW, allow.clone());
        }
        page
    } else {
        answer
    };
    let fixed = [
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: under that, a form is posted with `Origin: null`.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn is_written(answer: &Response) -> bool {
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|content_type| !content_type.as_bytes().starts_with(b"text/plain"))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A number, with its thousands apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

impl askama::filters::HtmlSafe for Count {}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str("\u{202f}")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A moment, as the tables show it: to the second in UTC, and how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    pub(crate) now: Timestamp,
}

/// Digits, letters and punctuation of its own making only.
impl askama::filters::HtmlSafe for Moment {}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (exact, shown) = (self.at.strftime("%FT%TZ"), self.at.strftime("%F %T"));
        let ago = ago(self.now.duration_since(self.at).as_secs());
        write!(
            f,
            "<time datetime=\"{exact}\">{shown}</time> <small>{ago}</small>"
        )
    }
}

/// How long ago, in the one unit that matters.
fn ago(seconds: i64) -> String {
    match seconds {
        ..=-1 => "ahead".to_owned(),
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let shown = [0, 999, 1_000, 1_234_567].map(|number| Count(number).to_string());
        assert_eq!(shown, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }

    #[test]
    fn a_moment_is_exact_and_how_long_ago() {
        let at: Timestamp = "2026-11-22T20:17:23.123Z".parse().unwrap();
        let shown = |seconds| {
            let now = at + jiff::SignedDuration::from_secs(seconds);
            Moment { at, now }.to_string()
        };
        assert_eq!(
            shown(90),
            "<time datetime=\"2026-11-22T20:17:23Z\">2026-11-22 20:17:23</time> <small>1 min ago</small>"
        );
        assert!(shown(-5).contains("ahead"));
        assert!(shown(59).contains("59 s ago"));
        assert!(shown(47 * 3600).contains("47 h ago"));
        assert!(shown(48 * 3600).contains("2 d ago"));
    }
}
