use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A letter's id: its partition and offset on the group's dead-letter topic, as in `3-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LetterId {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A text that names no letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no letter's id: expected <partition>-<offset>, as in 3-17")]
pub struct NoLetterId(String);

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition, self.offset)
    }
}

impl From<LetterId> for String {
    fn from(id: LetterId) -> Self {
        id.to_string()
    }
}

impl FromStr for LetterId {
    type Err = NoLetterId;

    fn from_str(text: &str) -> Result<Self, NoLetterId> {
        let parse = || {
            let (partition, offset) = text.split_once('-')?;
            Some(Self {
                partition: partition.parse().ok()?,
                offset: offset.parse().ok().filter(|offset| *offset >= 0)?,
            })
        };
        parse().ok_or_else(|| NoLetterId(text.to_owned()))
    }
}

impl TryFrom<String> for LetterId {
    type Error = NoLetterId;

    fn try_from(text: String) -> Result<Self, NoLetterId> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_partition_and_an_offset() {
        assert_eq!(
            "3-17".parse(),
            Ok(LetterId {
                partition: 3,
                offset: 17
            })
        );
        for wrong in ["", "3", "3-", "-17", "3-x", "3-17-1", "3--1"] {
            assert!(wrong.parse::<LetterId>().is_err(), "{wrong:?}");
        }
    }
}
