//! The half-open time span that a settlement is about.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// From `start` (inclusive) to `end` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    start: Timestamp,
    end: Timestamp,
}

/// Why a period was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PeriodError {
    /// Not an instant and not a date.
    #[error("{field} must be an RFC 3339 instant like 2026-01-31T00:00:00Z or a date like 2026-01-31")]
    NotAnInstant {
        /// `start_date` or `end_date`.
        field: &'static str,
    },
    /// Nothing lies between the two.
    #[error("end_date must be later than start_date")]
    Backwards,
}

impl Period {
    /// Reads what a person writes: RFC 3339 instants, or dates in UTC. An end in second 59 includes that whole second, since
    /// whoever writes `23:59:59` means the rest of the day; an end that is a date includes that whole day.
    pub fn parse(start_date: &str, end_date: &str) -> Result<Self, PeriodError> {
        let start = match Written::parse(start_date, "start_date")? {
            Written::Instant(instant) => instant,
            Written::Day(day) => first_instant(day, "start_date")?,
        };
        let end = match Written::parse(end_date, "end_date")? {
            Written::Instant(instant) => include_last_second(instant)?,
            Written::Day(day) => {
                let next = day
                    .tomorrow()
                    .map_err(|_| PeriodError::NotAnInstant { field: "end_date" })?;
                first_instant(next, "end_date")?
            }
        };
        Self::new(start, end)
    }

    /// From `start` (inclusive) to `end` (exclusive).
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, PeriodError> {
        if start < end {
            Ok(Self { start, end })
        } else {
            Err(PeriodError::Backwards)
        }
    }

    /// The first instant inside.
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant after it.
    pub fn end(self) -> Timestamp {
        self.end
    }
}

enum Written {
    Instant(Timestamp),
    Day(Date),
}

impl Written {
    fn parse(text: &str, field: &'static str) -> Result<Self, PeriodError> {
        // jiff reads more than RFC 3339 (`2026-01-31 10Z[UTC]`); the length and the letters keep the rest out.
        let rfc3339_like = text.len() >= 20 && text.len() <= 35 && text.as_bytes().get(10) == Some(&b'T');
        if rfc3339_like && !text.contains('[') {
            text.parse()
                .map(Self::Instant)
                .map_err(|_| PeriodError::NotAnInstant { field })
        } else if text.len() == 10 {
            text.parse()
                .map(Self::Day)
                .map_err(|_| PeriodError::NotAnInstant { field })
        } else {
            Err(PeriodError::NotAnInstant { field })
        }
    }
}

fn first_instant(day: Date, field: &'static str) -> Result<Timestamp, PeriodError> {
    day.to_zoned(TimeZone::UTC)
        .map(|zoned| zoned.timestamp())
        .map_err(|_| PeriodError::NotAnInstant { field })
}

fn include_last_second(end: Timestamp) -> Result<Timestamp, PeriodError> {
    let second = end.as_second();
    if second.rem_euclid(60) != 59 {
        return Ok(end);
    }
    Timestamp::from_second(second)
        .and_then(|whole| whole.checked_add(SignedDuration::from_secs(1)))
        .map_err(|_| PeriodError::NotAnInstant { field: "end_date" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_end_in_second_59_includes_that_whole_second() {
        let day = Period::parse("2026-01-31T00:00:00Z", "2026-01-31T23:59:59Z").unwrap();
        assert_eq!(day.end(), at("2026-02-01T00:00:00Z"));
        let fraction = Period::parse("2026-01-31T00:00:00Z", "2026-01-31T23:59:59.999Z").unwrap();
        assert_eq!(fraction.end(), at("2026-02-01T00:00:00Z"));
        let offset = Period::parse("2026-01-31T00:00:00+08:00", "2026-01-31T23:59:59+08:00").unwrap();
        assert_eq!(
            (offset.start(), offset.end()),
            (at("2026-01-30T16:00:00Z"), at("2026-01-31T16:00:00Z"))
        );
    }

    #[test]
    fn any_other_end_is_exclusive_as_it_stands() {
        let hour = Period::parse("2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z").unwrap();
        assert_eq!(hour.end(), at("2026-01-31T11:00:00Z"));
        let odd = Period::parse("2026-01-31T10:00:00Z", "2026-01-31T11:00:58.5Z").unwrap();
        assert_eq!(odd.end(), at("2026-01-31T11:00:58.5Z"));
    }

    #[test]
    fn a_date_means_its_whole_day_in_utc() {
        let day = Period::parse("2026-01-31", "2026-01-31").unwrap();
        assert_eq!(
            (day.start(), day.end()),
            (at("2026-01-31T00:00:00Z"), at("2026-02-01T00:00:00Z"))
        );
    }

    #[test]
    fn what_is_neither_is_refused_by_field() {
        for text in [
            "",
            "yesterday",
            "2026-02-30",
            "2026-01-31 10:00:00Z",
            "2026-01-31T10:00:00",
            "2026-01-31T10:00Z",
            "1767225600",
        ] {
            let refused = Period::parse(text, "2026-01-31T23:59:59Z");
            assert_eq!(
                refused,
                Err(PeriodError::NotAnInstant { field: "start_date" }),
                "{text}"
            );
        }
        assert_eq!(
            Period::parse("2026-01-31", "2026-01-30"),
            Err(PeriodError::Backwards)
        );
        assert_eq!(
            Period::parse("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
            Err(PeriodError::Backwards)
        );
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        assert!(Period::parse("2026-01-31", "9999-12-31").is_err());
    }
}
