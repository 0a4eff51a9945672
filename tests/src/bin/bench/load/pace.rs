//! How fast something is done: as fast as it goes, or so often a second whatever it takes.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

/// How fast, how long, and by how many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Per second, all clients together; none for as fast as it goes.
    pub(crate) rate: Option<u32>,
    pub(crate) lasting: Duration,
    pub(crate) clients: u32,
}

/// Runs `work` again and again at this pace, and answers everything that came of it.
///
/// At a rate, what is late is caught up with: a slow moment is measured, and not waited out.
pub(crate) async fn at_pace<T, F, W>(pace: Pace, work: W) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send,
    W: Fn() -> F + Clone + Send + 'static,
{
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..pace.clients {
        let work = work.clone();
        clients.spawn(async move {
            let mut done = Vec::new();
            let mut ticks = pace.rate.map(|rate| ticks(begun, rate, pace.clients, client));
            while begun.elapsed() < pace.lasting {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                done.push(work().await?);
            }
            anyhow::Ok(done)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = clients.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}

/// Each client has an even share of the ticks, and they take turns.
fn ticks(begun: Instant, rate: u32, clients: u32, client: u32) -> tokio::time::Interval {
    let between = Duration::from_secs(1) * clients / rate;
    let first = begun + between * client / clients;
    let mut ticks = tokio::time::interval_at(first.into(), between);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    ticks
}
