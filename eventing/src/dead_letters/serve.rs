//! What a serving replica does about dead letters beside its records: it keeps the index, and does jobs.

use std::time::Duration;

use opentelemetry::{KeyValue, global};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::index::Reading;
use super::work::Worker;
use super::{Error, lists, replicas};
use crate::consumer::{ConsumerGroup, Resources};
use crate::hold::Hold;

/// How often it is looked for jobs, and whether this replica keeps the index.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often a replica says that it is there.
const BEAT: Duration = Duration::from_secs(2);

/// How often letters are counted for the gauge.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);

/// Serves until it is told to stop. What fails is tried again.
pub(crate) async fn serve(group: &ConsumerGroup, resources: &Resources, stop: &CancellationToken) {
    let owner = owner();
    let replica = Replica {
        group,
        resources,
        owner: &owner,
    };
    let serving = async {
        tokio::join!(
            replica.beat(),
            replica.keep_index(),
            replica.do_jobs(stop),
            replica.count()
        )
    };
    tokio::select! {
        _ = serving => {}
        () = stop.cancelled() => {}
    }
    // Another replica's turn comes at once; should it not be told, it notices soon.
    let _ = replicas::left(&resources.pool, &group.name, &owner).await;
}

/// A name that no other process has, and that says where it runs.
pub(crate) fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let unique = Uuid::new_v4().simple().to_string();
    let unique = unique.get(..8).unwrap_or_default();
    format!("{}-{}-{unique}", host.trim(), std::process::id())
}

struct Replica<'a> {
    group: &'a ConsumerGroup,
    resources: &'a Resources,
    owner: &'a str,
}

impl Replica<'_> {
    async fn beat(&self) {
        loop {
            let (pool, version) = (&self.resources.pool, &self.group.version);
            if let Err(error) = replicas::seen(pool, &self.group.name, self.owner, version).await {
                tracing::debug!(group = self.group.name, %error, "cannot say that this replica is there");
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn do_jobs(&self, stop: &CancellationToken) {
        let worker = Worker {
            group: self.group,
            resources: self.resources,
            owner: self.owner,
        };
        loop {
            match worker.work(None, stop).await {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(INTERVAL).await,
                Err(error) => {
                    tracing::debug!(group = self.group.name, %error, "cannot look for jobs on dead letters");
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        }
    }

    /// Follows the topic while this is the replica that does.
    async fn keep_index(&self) {
        let mut hold = Hold::new();
        loop {
            match self.follow().await {
                Ok(()) => {
                    hold.reset();
                    tokio::time::sleep(INTERVAL).await;
                }
                Err(error) => {
                    tracing::debug!(group = self.group.name, %error, "the index of dead letters cannot be kept");
                    hold.pause().await;
                }
            }
        }
    }

    async fn follow(&self) -> Result<(), Error> {
        if !self.is_first().await? {
            return Ok(());
        }
        let mut reading = Reading::follow(self.group, self.resources).await?;
        loop {
            tokio::select! {
                ready = reading.ready() => if !ready? || !reading.extend().await? {
                    return Ok(());
                },
                () = tokio::time::sleep(BEAT) => if !self.is_first().await? {
                    return Ok(());
                },
            }
        }
    }

    /// Two may believe it for a moment, which does no harm.
    async fn is_first(&self) -> Result<bool, Error> {
        let mut connection = self.resources.pool.acquire().await?;
        let replicas = replicas::list(&mut connection, &self.group.name).await?;
        Ok(replicas
            .first()
            .is_none_or(|first| first.owner.as_str() >= self.owner))
    }

    async fn count(&self) {
        let open = global::meter("eventing")
            .u64_gauge("eventing_dead_letters_open")
            .with_description("Dead letters to which nothing was done yet")
            .build();
        let labels = [KeyValue::new("group", self.group.name.clone())];
        loop {
            if let Ok(letters) = lists::open(&self.resources.pool, &self.group.name).await {
                open.record(letters, &labels);
            }
            tokio::time::sleep(COUNT_INTERVAL).await;
        }
    }
}
