//! What the simulator remembers over a restart: one file of lines, the last line of an object is its state.
//!
//! A line is handed to the operating system before the answer leaves, so `kill -9` loses nothing; a power cut may.
//! Without `--state` the journal is a stub and everything is in memory only.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    kind: String,
    id: String,
    /// `None`: the object is forgotten.
    value: Option<Value>,
}

/// Where changes are written to.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    file: Option<Mutex<File>>,
}

/// What an earlier run left, in the order in which the objects were first written.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    objects: Vec<(String, String, Value)>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("cannot use the state file {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "line {number} of the state file {path} is not one of ours: {source}; move the file away to start afresh"
    )]
    Corrupt {
        path: PathBuf,
        number: usize,
        source: serde_json::Error,
    },
}

impl Journal {
    /// Opens `dir/journal.jsonl`, reads it, and rewrites it without what was superseded.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Restored), JournalError> {
        let path = dir.join("journal.jsonl");
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(dir).map_err(io)?;
        let restored = if path.exists() {
            read(&path)?
        } else {
            Restored::default()
        };
        let fresh = dir.join("journal.jsonl.new");
        let mut file = File::create(&fresh).map_err(io)?;
        for (kind, id, value) in &restored.objects {
            let line = Line {
                kind: kind.clone(),
                id: id.clone(),
                value: Some(value.clone()),
            };
            file.write_all(encode(&line).as_bytes()).map_err(io)?;
        }
        file.sync_all().map_err(io)?;
        fs::rename(&fresh, &path).map_err(io)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok((
            Self {
                file: Some(Mutex::new(file)),
            },
            restored,
        ))
    }

    pub(crate) fn keep(&self, kind: &str, id: &str, object: &impl Serialize) {
        if self.file.is_some() {
            let value = serde_json::to_value(object).unwrap_or_default();
            self.append(&Line {
                kind: kind.to_owned(),
                id: id.to_owned(),
                value: Some(value),
            });
        }
    }

    pub(crate) fn forget(&self, kind: &str, id: &str) {
        if self.file.is_some() {
            self.append(&Line {
                kind: kind.to_owned(),
                id: id.to_owned(),
                value: None,
            });
        }
    }

    fn append(&self, line: &Line) {
        let Some(file) = &self.file else { return };
        let encoded = encode(line);
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = file.write_all(encoded.as_bytes()) {
            tracing::error!(%error, "the state file cannot be written; a restart will not know this change");
        }
    }
}

impl Restored {
    /// All objects of one kind, oldest first.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, kind: &str) -> Result<Vec<T>, serde_json::Error> {
        let (of_kind, others) = std::mem::take(&mut self.objects)
            .into_iter()
            .partition(|(line_kind, ..)| line_kind == kind);
        self.objects = others;
        let of_kind: Vec<(String, String, Value)> = of_kind;
        of_kind
            .into_iter()
            .map(|(_, _, value)| serde_json::from_value(value))
            .collect()
    }
}

fn encode(line: &Line) -> String {
    let mut encoded = serde_json::to_string(line).unwrap_or_default();
    encoded.push('\n');
    encoded
}

fn read(path: &Path) -> Result<Restored, JournalError> {
    let io = |source| JournalError::Io {
        path: path.to_owned(),
        source,
    };
    let lines: Vec<String> = BufReader::new(File::open(path).map_err(io)?)
        .lines()
        .collect::<Result<_, _>>()
        .map_err(io)?;
    let mut latest: HashMap<(String, String), (usize, Option<Value>)> = HashMap::new();
    let last = lines.len();
    for (index, text) in lines.iter().enumerate() {
        let line: Line = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(error) if index + 1 == last => {
                tracing::warn!(%error, "the last line of the state file was cut off by a kill, and is ignored");
                break;
            }
            Err(source) => {
                return Err(JournalError::Corrupt {
                    path: path.to_owned(),
                    number: index + 1,
                    source,
                });
            }
        };
        latest.entry((line.kind, line.id)).or_insert((index, None)).1 = line.value;
    }
    let mut kept: Vec<_> = latest
        .into_iter()
        .filter_map(|((kind, id), (index, value))| Some((index, kind, id, value?)))
        .collect();
    kept.sort_by_key(|(index, ..)| *index);
    Ok(Restored {
        objects: kept
            .into_iter()
            .map(|(_, kind, id, value)| (kind, id, value))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_of_each_object_survives_and_a_cut_line_does_no_harm() {
        let dir = std::env::temp_dir().join(format!("simulator-journal-{}", uuid::Uuid::now_v7()));
        let (journal, _) = Journal::open(&dir).unwrap();
        journal.keep("payout", "po_1", &"processing");
        journal.keep("payout", "po_2", &"processing");
        journal.keep("payout", "po_1", &"completed");
        journal.keep("webhook", "bev_1", &1);
        journal.forget("webhook", "bev_1");
        drop(journal);
        let mut file = OpenOptions::new()
            .append(true)
            .open(dir.join("journal.jsonl"))
            .unwrap();
        file.write_all(br#"{"kind":"payout","id":"po_3","va"#).unwrap();

        let (_, mut restored) = Journal::open(&dir).unwrap();

        assert_eq!(
            restored.take::<String>("payout").unwrap(),
            ["completed", "processing"]
        );
        assert!(restored.take::<u8>("webhook").unwrap().is_empty());
        fs::remove_dir_all(dir).unwrap();
    }
}
