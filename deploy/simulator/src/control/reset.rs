//! `POST /control/reset`: everybody behaves again.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::order::Order;
use super::{World, done};
use crate::courier::{Mode as WebhookMode, ReleaseOrder};
use crate::mail::Mode as MailMode;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reset {
    /// Also empties the mailbox.
    #[serde(default)]
    mail: bool,
    /// Also forgets the received webhooks.
    #[serde(default)]
    hooks: bool,
}

/// Held webhooks are sent. Books stay: what was charged was charged.
pub(super) async fn reset(State(world): State<World>, Order(reset): Order<Reset>) -> Response {
    world.psp.behaviours().reset();
    world.bank.behaviours().reset();
    for courier in [world.psp.courier(), world.bank.courier()] {
        courier.set_mode(WebhookMode::Normal, Duration::ZERO);
        courier.release(ReleaseOrder::Kept);
    }
    world.mailbox.set_mode(MailMode::Normal, None);
    world.hooks.reset();
    if reset.mail {
        world.mailbox.clear();
    }
    if reset.hooks {
        world.hooks.clear();
    }
    done()
}
