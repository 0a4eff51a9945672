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

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn tasks() -> (Tasks, CancellationToken) {
        let shutdown = CancellationToken::new();
        (Tasks::new(shutdown.clone()), shutdown)
    }

    async fn failure_of(task: impl Future<Output = Result<(), String>> + Send + 'static) -> String {
        let (tasks, shutdown) = tasks();
        tasks.spawn("payouts", task);
        tokio::time::timeout(SOON, shutdown.cancelled())
            .await
            .expect("the service goes down with its task");
        tasks.take_failure().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_task_that_ends_too_early_takes_the_service_down_and_is_named() {
        assert_eq!(failure_of(async { Ok(()) }).await, "task payouts ended by itself");
        assert_eq!(
            failure_of(async { Err("no bank".to_owned()) }).await,
            "task payouts failed: no bank"
        );
        assert_eq!(failure_of(async { panic!("bug") }).await, "task payouts panicked");
    }

    #[tokio::test]
    async fn a_task_that_ends_at_shutdown_is_no_failure() {
        let (tasks, shutdown) = tasks();
        let until = shutdown.clone();
        tasks.spawn("payouts", async move {
            until.cancelled().await;
            Ok::<(), String>(())
        });
        shutdown.cancel();
        assert!(tasks.finish(SOON).await);
        assert!(tasks.take_failure().is_none());
    }

    #[tokio::test]
    async fn owned_work_outlives_its_request_and_is_awaited_at_shutdown() {
        let (tasks, shutdown) = tasks();
        let (go, may_go) = tokio::sync::oneshot::channel::<()>();
        drop(tasks.own(may_go));
        shutdown.cancel();
        assert!(
            !tasks.finish(Duration::from_millis(20)).await,
            "it is still under way"
        );
        go.send(()).unwrap();
        assert!(tasks.finish(SOON).await);
    }
}
