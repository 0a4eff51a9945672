//! Owned tasks: whatever runs beside the requests is named, awaited at shutdown, and missed when it ends too early.

use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The tasks of a running service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    failure: Arc<Mutex<Option<TaskFailure>>>,
}

/// A task that must run as long as the service ended before it.
#[derive(Debug, thiserror::Error)]
#[error("task {name} {how}")]
pub struct TaskFailure {
    name: &'static str,
    how: String,
}

impl Tasks {
    /// No tasks yet; the first one that fails cancels `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            shutdown,
            failure: Arc::default(),
        }
    }

    /// Runs a task for as long as the service. If it ends, fails or panics before shutdown, it takes the service down: half
    /// a service is worse than a restart.
    pub fn spawn<E>(&self, name: &'static str, task: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let tasks = self.clone();
        let supervised = async move {
            let how = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) if tasks.shutdown.is_cancelled() => return,
                Ok(Ok(())) => "ended by itself".to_owned(),
                Ok(Err(error)) => format!("failed: {}", crate::problem::Chain(&*error.into())),
                Err(_) => "panicked".to_owned(),
            };
            tasks.fail(TaskFailure { name, how });
        };
        self.tracker
            .spawn(supervised.instrument(tracing::info_span!(parent: None, "task", task = name)));
    }

    /// Runs something short that must not end with the request that started it. It is awaited at shutdown, within the bound.
    pub fn own<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tracker.spawn(work.in_current_span())
    }

    /// Waits for all tasks, at most for `bound`; tells whether they all ended.
    pub(crate) async fn finish(&self, bound: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(bound, self.tracker.wait()).await.is_ok()
    }

    /// The first failure, once.
    pub(crate) fn take_failure(&self) -> Option<TaskFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, failure: TaskFailure) {
        tracing::error!("{failure}");
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(failure);
        self.shutdown.cancel();
    }
}
