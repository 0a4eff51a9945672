//! Child processes that cannot outlive this one.
//!
//! Every child is started through `setpriv --pdeathsig`, so that the kernel ends it when this process ends, even by
//! `kill -9`. What a newcomer gets wrong: the kernel watches the *thread* that started the child. So each child has a
//! thread of its own that starts it, waits for it, and ends only after it.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process_group};
use tokio::sync::watch;

use crate::log;

/// How often a condition is looked at again while a child starts.
const POLL: Duration = Duration::from_millis(50);
/// How many of a child's last lines a message shows.
const LAST_LINES: usize = 15;

/// What to start, and how it ends.
#[derive(Debug, Clone)]
pub struct Launch {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    folder: Option<PathBuf>,
    user: Option<String>,
    stop: Signal,
    orphan: &'static str,
}

impl Launch {
    /// A program that stops at SIGTERM and is killed when we die.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            user: None,
            stop: Signal::TERM,
            orphan: "KILL",
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; the rest is inherited.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs it as this user, which only root can.
    #[must_use]
    pub fn user(mut self, user: Option<&str>) -> Self {
        self.user = user.map(str::to_owned);
        self
    }

    /// What asks it to stop, and what it gets when we die: a name without `SIG`.
    #[must_use]
    pub fn ends_by(mut self, stop: Signal, orphan: &'static str) -> Self {
        self.stop = stop;
        self.orphan = orphan;
        self
    }

    /// The name in messages, logs and the run's record.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", self.orphan]);
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        command.arg("--").arg(&self.program).args(&self.args);
        // Logs are files, and files have no colours.
        command.env("NO_COLOR", "1");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // Its own group: the terminal's Ctrl-C reaches only us, and we stop the children in order.
        command.process_group(0);
        command
    }

    /// Runs it to its end and fails with its output's last lines unless it succeeds.
    pub async fn run(self, log: &Path) -> Result<()> {
        let process = self.start(log)?;
        let status = process.exited().await;
        if status.success() {
            return Ok(());
        }
        bail!("{}", process.obituary(status));
    }

    /// Starts it, with its output appended to `log`.
    pub fn start(self, log: &Path) -> Result<Process> {
        let output = log::open(log)?;
        let from = output.metadata()?.len();
        let mut command = self.command();
        command.stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let (started, starting) = mpsc::sync_channel(1);
        let (ended, exit) = watch::channel(None);
        std::thread::Builder::new()
            .name(self.name.clone())
            .spawn(move || match command.spawn() {
                Ok(mut child) => {
                    let _ = started.send(Ok(child.id()));
                    // A child that cannot be waited for is as good as killed: this thread's end kills it.
                    let status = child.wait().unwrap_or_else(|_| ExitStatus::from_raw(9));
                    ended.send_replace(Some(status));
                }
                Err(error) => drop(started.send(Err(error))),
            })
            .context("no thread for a child process")?;
        let pid = starting
            .recv()
            .context("the thread of a child process ended")?
            .with_context(|| format!("{} does not start: is setpriv (util-linux) installed?", self.name))?;
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("a child without a process id")?;
        Ok(Process {
            name: self.name.clone(),
            pid,
            log: log.to_owned(),
            log_from: from,
            stop: self.stop,
            expected: AtomicBool::new(false),
            exit,
            launch: self,
        })
    }
}

/// A child that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    log: PathBuf,
    log_from: u64,
    stop: Signal,
    expected: AtomicBool,
    exit: watch::Receiver<Option<ExitStatus>>,
    launch: Launch,
}

impl Process {
    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How to start it again.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Whether somebody asked for its end.
    pub fn end_expected(&self) -> bool {
        self.expected.load(Ordering::Acquire)
    }

