//! Counts, volume and success rate of payments, over a time, by interval and by channel.

use std::collections::BTreeMap;

use serde::Serialize;

/// How many intervals a series may have.
pub const MAX_POINTS: i64 = 2_000;

/// How wide the intervals of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// One minute.
    Minute,
    /// One hour.
    Hour,
    /// One day, in UTC.
    Day,
}

impl Interval {
    /// Its length.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// The interval that gives a span of `seconds` a readable number of points.
    pub const fn fitting(seconds: i64) -> Self {
        match seconds {
            ..=10_800 => Self::Minute,
            10_801..=604_800 => Self::Hour,
            _ => Self::Day,
        }
    }
}

/// Payments of one currency, channel, interval and status, as the store groups them.
#[derive(Debug, Clone)]
pub struct Group {
    /// Start of the interval, milliseconds since the epoch.
    pub start_ms: i64,
    /// The PSP channel.
    pub channel: String,
    /// ISO 4217 code.
    pub currency: String,
    /// The payments' status by their highest sequence.
    pub status: String,
    /// How many payments.
    pub payments: i64,
    /// Sum of their amounts, minor units. Wider than one amount, since it adds many.
    pub amount: i128,
    /// Sum of what was refunded of them, minor units.
    pub amount_refunded: i128,
}

/// What some payments came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Tally {
    /// How many payments.
    pub payments: i64,
    /// Those that were charged, refunded ones included.
    pub succeeded: i64,
    /// Those that were declined.
    pub failed: i64,
    /// Those that are not decided, and those that were cancelled or expired.
    pub other: i64,
    /// `succeeded / (succeeded + failed)`, 0 to 1; null while nothing is decided.
    pub success_rate: Option<f64>,
    /// Payments by status.
    pub by_status: BTreeMap<String, i64>,
    /// Charged volume by currency.
    #[schema(value_type = BTreeMap<String, Volume>)]
    pub volume: BTreeMap<String, Volume>,
}

/// What was charged in one currency, minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Volume {
    /// Sum of the charged payments' amounts.
    #[schema(value_type = i64)]
    pub amount: i128,
    /// Sum of what was refunded of them.
    #[schema(value_type = i64)]
    pub amount_refunded: i128,
}

/// A tally of one interval.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Point {
    /// Start of the interval, milliseconds since the epoch.
    pub start_ms: i64,
    /// What the payments first seen in it came to.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The statistics of a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Stats {
    /// Over all of it.
    pub total: Tally,
    /// By PSP channel.
    pub by_channel: BTreeMap<String, Tally>,
    /// By interval, in order; intervals without payments are left out.
    pub series: Vec<Point>,
}

impl Stats {
    /// Adds up what the store grouped.
    pub fn of(groups: &[Group]) -> Self {
        let mut stats = Self::default();
        let mut series: BTreeMap<i64, Tally> = BTreeMap::new();
        for group in groups {
            stats.total.add(group);
            stats
                .by_channel
                .entry(group.channel.clone())
                .or_default()
                .add(group);
            series.entry(group.start_ms).or_default().add(group);
        }
        stats.series = series
            .into_iter()
            .map(|(start_ms, tally)| Point { start_ms, tally })
            .collect();
        stats
    }
}

impl Tally {
    fn add(&mut self, group: &Group) {
        self.payments += group.payments;
        *self.by_status.entry(group.status.clone()).or_default() += group.payments;
        match group.status.as_str() {
            "success" | "partially_refunded" | "refunded" => {
                self.succeeded += group.payments;
                let volume = self.volume.entry(group.currency.clone()).or_default();
                volume.amount += group.amount;
                volume.amount_refunded += group.amount_refunded;
            }
            "failed" => self.failed += group.payments,
            _ => self.other += group.payments,
        }
        self.success_rate = success_rate(self.succeeded, self.failed);
    }
}

#[expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a ratio for people, and no money"
)]
fn success_rate(succeeded: i64, failed: i64) -> Option<f64> {
    let decided = succeeded + failed;
    (decided > 0).then(|| succeeded as f64 / decided as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(start_ms: i64, status: &str, payments: i64, amount: i128) -> Group {
        Group {
            start_ms,
            channel: "stripe".into(),
            currency: "EUR".into(),
            status: status.into(),
            payments,
            amount,
            amount_refunded: 0,
        }
    }

    #[test]
    fn the_rate_counts_decided_payments_and_a_refunded_one_as_charged() {
        let stats = Stats::of(&[
            group(0, "success", 2, 200),
            group(0, "refunded", 1, 100),
            group(60_000, "failed", 1, 50),
            group(60_000, "processing", 5, 500),
            group(60_000, "cancelled", 1, 70),
        ]);
        assert_eq!(stats.total.success_rate, Some(0.75));
        assert_eq!(
            (
                stats.total.payments,
                stats.total.succeeded,
                stats.total.failed,
                stats.total.other
            ),
            (10, 3, 1, 6)
        );
        assert_eq!(stats.total.volume["EUR"].amount, 300);
        assert_eq!(
            stats.series.iter().map(|p| p.start_ms).collect::<Vec<_>>(),
            [0, 60_000]
        );
    }

    #[test]
    fn nothing_decided_is_no_rate_rather_than_zero() {
        assert_eq!(
            Stats::of(&[group(0, "processing", 1, 1)]).total.success_rate,
            None
        );
        assert_eq!(Stats::of(&[]).total.success_rate, None);
    }

    #[test]
    fn volume_may_exceed_what_one_amount_can_be() {
        let stats = Stats::of(&[group(0, "success", 2, 2 * i128::from(i64::MAX))]);
        assert_eq!(stats.total.volume["EUR"].amount, 2 * i128::from(i64::MAX));
    }
}
