//! The files that children write to.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};

use crate::disk::free_bytes;

/// How much of a log's end is searched for its last lines.
const LAST_BYTES: u64 = 16 * 1024;
/// A log that is longer when its process starts is put aside as `<name>.log.1`.
const LOG_BYTES: u64 = 32 * 1024 * 1024;

/// With less than this a process could not write another line.
const FULL_BYTES: u64 = 64 * 1024;

/// Whether the disk that a log is on has no room left.
pub(crate) fn disk_is_full(log: &Path) -> bool {
    free_bytes(log.parent().unwrap_or(log)).is_ok_and(|free| free < FULL_BYTES)
}

/// Opens a log to append to it.
pub(crate) fn open(log: &Path) -> Result<File> {
    let context = || format!("cannot write the log {}", log.display());
    if std::fs::metadata(log).is_ok_and(|existing| existing.len() > LOG_BYTES) {
        std::fs::rename(log, log.with_extension("log.1")).with_context(context)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(context)
}

/// The last lines of a log, not before the offset `from`, indented. Empty when there are none.
pub(crate) fn last_lines(log: &Path, from: u64, count: usize) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        let from = if from > length { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(LAST_BYTES))))?;
        let mut end = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(count);
    lines
        .iter()
        .skip(skip)
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
