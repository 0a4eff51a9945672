//! `up --detach`: a child that stays, and a parent that shows its progress and comes back when it is ready.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::run::{LOOK_AGAIN, Record};
use crate::state::State;

const LOG: &str = "up.log";

/// Starts this program once more, and shows what it says until it is ready or gone.
pub(super) fn run(state: &State) -> Result<ExitCode> {
    if state.holder().is_none() {
        Record::remove(state);
    }
    let path = state.folder("logs")?.join(LOG);
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the part that stays")?;
    let mut shown = File::open(&path)?;
    loop {
        let ended = child.try_wait()?;
        // Whether it was ready is asked before its words are shown, so that the last ones are shown too.
        let ready = Record::read(state).is_ok_and(|record| record.ready && welcomed(&path));
        show(&mut shown)?;
        if let Some(status) = ended {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        if ready {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Whether the child has printed all of its welcome.
fn welcomed(log: &std::path::Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains(super::welcome::END))
}

fn show(log: &mut File) -> Result<()> {
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    std::io::stdout().write_all(&text)?;
    std::io::stdout().flush()?;
    Ok(())
}

/// In the child: its own session, so that the terminal's end is not its end.
pub(super) fn leave_terminal() {
    // It fails only for the leader of a group, which a child is not.
    let _ = rustix::process::setsid();
}
