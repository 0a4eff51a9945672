//! What can be measured, a file each.

pub(crate) mod consume;
pub(crate) mod dead_letters;
pub(crate) mod latency;
pub(crate) mod relay;
pub(crate) mod soak;

use anyhow::Result;

use crate::report::Report;
use crate::stand::Stand;

/// Measures on a stand that is taken down whatever comes of it, also when interrupted.
async fn on_a_stand(measure: impl AsyncFnOnce(&Stand) -> Result<Report>) -> Result<Report> {
    let stand = Stand::start().await?;
    let measured = tokio::select! {
        measured = measure(&stand) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let stopped = stand.stop().await;
    let report = measured?;
    stopped?;
    Ok(report)
}
