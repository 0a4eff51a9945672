//! Sending again what is safe to repeat. The only place that knows the crate `backoff`, which is no longer maintained.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use tokio::time::Instant;

use super::Answer;
use super::error::{CallError, NotSent, Unknown};
use super::exchange::{self, is_trouble, retry_after};
use super::request::Request;

/// The first pause; later ones double, up to [`MAX_PAUSE`], each with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(3);

/// Sends until there is an answer that is no sign of trouble, the retries are used up, or the deadline leaves no room.
pub(super) async fn send(request: &Request, deadline: Instant) -> Result<Answer, CallError> {
    let mut pauses = pauses();
    let mut known = exchange::send(request, deadline, 0).await;
    for resend_count in 1..=request.client.settings.max_retries {
        if !is_worth_repeating(&known) {
            break;
        }
        let asked = known
            .as_ref()
            .ok()
            .and_then(|answer| retry_after(&answer.headers));
        let pause = pauses
            .next_backoff()
            .unwrap_or(MAX_PAUSE)
            .max(asked.unwrap_or_default());
        if Instant::now() + pause >= deadline {
            break;
        }
        tokio::time::sleep(pause).await;
        known = after(known, exchange::send(request, deadline, resend_count).await);
    }
    known
}

/// What is known after a further attempt: that one was not sent takes nothing back of what earlier ones may have done.
fn after(earlier: Result<Answer, CallError>, latest: Result<Answer, CallError>) -> Result<Answer, CallError> {
    if matches!(latest, Err(CallError::NotSent(_))) {
        earlier
    } else {
        latest
    }
}

fn is_worth_repeating(outcome: &Result<Answer, CallError>) -> bool {
    match outcome {
        Ok(answer) => is_trouble(answer.status),
        Err(CallError::NotSent(cause)) => matches!(cause, NotSent::Connect(_)),
        Err(CallError::Unknown(cause)) => matches!(cause, Unknown::Connection(_)),
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBackoff {
        current_interval: FIRST_PAUSE,
        initial_interval: FIRST_PAUSE,
        multiplier: 2.0,
        max_interval: MAX_PAUSE,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}
