//! The task of one lane: step by step until the lane is empty or the simulator stops.

use super::state::Step;
use super::{Courier, Parcel};
use crate::{clock, signature};

pub(super) async fn run(courier: Courier, key: String) {
    let mut mode_changed = courier.0.mode_changed.subscribe();
    loop {
        mode_changed.borrow_and_update();
        let step = courier.state().step(&key, clock::unix_millis());
        let work = async {
            match step {
                Step::Finished => return true,
                Step::Wait(pause) => {
                    let _ = tokio::time::timeout(pause, mode_changed.changed()).await;
                }
                Step::WaitForMode => {
                    let _ = mode_changed.changed().await;
                }
                Step::Attempt(parcel) => attempt(&courier, &parcel).await,
            }
            false
        };
        tokio::select! {
            finished = work => if finished { return },
            () = courier.0.shutdown.cancelled() => return,
        }
    }
}

async fn attempt(courier: &Courier, parcel: &Parcel) {
    let accepted = {
        // The semaphore is never closed.
        let _permit = courier.0.in_flight.acquire().await;
        post(courier, parcel).await
    };
    let done = courier
        .state()
        .attempted(&parcel.key, &parcel.id, accepted, clock::unix_millis());
    if done {
        courier
            .0
            .journal
            .forget(courier.0.livery.journal_kind, &parcel.id);
    }
    courier.0.delivered.send_replace(());
}

async fn post(courier: &Courier, parcel: &Parcel) -> bool {
    let target = courier.state().target.clone();
    let Some(url) = target.url else { return false };
    let signature = signature::webhook_header(&target.secrets, clock::unix_seconds(), parcel.body.as_bytes());
    let answer = courier
        .0
        .client
        .post(url)
        .header("content-type", "application/json; charset=utf-8")
        .header("user-agent", courier.0.livery.user_agent)
        .header(courier.0.livery.signature_header, signature)
        .body(parcel.body.clone())
        .send()
        .await;
    match answer {
        Ok(answer) if answer.status().is_success() => true,
        Ok(answer) => {
            tracing::debug!(
                id = parcel.id,
                status = answer.status().as_u16(),
                "a webhook was refused"
            );
            false
        }
        Err(error) => {
            tracing::debug!(id = parcel.id, %error, "a webhook did not arrive");
            false
        }
    }
}
