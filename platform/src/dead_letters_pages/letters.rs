//! `/dead-letters/{group}/letters`: the letters, newest first.

use askama::Template;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::Response;
use eventing::dead_letters::{Filter, State, Summary};
use url::form_urlencoded;

use super::room::{Instead, Room};
use super::sought::{STATES, Sought};
use crate::http::operations::{Frame, show as page};

/// Letters on one page: some screens, and quick on a bad connection.
const ROWS: u32 = 100;

#[derive(Template)]
#[template(path = "letters.html")]
struct LettersPage {
    frame: Frame,
    path: String,
    sought: Sought,
    query: String,
    states: [State; 5],
    wrong: Option<String>,
    letters: Vec<Summary>,
    /// The address of the next page.
    next: Option<String>,
    /// Whether this is not the first page.
    is_further: bool,
}

pub(super) async fn show(room: Room, RawQuery(query): RawQuery) -> Result<Response, Instead> {
    let query = query.unwrap_or_default();
    let sought = Sought::read(query.as_bytes());
    let after = form_urlencoded::parse(query.as_bytes())
        .find_map(|(name, value)| (name == "after").then(|| value.into_owned()));
    let (filter, wrong) = match sought.filter() {
        Ok(filter) => (filter, None),
        Err(wrong) => (Filter::default(), Some(wrong)),
    };
    let found = room.desk.letters(&filter, after.as_deref(), ROWS).await;
    let found = found.map_err(|error| room.instead(&error))?;
    let next = found.next.map(|next| {
        let mut address = form_urlencoded::Serializer::new(sought.query());
        address.append_pair("after", &next);
        format!("{}?{}", room.path("/letters"), address.finish())
    });
    let status = if wrong.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let shown = LettersPage {
        frame: room.frame("letters"),
        path: room.path(""),
        query: sought.query(),
        sought,
        states: STATES,
        wrong,
        letters: found.rows,
        next,
        is_further: after.is_some(),
    };
    Ok(page(status, &shown))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{PATH, frame, summary};
    use super::*;

    #[test]
    fn letters_are_listed_with_what_narrows_them() {
        let sought = Sought::read(b"fingerprint=4f1c9e0b&state=new");
        let page = LettersPage {
            frame: frame("letters"),
            path: PATH.to_owned(),
            query: sought.query(),
            sought,
            states: STATES,
            wrong: None,
            letters: vec![summary(State::New)],
            next: Some(format!("{PATH}/letters?fingerprint=4f1c9e0b&state=new&after=17")),
            is_further: false,
        };
        insta::assert_snapshot!(page.render().unwrap());
    }
}
