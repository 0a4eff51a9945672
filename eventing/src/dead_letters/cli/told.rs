//! How answers are written.

use std::io::{IsTerminal as _, Write};

use serde::Serialize;
use serde_json::Value;

use super::table;
use crate::consumer::Gap;
use crate::dead_letters::Error;
use crate::dead_letters::views::{
    Action, AuditEntry, Detail, FailureGroup, Job, JobState, Plan, Preflight, Summary, Undone,
};

pub(super) fn json(value: &(impl Serialize + ?Sized), out: &mut impl Write) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    writeln!(out, "{text}")?;
    Ok(())
}

/// How a list goes on.
pub(super) fn next(next: Option<&str>, out: &mut impl Write) -> Result<(), Error> {
    if let Some(next) = next {
        writeln!(out, "there are more: --after {next}")?;
    }
    Ok(())
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

pub(super) fn groups(groups: &[FailureGroup], out: &mut impl Write) -> Result<(), Error> {
    let rows: Vec<[String; 10]> = groups
        .iter()
        .map(|group| {
            [
                group.fingerprint.clone(),
                group.error_class.clone(),
                group.letters.to_string(),
                group.new.to_string(),
                (group.taken + group.replayed).to_string(),
                group.discarded.to_string(),
                group.first_seen_at.to_string(),
                group.last_seen_at.to_string(),
                group.example.to_string(),
                group.message.clone(),
            ]
        })
        .collect();
    let headings = [
        "FINGERPRINT",
        "ERROR CLASS",
        "LETTERS",
        "NEW",
        "REPLAYED",
        "DISCARDED",
        "FIRST SEEN",
        "LAST SEEN",
        "EXAMPLE",
        "MESSAGE",
    ];
    Ok(table::write(out, headings, &rows)?)
}

pub(super) fn letters(letters: &[Summary], out: &mut impl Write) -> Result<(), Error> {
    let rows: Vec<[String; 11]> = letters
        .iter()
        .map(|letter| {
            [
                letter.id.to_string(),
                letter.state.as_str().to_owned(),
                letter.died_at.to_string(),
                letter.source.clone(),
                letter.key.clone(),
                or_dash(letter.sequence),
                letter.error_class.clone(),
                letter.fingerprint.clone(),
                or_dash(letter.earlier),
                or_dash(letter.later),
                letter.message.clone(),
            ]
        })
        .collect();
    let headings = [
        "ID",
        "STATE",
        "DIED AT",
        "SOURCE",
        "KEY",
        "SEQUENCE",
        "ERROR CLASS",
        "FINGERPRINT",
        "EARLIER",
        "LATER",
        "MESSAGE",
    ];
    Ok(table::write(out, headings, &rows)?)
}

pub(super) fn jobs(jobs: &[Job], out: &mut impl Write) -> Result<(), Error> {
    let rows: Vec<[String; 10]> = jobs
        .iter()
        .map(|job| {
            [
                job.id.to_string(),
                job.action.as_str().to_owned(),
                job.state.as_str().to_owned(),
                job.letters.to_string(),
                job.done.to_string(),
                job.handled.to_string(),
                job.failed_again.to_string(),
                job.created_at.to_string(),
                job.operator.clone(),
                job.selection.clone(),
            ]
        })
        .collect();
    let headings = [
        "JOB",
        "ACTION",
        "STATE",
        "LETTERS",
        "DONE",
        "HANDLED",
        "FAILED AGAIN",
        "CREATED AT",
        "OPERATOR",
        "SELECTION",
    ];
    Ok(table::write(out, headings, &rows)?)
}

pub(super) fn audit(entries: &[AuditEntry], out: &mut impl Write) -> Result<(), Error> {
    let rows: Vec<[String; 7]> = entries
        .iter()
        .map(|entry| {
            [
                entry.at.to_string(),
                entry.action.clone(),
                entry.operator.clone(),
                entry.letters.to_string(),
                entry.subject.clone(),
                entry.reason.clone(),
                or_dash(entry.job),
            ]
        })
        .collect();
    let headings = ["AT", "ACTION", "OPERATOR", "LETTERS", "WHAT", "REASON", "JOB"];
    Ok(table::write(out, headings, &rows)?)
}

pub(super) fn accepted(gap: &Gap, out: &mut impl Write) -> Result<(), Error> {
    let (first, last, key) = (gap.first_missing, gap.last_missing, &gap.key);
    writeln!(out, "{key} goes on without {first}–{last}")?;
    Ok(())
}

pub(super) fn gaps(gaps: &[Gap], out: &mut impl Write) -> Result<(), Error> {
    let rows: Vec<[String; 6]> = gaps
        .iter()
        .map(|gap| {
            [
                gap.topic.clone(),
                gap.key.clone(),
                gap.first_missing.to_string(),
                gap.last_missing.to_string(),
                gap.parked.to_string(),
                gap.since.to_string(),
            ]
        })
        .collect();
    let headings = ["TOPIC", "KEY", "FIRST MISSING", "LAST MISSING", "PARKED", "SINCE"];
    Ok(table::write(out, headings, &rows)?)
}

pub(super) fn plan(plan: &Plan, out: &mut impl Write) -> Result<(), Error> {
    let (action, letters, keys) = (plan.action.as_str(), plan.letters, plan.keys);
    writeln!(
        out,
        "plan {}: {action} {letters} letters of {keys} keys ({})",
        plan.id, plan.selection
    )?;
    if let (Some(oldest), Some(newest)) = (plan.oldest, plan.newest) {
        writeln!(out, "  from {oldest} to {newest}")?;
    }
    for failure in plan.failures.iter().take(20) {
        let (fingerprint, class) = (&failure.fingerprint, &failure.error_class);
        writeln!(
            out,
            "  {} with fingerprint {fingerprint} ({class})",
            failure.letters
        )?;
    }
    if let Some(more) = plan.failures.len().checked_sub(20).filter(|more| *more > 0) {
        writeln!(out, "  and {more} more fingerprints")?;
    }
    for left_out in &plan.left_out {
        writeln!(out, "  left out: {}: {}", left_out.letters, left_out.reason)?;
    }
    if let Some(rate) = plan.rate {
        let (tier, version, serving) = (&plan.first_tier, &plan.handler_version, plan.serving);
        writeln!(
            out,
            "  to {tier}, {rate} per second, handler {version}, {serving} replicas serving"
        )?;
        if plan.canary > 0 {
            writeln!(out, "  {} of each fingerprint go first, as a canary", plan.canary)?;
        }
    }
    Ok(())
}

pub(super) fn job(job: &Job, out: &mut impl Write) -> Result<(), Error> {
    writeln!(out, "job {}: {}", job.id, progress(job))?;
    if let Some(note) = &job.note {
        writeln!(out, "  {note}")?;
    }
    writeln!(out, "  {} by {}: {}", job.selection, job.operator, job.reason)?;
    Ok(())
}

/// A job that was started just now.
pub(super) fn begun(started: &Job, out: &mut impl Write) -> Result<(), Error> {
    job(started, out)?;
    if started.serving == 0 && started.state == JobState::Running {
        let group = &started.group;
        writeln!(out, "no replica of group {group} serves; the job waits for one")?;
    }
    Ok(())
}

/// How far a job is, in one line.
fn progress(job: &Job) -> String {
    let (state, done, letters) = (job.state.as_str(), job.done, job.letters);
    match job.action {
        Action::Discard => format!("{state}, {done} of {letters} letters discarded"),
        Action::Replay => format!(
            "{state}, {done} of {letters} letters sent again: {} handled, {} failed again, {} in flight",
            job.handled, job.failed_again, job.in_flight
        ),
    }
}

/// A line on the terminal that says how far a job is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    shown: bool,
}

