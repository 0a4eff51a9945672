//! `/dead-letters/{group}/gaps`: keys whose events wait for one that nobody has seen, and going on without it.

use askama::Template;
use axum::extract::{Form, Query};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use eventing::consumer::Gap;
use eventing::dead_letters::Error;
use jiff::Timestamp;
use serde::Deserialize;

use super::room::{Instead, Room, Said};
use crate::http::operations::{Frame, show as page};

/// Gaps on the page; there are none, or something is very wrong.
const ROWS: u32 = 200;

/// Which gaps.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sought {
    key: String,
}

/// A gap as it was seen, and who accepts it and why.
#[derive(Debug, Deserialize)]
pub(super) struct Accepted {
    topic: String,
    key: String,
    first_missing: i64,
    last_missing: i64,
    since: Timestamp,
    #[serde(default)]
    operator: String,
    #[serde(default)]
    reason: String,
}

#[derive(Template)]
#[template(path = "gaps.html")]
struct GapsPage {
    frame: Frame,
    path: String,
    /// Of one key only, with a form for each.
    key: String,
    gaps: Vec<Gap>,
    said: Said,
    problem: Option<String>,
}

pub(super) async fn show(room: Room, Query(sought): Query<Sought>) -> Result<Response, Instead> {
    let said = Said::nothing_yet(&room);
    with(&room, sought.key, said, None).await
}

async fn with(room: &Room, key: String, said: Said, problem: Option<String>) -> Result<Response, Instead> {
    let of_key = (!key.is_empty()).then_some(&*key);
    let gaps = room
        .desk
        .gaps(of_key, ROWS)
        .await
        .map_err(|error| room.instead(&error))?;
    let status = if problem.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let shown = GapsPage {
        frame: room.frame("gaps"),
        path: room.path(""),
        key,
        gaps,
        said,
        problem,
    };
    Ok(page(status, &shown))
}

/// Lets a key go on without the events that are missing.
pub(super) async fn accept(room: Room, Form(accepted): Form<Accepted>) -> Result<Response, Instead> {
    let gap = Gap {
        topic: accepted.topic,
        key: accepted.key,
        first_missing: accepted.first_missing,
        last_missing: accepted.last_missing,
        parked: 0,
        since: accepted.since,
    };
    let said = Said {
        operator: accepted.operator,
        reason: accepted.reason,
    };
    let decision = match room.decision(&said) {
        Ok(decision) => decision,
        Err(refusal) => return with(&room, gap.key, said, Some(refusal.to_string())).await,
    };
    match room.desk.accept(&gap, &decision).await {
        Ok(()) => Ok(room.accepted(Redirect::to(&room.path("/gaps")), &decision)),
        Err(Error::Refused(refusal)) => with(&room, gap.key, said, Some(refusal)).await,
        Err(failure) => Err(room.instead(&failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{PATH, frame};
    use super::*;

    fn page_of(key: &str, gaps: Vec<Gap>) -> String {
        let page = GapsPage {
            frame: frame("gaps"),
            path: PATH.to_owned(),
            key: key.to_owned(),
            gaps,
            said: Said::default(),
            problem: None,
        };
        page.render().unwrap()
    }

    fn gap() -> Gap {
        Gap {
            topic: "payments.payment.v1".to_owned(),
            key: "pay_<1>".to_owned(),
            first_missing: 4,
            last_missing: 5,
            parked: 3,
            since: "2026-11-22T03:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_gap_is_accepted_as_it_was_seen() {
        insta::assert_snapshot!(page_of("pay_<1>", vec![gap()]));
    }

    #[test]
    fn the_list_leads_to_one_key_and_decides_nothing_by_itself() {
        let html = page_of("", vec![gap()]);
        assert!(html.contains("/gaps?key=pay_%3C1%3E\""), "{html}");
        assert!(!html.contains("method=\"post\" action=\"/dead-letters"), "{html}");
        assert!(page_of("", vec![]).contains("No event is missing"));
    }
}
