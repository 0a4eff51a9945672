//! How many Kafka brokers there are, and what each is called.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

/// One broker of a cluster, by its node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Broker(u8);

impl Broker {
    /// The only one, or the first of three.
    pub const FIRST: Self = Self(1);

    /// Its node id, from 1.
    pub const fn node_id(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Broker {
    /// Its name among the processes, ports and logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("kafka"),
            id => write!(f, "kafka-{id}"),
        }
    }
}

/// The size of a cluster. Two would be none: neither of them may die.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Brokers {
    /// Everything has one copy.
    #[default]
    One,
    /// Everything has three copies, and two are enough to go on.
    Three,
}

impl Brokers {
    /// How many there are, which is also how many copies of everything.
    pub const fn count(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }

    /// How many copies a record needs before it is acknowledged.
    pub const fn min_in_sync(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Three => 2,
        }
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = Broker> {
        (1..=self.count()).map(Broker)
    }
}

impl fmt::Display for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count())
    }
}

impl FromStr for Brokers {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "1" => Ok(Self::One),
            "3" => Ok(Self::Three),
            _ => bail!("expected 1 broker or 3, not {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_one_or_three() {
        let names = |brokers: Brokers| {
            brokers
                .each()
                .map(|broker| broker.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("1".parse().unwrap()), ["kafka"]);
        assert_eq!(names("3".parse().unwrap()), ["kafka", "kafka-2", "kafka-3"]);
        let error = "2".parse::<Brokers>().unwrap_err().to_string();
        assert_eq!(error, "expected 1 broker or 3, not 2");
    }
}