impl Progress {
    pub(super) fn show(&mut self, job: &Job) {
        if std::io::stderr().is_terminal() {
            let note = job.note.as_deref().filter(|_| job.state == JobState::Running);
            let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
            eprint!("\r\x1b[K{}{note}", progress(job));
            self.shown = true;
        }
    }

    pub(super) fn end(&self) {
        if self.shown {
            eprintln!();
        }
    }
}

pub(super) fn undone(undone: &Undone, out: &mut impl Write) -> Result<(), Error> {
    let letters: Vec<String> = undone.letters.iter().map(ToString::to_string).collect();
    if !letters.is_empty() {
        writeln!(out, "new again: {}", letters.join(" "))?;
    }
    for (id, reason) in &undone.refused {
        writeln!(out, "letter {id} stays discarded: {reason}")?;
    }
    Ok(())
}

pub(super) fn preflight(preflight: &Preflight, out: &mut impl Write) -> Result<(), Error> {
    let Preflight {
        letters,
        pass,
        handler_version,
        ..
    } = preflight;
    writeln!(
        out,
        "{pass} of {letters} letters would pass with handler {handler_version}; nothing was changed"
    )?;
    let rows: Vec<[String; 5]> = preflight
        .outcomes
        .iter()
        .map(|outcome| {
            [
                outcome.outcome.clone(),
                outcome.letters.to_string(),
                or_dash(outcome.error_class.as_ref()),
                outcome.example.to_string(),
                or_dash(outcome.message.as_ref()),
            ]
        })
        .collect();
    let headings = ["OUTCOME", "LETTERS", "ERROR CLASS", "EXAMPLE", "MESSAGE"];
    Ok(table::write(out, headings, &rows)?)
}

/// A letter, section by section.
pub(super) fn sections(detail: &Detail, out: &mut impl Write) -> Result<(), Error> {
    let shown = serde_json::to_value(detail).map_err(std::io::Error::from)?;
    for name in [
        "letter",
        "done",
        "earlier_letters",
        "later_letters",
        "attempts",
        "undecodable",
        "event",
        "headers",
    ] {
        let Some(section) = shown.get(name) else { continue };
        match section {
            Value::Null => {}
            Value::Array(entries) if entries.is_empty() => {}
            Value::Object(fields) => {
                writeln!(out, "{name}:")?;
                for (field, value) in fields {
                    writeln!(out, "  {field}: {}", plain(value))?;
                }
            }
            Value::Array(entries) => {
                writeln!(out, "{name}:")?;
                for entry in entries {
                    writeln!(out, "  {}", plain(entry))?;
                }
            }
            other => writeln!(out, "{name}: {}", plain(other))?,
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(plain).collect::<Vec<_>>().join(": "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}
