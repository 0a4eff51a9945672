use std::fmt;

use jiff::Timestamp;

/// The attempts that are kept: the first, and the last ones.
const MAX_ATTEMPTS: usize = 20;

/// The failed attempts at a record, oldest first, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History(Vec<Attempt>);

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) at: Timestamp,
    /// The retry tier that the record was read from; 0 for the domain topic.
    pub(crate) tier: u32,
    pub(crate) class: String,
    pub(crate) fingerprint: String,
}

impl History {
    /// Adds an attempt; of too many, the second oldest goes.
    pub(crate) fn push(&mut self, attempt: Attempt) {
        if self.0.len() >= MAX_ATTEMPTS {
            self.0.remove(1);
        }
        self.0.push(attempt);
    }

    /// Reads what [`fmt::Display`] wrote. Lines that say something else are left out: they only inform.
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter_map(Attempt::parse)
                .take(MAX_ATTEMPTS)
                .collect(),
        )
    }

    pub(crate) fn attempts(&self) -> &[Attempt] {
        &self.0
    }
}

impl Attempt {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            number: words.next()?.parse().ok()?,
            at: words.next()?.parse().ok()?,
            tier: words.next()?.parse().ok()?,
            class: words.next()?.to_owned(),
            fingerprint: words.next()?.to_owned(),
        })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let Attempt {
                number,
                at,
                tier,
                class,
                fingerprint,
            } = attempt;
            write!(f, "{number} {at} {tier} {class} {fingerprint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_keeps_the_first_and_the_last_attempts() {
        let mut history = History::default();
        for number in 1..=50 {
            history.push(Attempt {
                number,
                at: Timestamp::UNIX_EPOCH,
                tier: 1,
                class: "retry".into(),
                fingerprint: "abc".into(),
            });
        }
        let numbers: Vec<u32> = history.attempts().iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers.len(), MAX_ATTEMPTS);
        assert_eq!((numbers[0], numbers[1], numbers[19]), (1, 32, 50));
        assert_eq!(History::parse(&history.to_string()), history);
        assert_eq!(History::parse("nonsense\n1 x").attempts(), []);
    }
}
