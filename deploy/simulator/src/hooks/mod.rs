//! The merchants' ends: whatever is posted to `/hooks/…` is kept as it came, and answered as told.

mod pages;
mod receive;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ring::Ring;

const MAX_REQUESTS: usize = 50_000;
const MAX_TOTAL_BYTES: usize = 256 * 1024 * 1024;
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Receivers with an own rule; tests use a handful.
const MAX_RULES: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// 200
    #[default]
    Normal,
    /// 500
    Fail,
    /// No answer until the mode changes or the client gives up.
    Hang,
    /// 302 to another receiver: a sender that follows it is seen at `redirected`.
    Redirect,
    /// 200 with a body of 16 MiB.
    Large,
}

/// A request as it came, and what was answered.
#[derive(Debug, Clone, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the control API's JSON"
)]
pub(crate) struct Received {
    /// Counts up in arrival order.
    pub(crate) id: u64,
    pub(crate) received_at: jiff::Timestamp,
    pub(crate) method: String,
    /// What follows `/hooks/`.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// Names in lower case; a repeated header's values are joined by a comma.
    pub(crate) headers: BTreeMap<String, String>,
    /// As text; signatures are to be checked over `body_base64`.
    pub(crate) body: String,
    pub(crate) body_base64: String,
    /// The status that was answered; none while, or because, it hung.
    pub(crate) answered: Option<u16>,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hooks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct State {
    received: Ring<Received>,
    next_id: u64,
    general: Rule,
    by_path: BTreeMap<String, Rule>,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Rule {
    mode: Mode,
    /// So many more requests; none: until told.
    remaining: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
#[error("{MAX_RULES} receivers have an own mode already; send POST /control/reset to drop them")]
pub(crate) struct TooManyRules;

impl Hooks {
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        let state = State {
            received: Ring::new(MAX_REQUESTS, MAX_TOTAL_BYTES),
            next_id: 1,
            general: Rule::default(),
            by_path: BTreeMap::new(),
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            shutdown,
        }))
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/", get(pages::list))
            .route(
                "/{*path}",
                post(receive::receive).put(receive::receive).get(pages::receiver),
            )
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self.clone())
    }

    /// Sets how one receiver (or every one that has no own rule) answers, for `count` requests or until told.
    pub(crate) fn set_mode(
        &self,
        path: Option<String>,
        mode: Mode,
        count: Option<u32>,
    ) -> Result<(), TooManyRules> {
        let rule = Rule {
            mode,
            remaining: count,
        };
        let mut state = self.state();
        match path {
            None => state.general = rule,
            Some(path) => {
                if state.by_path.len() >= MAX_RULES && !state.by_path.contains_key(&path) {
                    return Err(TooManyRules);
                }
                state.by_path.insert(path, rule);
            }
        }
        drop(state);
        self.0.changed.send_replace(());
        Ok(())
    }

    pub(crate) fn reset(&self) {
        let mut state = self.state();
        state.general = Rule::default();
        state.by_path.clear();
        drop(state);
        self.0.changed.send_replace(());
    }

    pub(crate) fn clear(&self) {
        self.state().received.clear();
    }

    /// Requests in arrival order that pass `filter`, and how many older ones made room.
    pub(crate) fn received(&self, filter: impl Fn(&Received) -> bool) -> (Vec<Received>, u64) {
        let state = self.state();
        (
            state
                .received
                .iter()
                .filter(|request| filter(request))
                .cloned()
                .collect(),
            state.received.forgotten(),
        )
    }

    pub(crate) fn describe(&self) -> serde_json::Value {
        let state = self.state();
        serde_json::json!({ "general": state.general, "by_path": state.by_path })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The mode for a request to `path`; a counted rule ends with its last request.
    fn take_mode(&mut self, path: &str) -> Mode {
        let rule = self.by_path.get_mut(path).unwrap_or(&mut self.general);
        let mode = rule.mode;
        if let Some(remaining) = rule.remaining.as_mut() {
            *remaining = remaining.saturating_sub(1);
            if *remaining == 0 {
                *rule = Rule::default();
            }
        }
        mode
    }

    /// Like `take_mode`, without using it up.
    fn mode(&self, path: &str) -> Mode {
        self.by_path.get(path).unwrap_or(&self.general).mode
    }
}
