//! What follows from how work on a record went, while breakers may open and close.

use tokio_util::sync::CancellationToken;

use super::{Admission, INTERVAL, Judged, rows};
use crate::consumer::envelope::{Envelope, Verdict};
use crate::consumer::failure::{Failure, Kind};
use crate::consumer::handler::Handler;
use crate::consumer::holds::Stopped;
use crate::consumer::record::Record;
use crate::consumer::runtime::{End, Runtime, Settled};

impl<H: Handler> Runtime<H> {
    /// Keeps up with what other members open and close, until it is told to stop.
    pub(crate) async fn watch_breakers(&self, stop: &CancellationToken) {
        while self.held(stop, || self.breakers.refresh()).await.is_ok() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Decides about a record that was worked on: it has ended, was sent on, or is held.
    pub(crate) async fn judge(
        &self,
        record: &Record,
        envelope: &Envelope,
        admission: Admission,
        settled: Result<Settled, Failure>,
        stop: &CancellationToken,
    ) -> Result<Judged, Stopped> {
        match settled {
            Ok(settled) => {
                self.judge_settled(record, admission, settled, stop).await?;
                Ok(Judged::Ended(End::Settled(settled)))
            }
            Err(failure) => {
                self.judge_failed(record, envelope, admission, &failure, stop)
                    .await
            }
        }
    }

    async fn judge_settled(
        &self,
        record: &Record,
        admission: Admission,
        settled: Settled,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let applied = matches!(settled, Settled::Applied { .. });
        if applied {
            self.breakers.applied(record);
        }
        let Admission::Probe(probe) = admission else {
            return Ok(());
        };
        let (breakers, probe) = (&self.breakers, &probe);
        self.held(stop, || async move {
            if applied {
                return breakers.close(record.event_type()).await;
            }
            rows::release(&breakers.pool, &breakers.group, probe).await?;
            breakers.refresh().await
        })
        .await
    }

    async fn judge_failed(
        &self,
        record: &Record,
        envelope: &Envelope,
        admission: Admission,
        failure: &Failure,
        stop: &CancellationToken,
    ) -> Result<Judged, Stopped> {
        let may_go_right = failure.kind() == Kind::Retry;
        if let Admission::Probe(probe) = admission {
            let (breakers, probe) = (&self.breakers, &probe);
            let (first, longest) = (breakers.settings.first_pause, breakers.settings.longest_pause);
            self.held(stop, || async move {
                rows::postpone(&breakers.pool, &breakers.group, probe, first, longest).await
            })
            .await?;
            if may_go_right {
                self.fail_again(record, envelope, failure, stop).await?;
                return Ok(Judged::Ended(End::SentOn));
            }
        } else if may_go_right {
            let verdict = &Verdict::new(failure, self.clock.now());
            if let Some(event_types) = &self.breakers.to_hold(record, envelope, verdict) {
                self.held(stop, || self.breakers.open(event_types, verdict))
                    .await?;
                return Ok(Judged::Held);
            }
        }
        self.fail(record, envelope, failure, stop).await?;
        Ok(Judged::Ended(End::SentOn))
    }
}
