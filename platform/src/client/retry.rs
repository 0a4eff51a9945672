//! Sending again what is safe to repeat.

use std::time::Duration;

use tokio::time::Instant;

use super::Answer;
use super::error::{CallError, NotSent, Unknown};
use super::exchange::{self, is_trouble, retry_after};
use super::request::Request;
use crate::breaker::Permit;
use crate::pauses::Pauses;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Sends until there is an answer that is no sign of trouble, the retries are used up, or the deadline leaves no room.
pub(super) async fn send(request: &Request, permit: Permit, deadline: Instant) -> Result<Answer, CallError> {
    let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut known = exchange::send(request, permit, deadline, 0).await;
    for resend_count in 1..=request.client.settings.max_retries {
        if !is_worth_repeating(&known) {
            break;
        }
        let asked = known
            .as_ref()
            .ok()
            .and_then(|answer| retry_after(&answer.headers));
        let pause = pauses.next().max(asked.unwrap_or_default());
        // An answer that asks for a longer pause than there is time goes to the caller, who can wait.
        if Instant::now() + pause >= deadline {
            break;
        }
        tokio::time::sleep(pause).await;
        let Ok(permit) = exchange::permit(request) else {
            break;
        };
        known = after(
            known,
            exchange::send(request, permit, deadline, resend_count).await,
        );
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
