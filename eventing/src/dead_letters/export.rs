//! Letters as a file. It holds what the index and the topic do, and nothing else.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::Stream;
use futures::stream::try_unfold;
use serde_json::json;

use super::chosen::Letters;
use super::detail;
use super::id::LetterId;
use super::selection::Filter;
use super::views::Summary;
use super::{Error, Format, lists};
use crate::consumer::{ConsumerGroup, Resources};

/// Letters that are written at once.
const CHUNK: u32 = 200;

/// The columns of a CSV file.
const COLUMNS: [&str; 16] = [
    "id",
    "state",
    "died_at",
    "first_failed_at",
    "source",
    "key",
    "sequence",
    "event_type",
    "error_class",
    "fingerprint",
    "message",
    "attempts",
    "job",
    "earlier",
    "later",
    "copy_of",
];

struct Export {
    group: ConsumerGroup,
    resources: Resources,
    filter: Filter,
    format: Format,
    letters: Letters,
    /// Where the next chunk begins; none at the beginning.
    after: Option<String>,
    begun: bool,
    ended: bool,
}

/// The letters that match, newest first, in chunks of the file.
pub(crate) fn export(
    group: ConsumerGroup,
    resources: Resources,
    filter: Filter,
    format: Format,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    let export = Export {
        letters: Letters::of(&resources.kafka, &group.dead_letter_topic()),
        group,
        resources,
        filter,
        format,
        after: None,
        begun: false,
        ended: false,
    };
    try_unfold(export, |mut export| async move {
        Ok(export.chunk().await?.map(|chunk| (chunk, export)))
    })
}

impl Export {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if self.ended {
            return Ok(None);
        }
        let pool = &self.resources.pool;
        let page = lists::letters(pool, &self.group.name, &self.filter, self.after.as_deref(), CHUNK).await?;
        self.ended = page.next.is_none();
        self.after = page.next;
        let chunk = match self.format {
            Format::Csv => csv_lines(&page.rows, !self.begun)?,
            Format::JsonLines => self.json_lines(page.rows).await?,
        };
        self.begun = true;
        Ok(Some(chunk))
    }

    async fn json_lines(&self, rows: Vec<Summary>) -> Result<Bytes, Error> {
        let mut lines = Vec::new();
        let mut by_place: Vec<(LetterId, usize)> = rows
            .iter()
            .enumerate()
            .map(|(row, letter)| (letter.id, row))
            .collect();
        by_place.sort_unstable();
        let mut ids: VecDeque<LetterId> = by_place.iter().map(|(id, _)| *id).collect();
        let mut events = std::collections::HashMap::new();
        while !ids.is_empty() {
            let read = self.letters.read(ids.iter().copied().collect()).await?;
            ids.drain(..read.len());
            for (id, letter) in read {
                let event = match letter {
                    None => Err("the letter is not on the topic any more".to_owned()),
                    Some(letter) => letter.event(&self.resources.registry).await,
                };
                events.insert(id, event);
            }
        }
        for letter in rows {
            let (event, undecodable) = match events.remove(&letter.id) {
                Some(Ok(event)) => (Some(detail::json(&event)), None),
                Some(Err(reason)) => (None, Some(reason)),
                None => (None, None),
            };
            let mut line = json!(letter);
            if let Some(line) = line.as_object_mut() {
                line.insert("event".to_owned(), json!(event));
                line.insert("undecodable".to_owned(), json!(undecodable));
            }
            lines.extend_from_slice(line.to_string().as_bytes());
            lines.push(b'\n');
        }
        Ok(Bytes::from(lines))
    }
}

fn csv_lines(letters: &[Summary], with_headings: bool) -> Result<Bytes, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_headings {
        writer.write_record(COLUMNS).map_err(std::io::Error::from)?;
    }
    for letter in letters {
        let fields = fields(letter).map(|field| harmless(&field));
        writer.write_record(fields).map_err(std::io::Error::from)?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(Bytes::from(bytes))
}

fn fields(letter: &Summary) -> [String; 16] {
    fn text(value: Option<impl ToString>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    [
        letter.id.to_string(),
        letter.state.as_str().to_owned(),
        letter.died_at.to_string(),
        text(letter.first_failed_at),
        letter.source.clone(),
        letter.key.clone(),
        text(letter.sequence),
        text(letter.event_type.as_ref()),
        letter.error_class.clone(),
        letter.fingerprint.clone(),
        letter.message.clone(),
        text(letter.attempts),
        text(letter.job),
        text(letter.earlier),
        text(letter.later),
        text(letter.copy_of),
    ]
}

/// A spreadsheet takes a field that begins so for a formula; anyone's bytes may have got here.
fn harmless(field: &str) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{field}")
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_a_spreadsheet_would_run_is_made_text() {
        for formula in ["=1+1", "+1", "-1", "@sum(a1)"] {
            assert_eq!(harmless(formula), format!("'{formula}"));
        }
        assert_eq!(harmless("pay_1"), "pay_1");
    }
}