    /// Waits for its end.
    pub async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_else(|| ExitStatus::from_raw(9)),
            // The thread that waits for it is gone, and took it along.
            Err(_) => ExitStatus::from_raw(9),
        }
    }

    /// Sends a signal to its process group; one that has ended is left alone.
    pub fn signal(&self, signal: Signal) {
        self.expected.store(true, Ordering::Release);
        if self.runs() {
            // It may end between the look and the signal, and then there is nothing to do.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Asks it to stop, and kills it when `grace` is over.
    pub async fn stop(&self, grace: Duration) -> ExitStatus {
        self.signal(self.stop);
        match tokio::time::timeout(grace, self.exited()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub async fn kill(&self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.exited().await
    }

    /// Waits until `ready` says so; fails when the child ends before, or at the deadline.
    pub async fn ready_when<F: Future<Output = Result<()>>>(
        &self,
        deadline: Duration,
        mut ready: impl FnMut() -> F,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            let error = tokio::select! {
                status = self.exited() => bail!("{}", self.obituary(status)),
                result = ready() => match result {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
            };
            if started.elapsed() > deadline {
                bail!(
                    "{} is not ready after {} s: {error:#}\n{}",
                    self.name,
                    deadline.as_secs(),
                    self.last_words()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What to tell about its end: name, status, and the log's last lines.
    pub fn obituary(&self, status: ExitStatus) -> String {
        format!("{} ended ({status})\n{}", self.name, self.last_words())
    }

    fn last_words(&self) -> String {
        let lines = log::last_lines(&self.log, self.log_from, LAST_LINES);
        // A child that could not write its log either has no last words about it.
        let full = if lines.contains("No space left on device") || log::disk_is_full(&self.log) {
            "the disk is full; "
        } else {
            ""
        };
        format!("{full}its last lines, from {}:\n{lines}", self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn scratch_log(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("local-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(format!("{name}.log"))
    }

    fn shell(name: &str, script: &str) -> Launch {
        Launch::new(name, "/bin/sh").args(["-c", script])
    }

    #[tokio::test]
    async fn a_child_that_dies_early_is_named_with_its_last_lines() {
        let child = shell("doomed", "echo first; echo the reason; exit 3")
            .start(&scratch_log("doomed"))
            .unwrap();
        let error = child
            .ready_when(Duration::from_secs(20), || async { bail!("not yet") })
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("doomed ended (exit status: 3)"), "{error}");
        assert!(error.contains("the reason"), "{error}");
    }

    #[tokio::test]
    async fn a_child_that_ignores_sigterm_is_killed_after_its_grace() {
        let path = scratch_log("stubborn");
        let child = shell("stubborn", "trap '' TERM; echo up; while :; do sleep 0.05; done")
            .start(&path)
            .unwrap();
        child
            .ready_when(Duration::from_secs(20), || async {
                if log::last_lines(&path, 0, 1).contains("up") {
                    Ok(())
                } else {
                    bail!("not up")
                }
            })
            .await
            .unwrap();
        let status = child.stop(Duration::from_millis(300)).await;
        assert_eq!(status.signal(), Some(9));
        assert!(!child.runs());
    }

    #[tokio::test]
    async fn a_missing_program_says_so() {
        let error = Launch::new("absent", "/nowhere/at-all")
            .run(&scratch_log("absent"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere/at-all"), "{error}");
    }

    #[tokio::test]
    async fn a_full_disk_is_recognised() {
        let error = shell(
            "full",
            "echo 'PANIC: could not write: No space left on device'; exit 1",
        )
        .run(&scratch_log("full"))
        .await
        .unwrap_err()
        .to_string();
        assert!(error.contains("the disk is full"), "{error}");
    }

    #[test]
    fn a_child_dies_with_whoever_started_it() {
        // The thread stands for the launcher: the kernel watches the thread that started the child.
        let starter = std::thread::spawn(|| {
            let mut command = shell("orphan", "echo up; exec sleep 600").command();
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            // Before its first word the child may not have asked for the signal yet.
            let mut word = [0; 2];
            child.stdout.take().unwrap().read_exact(&mut word).unwrap();
            child
        });
        let mut child = starter.join().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9));
    }
}
