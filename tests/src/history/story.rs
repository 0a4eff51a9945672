//! A broken history, printed small: only the aggregate concerned, and what the nemesis did around that time.

use std::fmt::Write as _;

use super::check::Violation;
use super::model::{History, Millis};
use super::plan::{Plan, Remedy};
use super::timeline::seconds;

/// How many events of the aggregate are shown before and after the one concerned.
const AROUND: i64 = 4;
/// How long before its first event the nemesis' deeds are shown, and after its last.
const MARGIN_MS: Millis = 10_000;

/// What is known about the aggregate of a violation.
pub fn tell(history: &History, violation: &Violation) -> String {
    let mut story = format!("{violation}\n");
    let (key, middle) = (&violation.key, violation.sequence);
    let near = |other: &str, sequence: i64| other == key && (sequence - middle).abs() <= AROUND;
    let mut times: Vec<Millis> = Vec::new();

    line(&mut story, "  commits");
    for commit in history
        .commits
        .iter()
        .filter(|commit| near(&commit.key, commit.sequence))
    {
        times.push(commit.at);
        let plan = match Plan::of(history.seed, key, commit.sequence) {
            Plan::Pass => String::new(),
            plan if plan.dies() => {
                format!("  {plan:?}, {:?}", Remedy::of(history.seed, key, commit.sequence))
            }
            plan => format!("  {plan:?}"),
        };
        line(
            &mut story,
            &format!(
                "    #{:<4} {}  {}  in {}{plan}",
                commit.sequence,
                seconds(commit.at),
                commit.event_id,
                commit.transaction
            ),
        );
    }
    line(&mut story, "  topic");
    for record in history
        .topic
        .iter()
        .filter(|record| near(&record.key, record.sequence))
    {
        line(
            &mut story,
            &format!(
                "    #{:<4} at {}-{}  {}",
                record.sequence, record.partition, record.offset, record.event_id
            ),
        );
    }
    for group in &history.groups {
        line(&mut story, &format!("  {}", group.kind.group()));
        for row in group.applied.iter().filter(|row| near(&row.key, row.sequence)) {
            times.push(row.at);
            let replayed = if row.replayed { ", replayed" } else { "" };
            line(
                &mut story,
                &format!(
                    "    #{:<4} {}  position {}, attempt {}{replayed}, by {}",
                    row.sequence,
                    seconds(row.at),
                    row.position,
                    row.attempt,
                    row.member
                ),
            );
        }
        for letter in group
            .letters
            .iter()
            .filter(|letter| near(&letter.key, letter.sequence))
        {
            line(
                &mut story,
                &format!(
                    "    #{:<4} letter {}-{}: {}",
                    letter.sequence, letter.partition, letter.offset, letter.class
                ),
            );
        }
    }
    let (from, to) = (times.iter().min(), times.iter().max());
    if let (Some(from), Some(to)) = (from, to) {
        line(&mut story, "  meanwhile");
        let range = from - MARGIN_MS..=to + MARGIN_MS;
        for happening in history
            .happenings
            .iter()
            .filter(|happening| range.contains(&happening.at))
        {
            line(
                &mut story,
                &format!("    {}  {}", seconds(happening.at), happening.what),
            );
        }
    }
    story
}

fn line(story: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(story, "{text}");
}
