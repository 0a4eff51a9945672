//! Which letters a page is about, as its address or form says it, and said again for links.

use std::str::FromStr as _;

use eventing::dead_letters::{Filter, LetterId, Selection, State};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use url::form_urlencoded;

/// The fields as they were typed. One that is empty does not narrow anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) fingerprint: String,
    pub(super) error_class: String,
    pub(super) key: String,
    pub(super) event_type: String,
    pub(super) state: String,
    pub(super) since: String,
    pub(super) until: String,
    pub(super) ids: Vec<String>,
    /// Also those that were replayed before; means something together with ids.
    pub(super) again: bool,
}

impl Sought {
    /// Reads a query or a form; other fields are somebody else's.
    pub(super) fn read(encoded: &[u8]) -> Self {
        let mut sought = Self::default();
        for (name, value) in form_urlencoded::parse(encoded) {
            let value = value.trim();
            match &*name {
                // Several boxes, or several words in one field.
                "ids" => {
                    let words = value.split(|letter: char| letter == ',' || letter.is_whitespace());
                    let ids = words.filter(|word| !word.is_empty()).map(str::to_owned);
                    sought.ids.extend(ids);
                }
                "again" => sought.again = !value.is_empty(),
                name => {
                    if let Some(field) = sought.field(name) {
                        value.clone_into(field);
                    }
                }
            }
        }
        sought
    }

    fn field(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "fingerprint" => Some(&mut self.fingerprint),
            "error_class" => Some(&mut self.error_class),
            "key" => Some(&mut self.key),
            "event_type" => Some(&mut self.event_type),
            "state" => Some(&mut self.state),
            "since" => Some(&mut self.since),
            "until" => Some(&mut self.until),
            _ => None,
        }
    }

    /// Whether any field narrows the list.
    pub(super) fn is_narrowed(&self) -> bool {
        *self != Self::default()
    }

    /// The same for an address.
    pub(super) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("fingerprint", &self.fingerprint),
            ("error_class", &self.error_class),
            ("key", &self.key),
            ("event_type", &self.event_type),
            ("state", &self.state),
            ("since", &self.since),
            ("until", &self.until),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        for id in &self.ids {
            query.append_pair("ids", id);
        }
        if self.again {
            query.append_pair("again", "yes");
        }
        query.finish()
    }

    /// For a list; otherwise what is wrong, for the operator.
    pub(super) fn filter(&self) -> Result<Filter, String> {
        Ok(Filter {
            fingerprint: given(&self.fingerprint),
            error_class: given(&self.error_class),
            key: given(&self.key),
            event_type: given(&self.event_type),
            state: given(&self.state).map(|state| word(&state)).transpose()?,
            since: given(&self.since).map(|at| moment("since", &at)).transpose()?,
            until: given(&self.until).map(|at| moment("until", &at)).transpose()?,
        })
    }

    /// For a plan; otherwise what is wrong, for the operator. Letters that are named are not narrowed any further.
    pub(super) fn selection(&self) -> Result<Selection, String> {
        if self.ids.is_empty() {
            let mut filter = self.filter()?;
            filter.state = None;
            return Ok(Selection::Matching(filter));
        }
        let ids: Result<Vec<LetterId>, _> = self.ids.iter().map(|id| LetterId::from_str(id)).collect();
        let ids = ids.map_err(|error| error.to_string())?;
        Ok(if self.again {
            Selection::Again(ids)
        } else {
            Selection::Ids(ids)
        })
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn word(state: &str) -> Result<State, String> {
    STATES
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| format!("{state:?} is no state of a letter"))
}

/// What a list can be narrowed to.
pub(super) const STATES: [State; 5] = [
    State::New,
    State::Taken,
    State::Replayed,
    State::Discarded,
    State::Copy,
];

/// A browser's field for dates knows no zone: that is UTC, as everything on the pages is.
fn moment(field: &str, text: &str) -> Result<Timestamp, String> {
    let exact = Timestamp::from_str(text).ok();
    let civil = || DateTime::from_str(text).ok()?.to_zoned(TimeZone::UTC).ok();
    exact
        .or_else(|| civil().map(|zoned| zoned.timestamp()))
        .ok_or_else(|| format!("{field}: expected a time in UTC such as 2026-11-22T20:17, got {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_said_again() {
        let query = "fingerprint=a1+b&key=pay_1&state=new&since=2026-11-22T20%3A17&ids=0-1&ids=0-2%2C+3-4&again=yes&x=y";
        let sought = Sought::read(query.as_bytes());
        assert_eq!(sought.fingerprint, "a1 b");
        assert_eq!(sought.ids, ["0-1", "0-2", "3-4"]);
        assert_eq!(Sought::read(sought.query().as_bytes()), sought);
        assert!(sought.is_narrowed() && !Sought::read(b"fingerprint=&x=y").is_narrowed());
    }

    #[test]
    fn times_are_in_utc_and_what_is_wrong_is_named() {
        let filter = |query: &str| Sought::read(query.as_bytes()).filter();
        let since = filter("since=2026-11-22T20:17").unwrap().since.unwrap();
        assert_eq!(since.to_string(), "2026-11-22T20:17:00Z");
        let exact = filter("until=2026-11-22T21:17:05%2B01:00")
            .unwrap()
            .until
            .unwrap();
        assert_eq!(exact.to_string(), "2026-11-22T20:17:05Z");
        assert!(filter("since=yesterday").unwrap_err().contains("since"));
        assert!(filter("state=gone").is_err());
    }

    #[test]
    fn letters_that_are_named_make_a_selection_of_their_own() {
        let selection = |query: &str| Sought::read(query.as_bytes()).selection();
        let id = LetterId {
            partition: 0,
            offset: 7,
        };
        assert_eq!(selection("ids=0-7&fingerprint=x"), Ok(Selection::Ids(vec![id])));
        assert_eq!(selection("ids=0-7&again=yes"), Ok(Selection::Again(vec![id])));
        assert_eq!(selection("state=replayed"), Ok(Selection::all()));
        assert!(selection("ids=seven").unwrap_err().contains("seven"));
    }
}
