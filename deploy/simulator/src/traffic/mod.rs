//! Demo traffic.
use clap::Args;
use tokio_util::sync::CancellationToken;

/// Settings.
#[derive(Debug, Clone, Args)]
pub struct TrafficSettings {}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {}

/// Runs.
pub async fn run(_settings: TrafficSettings, stop: CancellationToken) -> Result<(), TrafficError> {
    stop.cancelled().await;
    Ok(())
}
