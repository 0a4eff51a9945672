//! Listens for mail; while the mode is `down` nobody listens, and who connects is refused by the operating system.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Mailbox, Mode, session};

/// A mail client opens a handful; more than this is a mistake worth refusing.
const MAX_SESSIONS: usize = 200;
const REBIND_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`; sessions are owned by `tasks`.
pub(crate) async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    mailbox: Mailbox,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    let sessions = TaskTracker::new();
    let mut mode = mailbox.watch_mode();
    let mut listening = Some(listener);
    while !shutdown.is_cancelled() {
        if *mode.borrow_and_update() == Mode::Down {
            drop(listening.take());
            tokio::select! {
                _ = mode.changed() => {}
                () = shutdown.cancelled() => {}
            }
            continue;
        }
        match listening.take() {
            None => match TcpListener::bind(address).await {
                Ok(listener) => listening = Some(listener),
                Err(error) => {
                    tracing::warn!(%address, %error, "the mail port cannot be taken again yet");
                    tokio::time::sleep(REBIND_PAUSE).await;
                }
            },
            Some(listener) => {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((stream, _)) = accepted
                        && sessions.len() < MAX_SESSIONS
                    {
                        let session = session::run(stream, mailbox.clone(), shutdown.clone());
                        tasks.spawn(sessions.track_future(session));
                    },
                    _ = mode.changed() => {}
                    () = shutdown.cancelled() => {}
                }
                listening = Some(listener);
            }
        }
    }
}
