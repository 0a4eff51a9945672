//! Opaque list cursors: where the next page of a list begins, in a form that clients only hand back.
//!
//! A cursor is not a secret and not signed: it names a position among rows that the query restricts to the caller anyway.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A position in a list, for instance `Cursor<(jiff::Timestamp, Uuid)>`. Query structs hold an `Option<Cursor<_>>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor<T>(pub T);

/// The text is no cursor of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a cursor as an earlier page of this list gave it")]
pub struct CursorError;

impl<T: Serialize> fmt::Display for Cursor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl<T: DeserializeOwned> FromStr for Cursor<T> {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        serde_json::from_slice(&json).map(Cursor).map_err(|_| CursorError)
    }
}

impl<T: Serialize> Serialize for Cursor<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Cursor<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// How many rows a page may have: 1 to 100, 20 when the client does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct Limit(u16);

impl Limit {
    /// The most rows a page has.
    pub const MAX: u16 = 100;

    /// How many rows to read from the database: one more than the page has, which tells whether a next page exists.
    pub fn rows_to_read(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

impl TryFrom<u16> for Limit {
    type Error = String;

    fn try_from(limit: u16) -> Result<Self, String> {
        if (1..=Self::MAX).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(format!("expected 1 to {}, got {limit}", Self::MAX))
        }
    }
}

/// One page of a list as every service answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub data: Vec<T>,
    /// Hand this back as `cursor` to get the next page; null on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of the rows read with [`Limit::rows_to_read`]; `position` names a row's place in the list.
    pub fn new<P: Serialize>(mut rows: Vec<T>, limit: Limit, position: impl Fn(&T) -> P) -> Self {
        let has_next = rows.len() > usize::from(limit.0);
        rows.truncate(usize::from(limit.0));
        let next_cursor = rows
            .last()
            .filter(|_| has_next)
            .map(|row| Cursor(position(row)).to_string());
        Self {
            data: rows,
            next_cursor,
        }
    }

    /// The same page with every row turned into something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page {
            data: self.data.into_iter().map(change).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Position = (jiff::Timestamp, uuid::Uuid);

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let position: Position = (
            "2026-01-02T03:04:05.123456Z".parse().unwrap(),
            uuid::Uuid::now_v7(),
        );
        let text = Cursor(position).to_string();
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
            "{text}"
        );
        assert_eq!(text.parse(), Ok(Cursor(position)));
    }

    #[test]
    fn what_is_no_cursor_of_this_list_is_refused() {
        let of_another_list = Cursor("payment").to_string();
        for text in ["", "%%%", "AAAA", &of_another_list] {
            assert_eq!(text.parse::<Cursor<Position>>(), Err(CursorError), "{text:?}");
        }
    }

    #[test]
    fn pages_end_where_the_rows_end() {
        let limit = Limit::try_from(2).unwrap();
        assert_eq!(limit.rows_to_read(), 3);
        let page = Page::new(vec![10, 20, 30], limit, |row| *row);
        assert_eq!(page.data, [10, 20]);
        assert_eq!(page.next_cursor.unwrap().parse(), Ok(Cursor(20)));
        let last = Page::new(vec![30, 40], limit, |row| *row);
        assert_eq!((last.data, last.next_cursor), (vec![30, 40], None));
    }

    #[test]
    fn a_page_has_one_to_a_hundred_rows() {
        for limit in [0, 101] {
            assert!(serde_json::from_value::<Limit>(limit.into()).is_err(), "{limit}");
        }
        assert!(serde_json::from_value::<Limit>(100.into()).is_ok());
    }
}
