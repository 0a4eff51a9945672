use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use super::id::LetterId;
use super::views::State;

/// The most letters that are named one by one.
const MAX_IDS: usize = 1_000;

/// Which letters a list shows; what is left out does not narrow it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Whose failure looks like this.
    pub fingerprint: Option<String>,
    /// Whose failure is of this class.
    pub error_class: Option<String>,
    /// Whose record has this key.
    pub key: Option<String>,
    /// Whose event is of this type.
    pub event_type: Option<String>,
    /// To which this was done. Means nothing in a selection, which takes new letters only.
    pub state: Option<State>,
    /// That became letters at this time or later.
    pub since: Option<Timestamp>,
    /// That became letters before this time.
    pub until: Option<Timestamp>,
}

/// Which letters an operator means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// These, to which nothing was done yet.
    Ids(Vec<LetterId>),
    /// These, also those that were replayed before.
    Again(Vec<LetterId>),
    /// All that match, and to which nothing was done yet.
    Matching(Filter),
}

impl Selection {
    /// Every letter to which nothing was done yet.
    pub fn all() -> Self {
        Self::Matching(Filter::default())
    }

    /// Its ids without repetition, and its filter.
    pub(crate) fn parts(&self) -> Result<(Option<Vec<LetterId>>, Filter), Error> {
        match self {
            Self::Ids(ids) | Self::Again(ids) => {
                if ids.is_empty() || ids.len() > MAX_IDS {
                    return Err(Error::Refused(format!(
                        "name between 1 and {MAX_IDS} letters, or select them otherwise"
                    )));
                }
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids.dedup();
                Ok((Some(ids), Filter::default()))
            }
            Self::Matching(filter) => Ok((None, filter.clone())),
        }
    }

    /// In words, for the audit.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Ids(ids) => list(ids),
            Self::Again(ids) => format!("{} again", list(ids)),
            Self::Matching(filter) => filter.words(),
        }
    }
}

impl Filter {
    fn words(&self) -> String {
        let part = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let parts = [
            part("fingerprint", self.fingerprint.clone()),
            part("class", self.error_class.clone()),
            part("key", self.key.clone()),
            part("event type", self.event_type.clone()),
            part("since", self.since.map(|at| at.to_string())),
            part("until", self.until.map(|at| at.to_string())),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            return "all new".to_owned();
        }
        parts.join(", ")
    }
}

/// How many ids are written out.
const MAX_LISTED: usize = 20;

fn list(ids: &[LetterId]) -> String {
    let mut words: Vec<String> = ids.iter().take(MAX_LISTED).map(LetterId::to_string).collect();
    if let Some(more) = ids.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_says_in_words_what_it_takes() {
        assert_eq!(Selection::all().words(), "all new");
        let filter = Filter {
            fingerprint: Some("abc".into()),
            key: Some("pay_1".into()),
            ..Filter::default()
        };
        assert_eq!(Selection::Matching(filter).words(), "fingerprint abc, key pay_1");
        let ids: Vec<LetterId> = (0..22).map(|offset| LetterId { partition: 0, offset }).collect();
        assert!(
            Selection::Again(ids.clone())
                .words()
                .ends_with("0-19 and 2 more again")
        );
        assert!(Selection::Ids(Vec::new()).parts().is_err());
        let (twice, _) = Selection::Ids(vec![ids[0], ids[0]]).parts().unwrap();
        assert_eq!(twice.unwrap().len(), 1);
    }
}
