//! How a long-running part is doing.

use tokio::sync::watch;

/// How a relay or a consumer is doing. It publishes this through a [`watch::Receiver`]; `platform` shows it as health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It works, or stands by for a replica that does.
    #[default]
    Up,
    /// It holds and tries again, or goes on with less than all; nothing is lost. The reason is for an operator.
    Degraded(String),
    /// It has stopped and does not come back by itself.
    Down(String),
}

impl Condition {
    /// Publishes `self`, and wakes the watchers only when it differs from what they saw last.
    pub(crate) fn publish(self, to: &watch::Sender<Condition>) {
        to.send_if_modified(|current| {
            let changed = *current != self;
            *current = self;
            changed
        });
    }
}
