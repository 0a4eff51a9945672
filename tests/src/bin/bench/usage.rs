//! What a process, or some of its threads, took of the machine, as the kernel counts it.

use std::path::Path;

use anyhow::{Context as _, Result};

/// The kernel counts processor time in hundredths of a second on every platform that Linux has now.
const TICKS_PER_SECOND: f64 = 100.0;

/// The largest resident set that a process has had, in MB (10⁶ bytes).
pub(crate) fn peak_memory_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kibibytes: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("process {pid} has no peak"))?
        .parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}

/// Processor seconds that a process has used, ended threads included.
pub(crate) fn processor_seconds(pid: u32) -> Result<f64> {
    Ok(stat(Path::new(&format!("/proc/{pid}/stat")))?.1)
}

/// Processor seconds that those of our own threads have used whose names `belongs` accepts.
pub(crate) fn own_threads_seconds(belongs: impl Fn(&str) -> bool) -> Result<f64> {
    let mut seconds = 0.0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        // One that has just ended takes its time with it, which is little.
        let Ok((name, used)) = stat(&thread?.path().join("stat")) else {
            continue;
        };
        if belongs(&name) {
            seconds += used;
        }
    }
    Ok(seconds)
}

/// The name in a `stat` file, and user and system time together.
fn stat(path: &Path) -> Result<(String, f64)> {
    let text = std::fs::read_to_string(path)?;
    // The name is in brackets and may hold anything; the fields are counted from behind it.
    let (head, fields) = text.rsplit_once(')').context("a stat file has a name")?;
    let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap_or(0.0))
        .sum();
    Ok((name, ticks / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_use_is_seen() {
        let pid = std::process::id();
        assert!(peak_memory_mb(pid).unwrap() > 1.0);
        let mut sum = 0_u64;
        while own_threads_seconds(|_| true).unwrap() < 0.05 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(processor_seconds(pid).unwrap() > 0.0);
        assert!(own_threads_seconds(|name| name == "nobody").unwrap().abs() < 1e-9);
    }
}
