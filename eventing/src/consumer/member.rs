use std::sync::Arc;

use futures::future::join_all;
use rdkafka::consumer::StreamConsumer;
use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::assignment::Assignment;
use super::group::{ConsumerGroup, Ordering};
use super::handler::Handler;
use super::lag::Lag;
use super::reader::{self, Fatal, Reader};
use super::rebalance::Context;
use super::runtime::Runtime;
use super::subscription::Subscription;
use super::worker;
use crate::KafkaSettings;
use crate::dead_letters;
use crate::hold::Hold;

/// Is a member of the group until `shutdown`. When Kafka's client fails for good, it joins anew.
pub(crate) async fn run<H: Handler>(
    runtime: Arc<Runtime<H>>,
    kafka: KafkaSettings,
    shutdown: CancellationToken,
) -> Result<(), KafkaError> {
    let mut hold = Hold::new();
    while let Some(Fatal(error)) = join(&runtime, &kafka, &shutdown).await? {
        tracing::error!(group = runtime.group.name, %error, "kafka's client failed; joining the group anew");
        runtime.holds.kafka(Some(error.to_string()));
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = hold.pause() => {}
        }
    }
    Ok(())
}

/// Joins the group with a client for each part of the subscription, and answers why one of them failed, unless it was told to leave.
async fn join<H: Handler>(
    runtime: &Arc<Runtime<H>>,
    kafka: &KafkaSettings,
    shutdown: &CancellationToken,
) -> Result<Option<Fatal>, KafkaError> {
    let group = &runtime.group;
    let subscription = Arc::new(Subscription::new(group, kafka));
    let assignment = Arc::new(Assignment::new(group.max_in_hand()));
    let consumers = connect(group, kafka, &subscription, &assignment)?;

    let mut tasks = JoinSet::new();
    let mut workers = Vec::with_capacity(group.workers);
    for _ in 0..group.workers {
        let (sender, jobs) = unbounded_channel();
        workers.push(sender);
        tasks.spawn(worker::work(Arc::clone(runtime), Arc::clone(&assignment), jobs));
    }
    let stop = CancellationToken::new();
    let lag = Lag {
        consumers: consumers.iter().map(Arc::downgrade).collect(),
        subscription: Arc::clone(&subscription),
        assignment: Arc::clone(&assignment),
        holds: Arc::clone(&runtime.holds),
        metrics: runtime.metrics.clone(),
    };
    tasks.spawn(lag.run(stop.clone()));
    tasks.spawn(look_after(Arc::clone(runtime), stop.clone()));

    let reader = |consumer| Reader {
        consumer,
        subscription: Arc::clone(&subscription),
        assignment: Arc::clone(&assignment),
        workers: workers.clone(),
        registry: runtime.registry.clone(),
        bounds: group.bounds(),
        holds: Arc::clone(&runtime.holds),
        metrics: runtime.metrics.clone(),
        clock: runtime.clock.clone(),
        drain_deadline: group.drain_deadline,
    };
    let readers: Vec<_> = consumers.into_iter().map(reader).collect();
    // The readers alone have the workers' senders, and the workers end with the last of them, after what they are at.
    drop(workers);
    let leave = shutdown.child_token();
    let read = join_all(readers.into_iter().map(|reader| read(reader, leave.clone()))).await;
    stop.cancel();
    if timeout(group.drain_deadline, async {
        while tasks.join_next().await.is_some() {}
    })
    .await
    .is_err()
    {
        tracing::warn!(
            group = group.name,
            "giving up work that does not end; its records will be read again"
        );
        tasks.shutdown().await;
    }
    Ok(read.into_iter().flatten().next())
}

/// A client for each part of the subscription.
fn connect(
    group: &ConsumerGroup,
    kafka: &KafkaSettings,
    subscription: &Arc<Subscription>,
    assignment: &Arc<Assignment>,
) -> Result<Vec<Arc<StreamConsumer<Context>>>, KafkaError> {
    let connect = |part| {
        let context = Context {
            subscription: Arc::clone(subscription),
            part,
            assignment: Arc::clone(assignment),
            drain_deadline: group.drain_deadline,
        };
        reader::connect(group, kafka, context).map(Arc::new)
    };
    subscription.parts().into_iter().map(connect).collect()
}

/// Runs a reader on a thread of its own. All readers that are stopped alike end with the first one of them, and when this future
/// is dropped.
async fn read(reader: Reader, stop: CancellationToken) -> Option<Fatal> {
    let _stop_when_dropped = stop.clone().drop_guard();
    let runtime = Handle::current();
    match tokio::task::spawn_blocking(move || runtime.block_on(reader.run(stop))).await {
        Ok(read) => read.err(),
        Err(error) => Some(Fatal(KafkaError::ConsumerQueueClose(
            rdkafka::types::RDKafkaErrorCode::Fail,
        )))
        .inspect(|_| tracing::error!(%error, "the reader's thread failed")),
    }
}

/// What a member does beside its records.
async fn look_after<H: Handler>(runtime: Arc<Runtime<H>>, stop: CancellationToken) {
    let drain = async {
        if runtime.group.ordering == Ordering::PerKey {
            runtime.drain_periodically(&stop).await;
        }
    };
    let resources = runtime.resources();
    tokio::join!(
        drain,
        runtime.write_requested_letters(&stop),
        runtime.watch_breakers(&stop),
        runtime.watch_blocks(&stop),
        dead_letters::serve(&runtime.group, &resources, &stop)
    );
}
