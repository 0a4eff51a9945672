//! `/dead-letters/{group}/audit`: who did what, when and why.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use eventing::dead_letters::AuditEntry;

use super::jobs::Further;
use super::room::{Instead, Room};
use crate::http::operations::{Frame, show as page};

/// Entries on one page.
const ROWS: u32 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    path: String,
    entries: Vec<AuditEntry>,
    next: Option<String>,
}

pub(super) async fn show(room: Room, Query(further): Query<Further>) -> Result<Response, Instead> {
    let found = room.desk.audit(further.after.as_deref(), ROWS).await;
    let found = found.map_err(|error| room.instead(&error))?;
    let shown = AuditPage {
        frame: room.frame("audit"),
        path: room.path(""),
        entries: found.rows,
        next: found.next,
    };
    Ok(page(StatusCode::OK, &shown))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{PATH, audit, frame};
    use super::*;

    #[test]
    fn the_log_says_who_did_what_to_what_and_why() {
        let page = AuditPage {
            frame: frame("audit"),
            path: PATH.to_owned(),
            entries: audit(),
            next: None,
        };
        insta::assert_snapshot!(page.render().unwrap());
    }
}
