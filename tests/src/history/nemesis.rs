//! Does what the schedule says, and undoes it.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;
use local::backbone::Broker;
use local::process::{Process, Signal};
use local::proxy::Pace;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::schedule::{Child, Harm, Step, Target};
use super::stage::Stage;

/// How long a stop that was asked for may take.
const GRACE: Duration = Duration::from_secs(15);
/// How long a killed server may take to come back.
const BACK_WITHIN: Duration = Duration::from_mins(2);
/// The same for a broker, which may need more than one start.
const BROKER_BACK_WITHIN: Duration = Duration::from_mins(10);
const AGAIN: Duration = Duration::from_millis(300);
/// What the log calls PostgreSQL and the registry.
const POSTGRESQL: &str = "postgresql";
const REGISTRY: &str = "registry";

/// Does all of it; an error is something that could not be undone.
pub async fn harm_all(stage: &Stage, steps: &[Step]) -> Result<()> {
    let began = Instant::now();
    // A broker takes as long to come back as the machine lets it: then the next harm to the cluster is left out.
    let cluster = Mutex::new(());
    let harms = steps.iter().map(async |step| {
        tokio::time::sleep_until(began + step.at).await;
        let turn = (step.harm.target() == Target::Cluster).then(|| cluster.try_lock());
        if let Some(Err(_)) = turn {
            stage
                .timeline
                .note(format!("left out, because a broker is not back: {}", step.harm));
            return Ok(());
        }
        stage
            .timeline
            .note(format!("{}, for {} ms", step.harm, step.lasts.as_millis()));
        let harmed = harm(stage, step.harm, step.lasts).await;
        harmed.with_context(|| format!("undoing: {}", step.harm))?;
        stage.timeline.note(format!("over: {}", step.harm));
        Ok(())
    });
    join_all(harms).await.into_iter().collect()
}

async fn harm(stage: &Stage, harm: Harm, lasts: Duration) -> Result<()> {
    let processes = &stage.run.processes;
    let named = |name: &str| {
        processes
            .get(name)
            .with_context(|| format!("{name} does not run"))
    };
    match harm {
        Harm::Kill(child) => {
            named(&child.to_string())?.kill().await;
            again(stage, child, lasts).await
        }
        Harm::Stop(child) => {
            named(&child.to_string())?.stop(GRACE).await;
            again(stage, child, lasts).await
        }
        Harm::Pause(child) => {
            pause(&*named(&child.to_string())?, lasts).await;
            Ok(())
        }
        Harm::PauseBroker(broker) => {
            let process = named(&broker.to_string())?;
            pause(&process, lasts).await;
            stage.until_joined(&process, broker).await
        }
        Harm::KillBroker(broker) => {
            named(&broker.to_string())?.kill().await;
            tokio::time::sleep(lasts).await;
            restart_broker(stage, broker).await
        }
        Harm::KillDatabase => {
            named(POSTGRESQL)?.kill().await;
            tokio::time::sleep(lasts).await;
            restart_database(stage).await
        }
        Harm::KillRegistry => {
            named(REGISTRY)?.kill().await;
            tokio::time::sleep(lasts).await;
            processes.restart(REGISTRY)?;
            Ok(())
        }
        Harm::Cut(link) => {
            let door = stage.door(link)?;
            door.cut().await;
            tokio::time::sleep(lasts).await;
            door.restore().await.context("opening a door again")
        }
        Harm::Slow(link, by) => {
            pace(stage.door(link)?, Pace::Slow(by), lasts).await;
            Ok(())
        }
        Harm::Stall(link) => {
            pace(stage.door(link)?, Pace::Stalled, lasts).await;
            Ok(())
        }
    }
}

async fn again(stage: &Stage, child: Child, after: Duration) -> Result<()> {
    tokio::time::sleep(after).await;
    stage.start(child).map(drop)
}

async fn pause(process: &Process, lasts: Duration) {
    process.signal(Signal::STOP);
    tokio::time::sleep(lasts).await;
    process.signal(Signal::CONT);
}

async fn pace(door: &local::proxy::Proxy, pace: Pace, lasts: Duration) {
    door.set_pace(pace);
    tokio::time::sleep(lasts).await;
    door.set_pace(Pace::Free);
}

/// A broker that starts on a busy machine ends itself if it cannot register in time. Like a supervisor, starts it again then.
async fn restart_broker(stage: &Stage, broker: Broker) -> Result<()> {
    let began = Instant::now();
    loop {
        let process = stage.run.processes.restart(&broker.to_string())?;
        match stage.until_joined(&process, broker).await {
            Err(_) if !process.runs() && began.elapsed() < BROKER_BACK_WITHIN => {}
            joined => return joined,
        }
    }
}

/// The processes of a killed postmaster outlive it for a moment, and while they do, no other one starts.
async fn restart_database(stage: &Stage) -> Result<()> {
    let began = Instant::now();
    loop {
        let process = stage.run.processes.restart(POSTGRESQL)?;
        let ready = process
            .ready_when(BACK_WITHIN, || async {
                stage.pool(super::stage::WRITERS).await.map(drop)
            })
            .await;
        match ready {
            Ok(()) => return Ok(()),
            Err(error) if began.elapsed() > BACK_WITHIN => return Err(error),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Starts again what ended although nobody asked it to, and answers its last words: a process under test must not.
pub async fn revive(stage: &Stage) -> Result<Vec<String>> {
    let mut ended = Vec::new();
    for child in Child::ALL {
        let Some(process) = stage.run.processes.get(&child.to_string()) else {
            continue;
        };
        if !process.runs() && !process.end_expected() {
            let status = process.exited().await;
            stage.timeline.note(format!("{child} ended by itself"));
            ended.push(process.obituary(status));
            stage.start(child)?;
        }
    }
    Ok(ended)
}
