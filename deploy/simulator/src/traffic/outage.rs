//! Says once that a service is away, and once that it is back.

use std::sync::atomic::{AtomicBool, Ordering};

use super::exchange::ExchangeError;

#[derive(Debug)]
pub(super) struct Outage {
    service: &'static str,
    announced: AtomicBool,
}

impl Outage {
    pub(super) fn new(service: &'static str) -> Self {
        Self {
            service,
            announced: AtomicBool::new(false),
        }
    }

    pub(super) fn report(&self, error: &ExchangeError) {
        if !error.is_outage() {
            tracing::warn!(%error, "{} refused a request of the demo traffic", self.service);
        } else if !self.announced.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "{} is away; the traffic goes on when it is back", self.service);
        }
    }

    pub(super) fn over(&self) {
        if self.announced.swap(false, Ordering::Relaxed) {
            tracing::info!("{} is back", self.service);
        }
    }
}
