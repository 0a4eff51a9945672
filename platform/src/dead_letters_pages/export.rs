//! `/dead-letters/{group}/export`: the letters that a list shows, as a file.

use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use eventing::dead_letters::Format;
use url::form_urlencoded;

use super::room::{Instead, Room};
use super::sought::Sought;
use crate::http::operations::message;

pub(super) async fn send(room: Room, RawQuery(query): RawQuery) -> Result<Response, Instead> {
    let query = query.unwrap_or_default();
    let filter = Sought::read(query.as_bytes()).filter().map_err(|wrong| {
        let frame = room.frame("letters");
        Instead::of(message(
            &frame,
            StatusCode::UNPROCESSABLE_ENTITY,
            &wrong,
            "Nothing was written.",
        ))
    })?;
    let is_csv = form_urlencoded::parse(query.as_bytes()).any(|pair| pair == ("format".into(), "csv".into()));
    let (format, content_type, ending) = if is_csv {
        (Format::Csv, "text/csv; charset=utf-8", "csv")
    } else {
        (Format::JsonLines, "application/x-ndjson", "jsonl")
    };
    let name = format!("attachment; filename=\"{}-dead-letters.{ending}\"", room.group());
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(room.desk.export(&filter, format))).into_response())
}
