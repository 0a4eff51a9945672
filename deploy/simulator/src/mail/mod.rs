//! A mail server that keeps what it receives: SMTP on one side, pages and JSON on the other.
//!
//! Messages are kept in arrival order, duplicates too: whoever sends a notice twice is seen doing it.

mod message;
mod pages;
mod reply;
mod server;
mod session;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use self::message::Message;
pub(crate) use self::server::serve;
use crate::ring::Ring;

const MAX_MESSAGES: usize = 50_000;
const MAX_TOTAL_BYTES: usize = 256 * 1024 * 1024;

/// How the server treats who wants to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Normal,
    /// Every recipient is refused for good (550).
    Reject,
    /// Every recipient is refused for now (451).
    Defer,
    /// The message is kept, but the connection closed instead of the 250: the sender cannot know.
    DropAnswer,
    /// Nobody listens: connections are refused.
    Down,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    mode: watch::Sender<Mode>,
}

#[derive(Debug)]
struct State {
    messages: Ring<Message>,
    next_id: u64,
    /// So many more refusals or losses until the mode is normal again; `None`: until told.
    remaining: Option<u32>,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        let messages = Ring::new(MAX_MESSAGES, MAX_TOTAL_BYTES);
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                messages,
                next_id: 1,
                remaining: None,
            }),
            mode: watch::Sender::new(Mode::Normal),
        }))
    }

    pub(crate) fn routes(&self) -> Router {
        pages::routes().with_state(self.clone())
    }

    /// Sets how deliveries are treated, for the next `count` of them or until told otherwise.
    pub(crate) fn set_mode(&self, mode: Mode, count: Option<u32>) {
        self.state().remaining = count;
        self.0.mode.send_replace(mode);
    }

    pub(crate) fn mode(&self) -> Mode {
        *self.0.mode.borrow()
    }

    pub(crate) fn clear(&self) {
        self.state().messages.clear();
    }

    /// Messages in arrival order that pass `filter`, and how many older ones made room.
    pub(crate) fn messages(&self, filter: impl Fn(&Message) -> bool) -> (Vec<Message>, u64) {
        let state = self.state();
        (
            state
                .messages
                .iter()
                .filter(|message| filter(message))
                .cloned()
                .collect(),
            state.messages.forgotten(),
        )
    }

    /// One delivery was met with `mode`; a counted mode ends with its last one.
    fn used(&self, mode: Mode) {
        let mut state = self.state();
        let Some(remaining) = state.remaining.as_mut() else {
            return;
        };
        *remaining = remaining.saturating_sub(1);
        if *remaining == 0 && self.mode() == mode {
            state.remaining = None;
            self.0.mode.send_replace(Mode::Normal);
        }
    }

    fn keep(&self, from: &str, to: &[String], raw: &[u8]) {
        let mut state = self.state();
        let message = Message::parse(state.next_id, from, to, raw);
        state.next_id += 1;
        let size = raw.len().saturating_mul(2);
        state.messages.push(message, size);
    }

    fn watch_mode(&self) -> watch::Receiver<Mode> {
        self.0.mode.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
