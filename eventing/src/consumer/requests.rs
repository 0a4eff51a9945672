use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::envelope::Envelope;
use super::failure::Failure;
use super::handler::Handler;
use super::holds::Stopped;
use super::record::{Headers, Place, Record};
use super::runtime::Runtime;
use crate::dead_letters::{Request, remove_request, take_requests, topic};

/// How often it is looked for letters that were asked for.
const INTERVAL: Duration = Duration::from_secs(1);

impl<H: Handler> Runtime<H> {
    /// Writes the dead letters that handlers asked for after their event had been applied, until it is told to stop.
    pub(crate) async fn write_requested_letters(&self, stop: &CancellationToken) {
        while self.write_requested(stop).await.is_ok() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn write_requested(&self, stop: &CancellationToken) -> Result<(), Stopped> {
        let group = &self.group.name;
        for request in self
            .held(stop, || async move { take_requests(&self.pool, group).await })
            .await?
        {
            let record = self.requested(&request, stop).await?;
            let failure = Failure::recorded(request.class, request.message);
            let envelope = Envelope {
                request: Some(request.id),
                ..Envelope::first(&record)
            };
            self.fail(&record, &envelope, &failure, stop).await?;
            self.held(
                stop,
                || async move { remove_request(&self.pool, request.id).await },
            )
            .await?;
        }
        Ok(())
    }

    /// The record that a request is about. Should it be gone, the letter still says where it was.
    async fn requested(&self, request: &Request, stop: &CancellationToken) -> Result<Record, Stopped> {
        let source = &request.source;
        let mut hold = self.holds.step(stop);
        loop {
            match topic::record(
                self.publisher.kafka(),
                &source.topic,
                source.partition,
                source.offset,
            )
            .await
            {
                Ok(Some(record)) => return Ok(record),
                Ok(None) => return Ok(self.missing(request)),
                Err(error) => {
                    hold.wait(&format!("a record cannot be read again: {error}"))
                        .await?;
                }
            }
        }
    }

    fn missing(&self, Request { source, .. }: &Request) -> Record {
        Record {
            place: Place {
                topic: source.topic.clone().into(),
                partition: source.partition,
                offset: source.offset,
            },
            tier: 0,
            parked: false,
            recorded_at: self.clock.now(),
            key: None,
            payload: None,
            headers: Headers::default(),
        }
    }
}
