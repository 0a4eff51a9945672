//! What the PSP and the bank are given to live on.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::journal::Journal;

#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) journal: Arc<Journal>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// Why the PSP or the bank could not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the state file holds something that this version does not read: {0}")]
    State(#[from] serde_json::Error),
    #[error("no HTTP client for webhooks: {0}")]
    Client(#[from] reqwest::Error),
}
