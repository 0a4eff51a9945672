use std::collections::HashSet;

use super::Error;
use super::id::LetterId;
use super::jobs::{self, DISCARDED};
use super::letter::Letter;
use super::topic;
use crate::consumer::{ConsumerGroup, Resources};

/// The most letters that one job takes; a further one takes the next.
const MAX_LETTERS: usize = 200_000;

/// Which letters an operator means.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// These, whether they were replayed before or not.
    Ids(Vec<LetterId>),
    /// All to which nothing was done yet and that match.
    New {
        /// Whose failure looks like this.
        fingerprint: Option<String>,
        /// Of this aggregate.
        key: Option<String>,
    },
}

impl Selection {
    /// The letters that are on the topic now.
    pub(crate) async fn choose(
        &self,
        group: &ConsumerGroup,
        resources: &Resources,
    ) -> Result<Vec<LetterId>, Error> {
        let done = jobs::last_done(&resources.pool, &group.name).await?;
        let mut chosen = Vec::new();
        let mut records = topic::records(&resources.kafka, &group.dead_letter_topic());
        while let Some(record) = records.recv().await.transpose()? {
            let letter = Letter::new(record);
            let takes = match self {
                Self::Ids(ids) => ids.contains(&letter.id),
                Self::New { .. } => {
                    letter.envelope.is_some() && !done.contains_key(&letter.id) && self.matches(&letter)
                }
            };
            if takes {
                chosen.push(letter.id);
            }
            if chosen.len() >= MAX_LETTERS {
                break;
            }
        }
        if let Self::Ids(ids) = self {
            let found: HashSet<&LetterId> = chosen.iter().collect();
            if let Some(missing) = ids.iter().find(|id| !found.contains(id)) {
                return Err(Error::Refused(format!(
                    "group {} has no dead letter {missing}",
                    group.name
                )));
            }
            if let Some(id) = ids
                .iter()
                .find(|id| done.get(id).is_some_and(|done| done.state == DISCARDED))
            {
                return Err(Error::Refused(format!("letter {id} was discarded")));
            }
        }
        Ok(chosen)
    }

    pub(crate) fn matches(&self, letter: &Letter) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&letter.id),
            Self::New { fingerprint, key } => {
                fingerprint
                    .as_deref()
                    .is_none_or(|fingerprint| letter.fingerprint() == fingerprint)
                    && key
                        .as_deref()
                        .is_none_or(|key| letter.record.key.as_deref() == Some(key.as_bytes()))
            }
        }
    }

    /// In words, for the audit.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Ids(ids) => ids.iter().map(LetterId::to_string).collect::<Vec<_>>().join(" "),
            Self::New {
                fingerprint: None,
                key: None,
            } => "all new".to_owned(),
            Self::New { fingerprint, key } => {
                let part = |name: &str, value: &Option<String>| {
                    value.as_ref().map(|value| format!("{name} {value}"))
                };
                let parts = [part("fingerprint", fingerprint), part("key", key)];
                parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
            }
        }
    }
}
