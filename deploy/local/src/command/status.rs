//! `status`: what runs, and how it is.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use futures::future::join_all;
use serde_json::Value;

use crate::http::Http;
use crate::run::{Entry, Record};
use crate::state::State;

/// What `status` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder it runs in.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Arguments {
    /// Fails when something is not as it should be, so that scripts can ask.
    pub(super) async fn run(self) -> Result<ExitCode> {
        let state = State::at(&self.state.unwrap_or_else(crate::default_state))?;
        let Some(launcher) = state.holder() else {
            println!("Nothing runs in {}.", state.path().display());
            return Ok(ExitCode::FAILURE);
        };
        let Ok(record) = Record::read(&state) else {
            println!("Process {launcher} is starting in {}.", state.path().display());
            return Ok(ExitCode::FAILURE);
        };
        let http = Http::new()?;
        let conditions = join_all(record.processes.iter().map(|entry| condition(&http, entry))).await;
        println!(
            "In {}, kept running by process {launcher}:\n",
            state.path().display()
        );
        for (entry, condition) in record.processes.iter().zip(&conditions) {
            let url = entry.url.as_deref().unwrap_or_default();
            println!("  {:<20} {:>8}  {url:<42} {condition}", entry.name, entry.pid);
        }
        let well = conditions
            .iter()
            .all(|condition| WELL.contains(&condition.as_str()));
        Ok(if record.ready && well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

const WELL: [&str; 2] = ["up", "runs"];

/// `up`, `runs` for what has no health of its own, or what is wrong.
async fn condition(http: &Http, entry: &Entry) -> String {
    let Some(url) = &entry.health else {
        let running = std::path::Path::new(&format!("/proc/{}", entry.pid)).exists();
        return if running { "runs" } else { "ended" }.to_owned();
    };
    match http.get(url).send().await {
        Err(_) => "does not answer".to_owned(),
        Ok(answer) => {
            let succeeded = answer.status().is_success();
            let report = answer.json::<Value>().await.unwrap_or_default();
            match report.get("status").and_then(Value::as_str) {
                Some(status @ ("degraded" | "down")) => format!("{status}{}", reasons(&report)),
                _ if succeeded => "up".to_owned(),
                _ => "not ready".to_owned(),
            }
        }
    }
}

fn reasons(report: &Value) -> String {
    let components = report.get("components").and_then(Value::as_object);
    components
        .into_iter()
        .flatten()
        .filter_map(|(name, component)| {
            let reason = component.get("reason")?.as_str()?;
            Some(format!("; {name}: {reason}"))
        })
        .collect()
}
