use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::assignment::{Assignment, Job};
use super::handler::Handler;
use super::runtime::Runtime;

/// Works on the records of its keys, one after the other. How many may wait for it is bounded where they are read.
pub(crate) async fn work<H: Handler>(
    runtime: Arc<Runtime<H>>,
    assignment: Arc<Assignment>,
    mut jobs: UnboundedReceiver<Job>,
) {
    while let Some(job) = jobs.recv().await {
        let Some(mut begun) = Begun::new(&assignment, &job) else {
            continue;
        };
        begun.completed = runtime.process(&job.record, &job.stop).await.is_ok();
    }
}

/// A job in work. Dropping it says so, also when the worker is aborted in the middle.
struct Begun<'a> {
    assignment: &'a Assignment,
    job: &'a Job,
    completed: bool,
}

impl<'a> Begun<'a> {
    fn new(assignment: &'a Assignment, job: &'a Job) -> Option<Self> {
        assignment.begin(job).then(|| Self {
            assignment,
            job,
            completed: false,
        })
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.assignment.finish(self.job, self.completed);
    }
}
