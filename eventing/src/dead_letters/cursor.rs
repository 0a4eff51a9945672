//! Where the next page of a list begins. Opaque to whoever hands it back.

use jiff::Timestamp;

use super::Error;
use super::id::LetterId;
use super::views::Page;

/// A page of what was read with one row more than asked for.
pub(crate) fn page<T>(mut rows: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(cursor);
    Page { rows, next }
}

/// A cursor that is a number, or an id.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| invalid())
}

/// The cursor behind a letter.
pub(crate) fn of_letter(died_at: Timestamp, id: LetterId) -> String {
    format!("{}_{id}", died_at.as_microsecond())
}

/// The letter that a cursor is behind.
pub(crate) fn letter(text: &str) -> Result<(Timestamp, LetterId), Error> {
    let (micros, id) = text.split_once('_').ok_or_else(invalid)?;
    let died_at = micros
        .parse()
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok());
    Ok((died_at.ok_or_else(invalid)?, id.parse().map_err(|_| invalid())?))
}

fn invalid() -> Error {
    Error::Refused("the page to go on from is none that was given out".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one_only_if_there_is_one() {
        let page_of = |rows: Vec<u32>| page(rows, 2, ToString::to_string);
        assert_eq!(page_of(vec![1, 2]).next, None);
        let first = page_of(vec![1, 2, 3]);
        assert_eq!((first.rows, first.next.as_deref()), (vec![1, 2], Some("2")));
        assert_eq!(page_of(vec![]).next, None);
    }

    #[test]
    fn a_letters_cursor_can_be_read_again_and_another_text_is_refused() {
        let (died_at, id) = (
            Timestamp::UNIX_EPOCH,
            LetterId {
                partition: 3,
                offset: 17,
            },
        );
        assert_eq!(letter(&of_letter(died_at, id)).unwrap(), (died_at, id));
        for wrong in ["", "x", "1_", "_3-17", "1_3"] {
            assert!(letter(wrong).is_err(), "{wrong:?}");
        }
    }
}
