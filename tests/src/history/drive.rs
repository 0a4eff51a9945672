//! One run from its beginning to its verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use local::process::Signal;
use local::proxy::Pace;

use super::check::{self, Violation};
use super::collect;
use super::heal;
use super::model::{History, Kind};
use super::nemesis;
use super::operator::Operator;
use super::plan::Plan;
use super::schedule::{Child, schedule};
use super::stage::{Demand, Stage};
use super::story;
use super::strays::Strays;

/// How often the operators look while the nemesis is at work.
const ROUND: Duration = Duration::from_secs(7);
/// How many violations are told; the others are counted.
const TOLD: usize = 3;

/// Plays a history and judges it: an error is a broken promise, told small, or a run that could not be judged.
pub async fn run(demand: &Demand) -> Result<()> {
    println!(
        "seed {}; {} s of harm; {} broker(s); in {}",
        demand.seed,
        demand.length.as_secs(),
        demand.brokers,
        demand.folder.display()
    );
    let stage = Stage::build(demand).await?;
    let verdict = play(&stage, demand).await;
    stage.run.stop().await;
    verdict
}

async fn play(stage: &Stage, demand: &Demand) -> Result<()> {
    for child in Child::ALL {
        stage.start(child)?;
    }
    let steps = schedule(demand.seed, demand.length, demand.brokers);
    let mut operators = Kind::BOTH.map(Operator::new);
    let mut strays = Strays::new(stage).await?;
    let mut broken = Vec::new();
    {
        let harm = nemesis::harm_all(stage, &steps);
        tokio::pin!(harm);
        loop {
            tokio::select! {
                harmed = &mut harm => {
                    harmed?;
                    break;
                }
                () = attend(stage, &mut operators, &mut strays) => {}
            }
            broken.extend(nemesis::revive(stage).await?);
        }
    }
    mend(stage)?;
    stage.timeline.note("the nemesis rests");
    broken.extend(heal::until_quiet(stage, &mut operators).await?);
    broken.extend(nemesis::revive(stage).await?);
    let history = collect::history(stage).await?;
    summary(&history, &operators, steps.len());
    judge(&history, broken, demand)
}

/// What the nemesis has undone already, once more: so that nothing that is found later is its fault.
fn mend(stage: &Stage) -> Result<()> {
    for door in stage.doors() {
        door.set_pace(Pace::Free);
    }
    for child in Child::ALL {
        match stage.run.processes.get(&child.to_string()) {
            Some(process) if process.runs() => process.signal(Signal::CONT),
            _ => drop(stage.start(child)?),
        }
    }
    Ok(())
}

async fn attend(stage: &Stage, operators: &mut [Operator; 2], strays: &mut Strays) {
    tokio::time::sleep(ROUND).await;
    strays.send(stage).await;
    for operator in operators {
        // While the nemesis is at work, an operator's command fails as anything does.
        if let Err(error) = operator.attend(stage).await {
            stage.timeline.note(format!("the operator failed: {error:#}"));
        }
    }
}

fn summary(history: &History, operators: &[Operator; 2], harms: usize) {
    let mut plans: BTreeMap<&str, usize> = BTreeMap::new();
    for commit in &history.commits {
        let plan = match Plan::of(history.seed, &commit.key, commit.sequence) {
            Plan::Pass => continue,
            Plan::Retry { .. } => "to be tried again",
            Plan::Dead => "dead",
            Plan::Panic => "panics",
            Plan::Exhaust => "tried until nobody does",
        };
        *plans.entry(plan).or_default() += 1;
    }
    println!(
        "\n{harms} harms; {} events committed, {} rolled back, {} records on the topic",
        history.commits.len(),
        history.rolled_back.len(),
        history.topic.len()
    );
    println!(
        "planned failures: {plans:?}; {} records that are no events",
        history.strays.len()
    );
    for (group, operator) in history.groups.iter().zip(operators) {
        println!(
            "{}: {} applied, {} of them after a retry, {} letters, of which the operator looked after {}",
            group.kind.group(),
            group.applied.len(),
            group.applied.iter().filter(|row| row.attempt > 1).count(),
            group.letters.len(),
            operator.decided
        );
    }
}

fn judge(history: &History, broken: Vec<String>, demand: &Demand) -> Result<()> {
    let violations = check::violations(history);
    if violations.is_empty() && broken.is_empty() {
        println!("every promise was kept");
        return Ok(());
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for violation in &violations {
        *counts.entry(format!("{:?}", violation.kind)).or_default() += 1;
    }
    let told: Vec<&Violation> = violations.iter().take(TOLD).collect();
    let mut report = format!("broken promises, with --seed {}: {counts:?}\n", demand.seed);
    for part in broken
        .into_iter()
        .chain(told.into_iter().map(|violation| story::tell(history, violation)))
    {
        report.push('\n');
        report.push_str(&part);
        report.push('\n');
    }
    bail!("{report}");
}
