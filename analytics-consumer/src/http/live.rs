//! `GET /api/v1/live?ticket=…`: the dashboard's numbers, sent anew whenever an event has arrived.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use platform::http::Query;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::credentials::{check_origin, hash};
use super::payment_events::{self, PaymentEvent};
use super::{App, stats};
use crate::domain::scope::Scope;
use crate::error::Error;
use crate::store;

/// How many of the newest events a snapshot carries.
const NEWEST: i64 = 15;

/// Keeps proxies from closing an idle socket, and finds dead ones.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A client says nothing but close and pong, so a longer frame is none of ours.
const MAX_FRAME_BYTES: usize = 1_024;

/// The ticket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    ticket: String,
}

/// What the dashboard shows.
#[derive(Serialize)]
pub(crate) struct Snapshot {
    /// The last hour by minute.
    pub(crate) stats: stats::Answer,
    /// The newest events.
    pub(crate) newest: Vec<PaymentEvent>,
}

impl Snapshot {
    pub(crate) async fn of(app: &App, scope: Scope) -> Result<Self, Error> {
        Ok(Self {
            stats: stats::last_hour(app, scope).await?,
            newest: payment_events::newest(app, scope, NEWEST).await?,
        })
    }
}

/// Opens the socket. Pages of others are refused before the ticket is spent.
pub(crate) async fn open(
    State(app): State<App>,
    Query(asked): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Error> {
    check_origin(&headers, &app.dashboard)?;
    let permit = app
        .live
        .sockets
        .clone()
        .try_acquire_owned()
        .map_err(|_| Error::TooManySockets)?;
    let scope = store::tokens::take_ticket(&app.pool, &hash(&asked.ticket), app.clock.now()).await?;
    let scope = scope.ok_or(Error::Ticket)?;
    let upgrade = upgrade
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES);
    Ok(upgrade.on_upgrade(move |socket| feed(app, scope, socket, permit)))
}

/// Sends snapshots until either side closes. A snapshot that cannot be read now is sent with the next news.
async fn feed(app: App, scope: Scope, mut socket: WebSocket, _permit: OwnedSemaphorePermit) {
    let mut news = app.live.subscribe();
    news.mark_changed();
    let mut ping = tokio::time::interval(PING_EVERY);
    loop {
        let message = tokio::select! {
            () = app.shutdown.cancelled() => break,
            changed = news.changed() => match changed {
                Ok(()) => match snapshot(&app, scope).await {
                    Some(text) => Message::text(text),
                    None => continue,
                },
                Err(_) => break,
            },
            _ = ping.tick() => Message::Ping(axum::body::Bytes::new()),
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
    // The client reconnects with a new ticket, to a replica that lives.
    let _ = socket.send(Message::Close(None)).await;
}

async fn snapshot(app: &App, scope: Scope) -> Option<String> {
    match Snapshot::of(app, scope).await {
        Ok(snapshot) => serde_json::to_string(&snapshot).ok(),
        Err(error) => {
            tracing::warn!(%error, "the live dashboard could not be refreshed");
            None
        }
    }
}
