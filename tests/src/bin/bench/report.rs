//! What was measured, as a table for people and as JSON for machines.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What one command found.
#[derive(Debug)]
pub(crate) struct Report {
    command: &'static str,
    rows: Vec<Row>,
    settings: Value,
}

/// One measurement.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    /// One per round.
    values: Vec<f64>,
    /// The ceiling of the same round.
    ceilings: Vec<f64>,
    target: Option<Target>,
}

/// What a measurement should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At least this share of its ceiling.
    RatioAtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

impl Report {
    /// Nothing yet, of a command that ran with these settings.
    pub(crate) fn new(command: &'static str, settings: Value) -> Self {
        Self {
            command,
            rows: Vec::new(),
            settings,
        }
    }

    /// Adds a measurement, and shows it.
    pub(crate) fn add(&mut self, row: Row) {
        println!("  {}", row.line());
        self.rows.push(row);
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let head = format!(
            "{:<58} {:>12} {:>12} {:>7}  {:<10} {}",
            self.command, "measured", "ceiling", "ratio", "target", "met"
        );
        let lines = self.rows.iter().map(Row::line);
        std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
    }

    /// The same with every round.
    pub(crate) fn json(&self) -> Value {
        json!({
            "command": self.command,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "release": !cfg!(debug_assertions),
            "settings": self.settings,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    /// A measurement of one or more rounds.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, values: impl Into<Vec<f64>>) -> Self {
        Self {
            what: what.into(),
            unit,
            values: values.into(),
            ceilings: Vec::new(),
            target: None,
        }
    }

    /// The ceilings of the same rounds.
    pub(crate) fn ceilings(mut self, ceilings: impl Into<Vec<f64>>) -> Self {
        self.ceilings = ceilings.into();
        self
    }

    /// What it should be.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn value(&self) -> f64 {
        median(self.values.clone())
    }

    fn ceiling(&self) -> Option<f64> {
        (!self.ceilings.is_empty()).then(|| median(self.ceilings.clone()))
    }

    /// The median of the rounds' ratios: each against the ceiling of its own minute.
    fn ratio(&self) -> Option<f64> {
        let ratios: Vec<f64> = self
            .values
            .iter()
            .zip(&self.ceilings)
            .map(|(value, ceiling)| value / ceiling)
            .collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    fn met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::RatioAtLeast(share) => self.ratio().is_some_and(|ratio| ratio >= share),
            Target::AtMost(bound) => self.value() <= bound,
        })
    }

    fn line(&self) -> String {
        let what = format!("{} ({})", self.what, self.unit);
        let target = self.target.map_or_else(String::new, |target| match target {
            Target::RatioAtLeast(share) => format!("≥ {share} ×"),
            Target::AtMost(bound) => format!("≤ {bound}"),
        });
        let met = self.met().map_or("", |met| if met { "yes" } else { "NO" });
        let mut line = format!("{what:<58} {:>12}", figure(self.value()));
        let ceiling = self.ceiling().map_or_else(String::new, figure);
        let ratio = self
            .ratio()
            .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        // Writing to a string cannot fail.
        let _ = write!(line, " {ceiling:>12} {ratio:>7}  {target:<10} {met}");
        line.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        let (target, bound) = match self.target {
            None => (Value::Null, Value::Null),
            Some(Target::RatioAtLeast(share)) => (json!("ratio_at_least"), json!(share)),
            Some(Target::AtMost(bound)) => (json!("at_most"), json!(bound)),
        };
        json!({
            "what": self.what,
            "unit": self.unit,
            "measured": self.value(),
            "rounds": self.values,
            "ceiling": self.ceiling(),
            "ceilings": self.ceilings,
            "ratio": self.ratio(),
            "target": target,
            "bound": bound,
            "met": self.met(),
        })
    }
}

/// The middle one; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// As many digits as say something.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => thousands(value.round()),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let row = Row::new("drain", "records/s", [50.0, 90.0, 60.0])
            .ceilings([100.0, 100.0, 200.0])
            .target(Target::RatioAtLeast(0.5));
        assert_eq!(row.ratio(), Some(0.5));
        assert_eq!(row.met(), Some(true));
        assert!(row.line().contains("60.0"), "{}", row.line());
        let bound = Row::new("memory", "MB", [151.0]).target(Target::AtMost(150.0));
        assert_eq!(bound.met(), Some(false));
    }

    #[test]
    fn figures_have_the_digits_that_say_something() {
        let shown: Vec<String> = [1_234_567.8, 999.6, 12.34, 1.234, 0.0123].map(figure).to_vec();
        assert_eq!(shown, ["1,234,568", "1000", "12.3", "1.23", "0.012"]);
    }
}
