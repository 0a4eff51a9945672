//! The part of a request's body that nobody has read when the answer is known.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;

/// Of a longer rest no more is read than this.
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;
/// A client that takes longer to send the rest is not waited for.
const DISCARD_WITHIN: Duration = Duration::from_secs(5);

/// Reads what is left of the body and throws it away, within bounds, before the answer goes out.
///
/// A server that answers and closes while the client still sends resets the connection, and the client's system may then
/// throw the answer away unread (RFC 9112, section 9.6): a merchant would see a broken connection and never learn why.
pub(super) async fn discard(request: Request, next: Next) -> Response {
    // Such a client sends nothing before it is asked to, and it is asked when somebody starts to read.
    let waits_to_be_asked = request.headers().contains_key(header::EXPECT);
    let (give_back, mut returned) = oneshot::channel();
    let request = request.map(|body| {
        Body::new(Lent {
            body,
            is_begun: false,
            give_back: Some(give_back),
        })
    });
    let answer = next.run(request).await;
    // Whom the deadline has passed for is not waited for any longer.
    let is_late = answer.status() == StatusCode::GATEWAY_TIMEOUT;
    if let Ok(Returned { body, is_begun }) = returned.try_recv()
        && (is_begun || !waits_to_be_asked)
        && !is_late
    {
        // Whoever sends on beyond the bounds loses the connection.
        let _ = tokio::time::timeout(DISCARD_WITHIN, read_away(body)).await;
    }
    answer
}

async fn read_away(mut body: Body) {
    let mut left = DISCARDED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(read) else {
            return;
        };
        left = rest;
    }
}

struct Returned {
    body: Body,
    is_begun: bool,
}

/// A body that goes back when its reader lets go of it.
struct Lent {
    body: Body,
    is_begun: bool,
    give_back: Option<oneshot::Sender<Returned>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_begun = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            let returned = Returned {
                body: std::mem::take(&mut self.body),
                is_begun: self.is_begun,
            };
            // Nobody waits for it when the connection is gone.
            let _ = give_back.send(returned);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::super::server::{Bounds, Listener, run};
    use super::*;
    use crate::config::Limits;

    /// More than the sockets of both sides hold.
    const LONG: usize = 15 * 1024 * 1024;

    /// A server whose `/read` reads the body and whose `/refused` does not.
    async fn server(body_bytes: usize) -> (std::net::SocketAddr, JoinSet<()>) {
        let routes = Router::new()
            .route("/read", post(async |body: Bytes| body.len().to_string()))
            .route("/refused", post(async || "no"));
        let limits = Limits {
            body_bytes,
            concurrency: 8,
            timeout_ms: 60_000,
        };
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.address();
        let bounds = Bounds::draining_within(Duration::from_secs(1));
        let mut running = JoinSet::new();
        let routes = super::super::guard(routes, limits);
        running.spawn(run(listener, routes, CancellationToken::new(), bounds));
        (address, running)
    }

    async fn status(stream: &mut TcpStream) -> String {
        let mut line = vec![0; 12];
        stream.read_exact(&mut line).await.unwrap();
        String::from_utf8(line).unwrap()
    }

    #[tokio::test]
    async fn a_client_that_sends_its_whole_body_first_gets_the_answer() {
        let announced = |path| format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {LONG}\r\n\r\n");
        let chunked =
            format!("POST /read HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n{LONG:x}\r\n");
        for (body_bytes, head, end, expected) in [
            (1000, announced("/read"), "", "HTTP/1.1 413"),
            (1000, chunked, "\r\n0\r\n\r\n", "HTTP/1.1 413"),
            (LONG, announced("/refused"), "", "HTTP/1.1 200"),
        ] {
            let (address, _running) = server(body_bytes).await;
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b'x'; LONG]).await.expect(&head);
            stream.write_all(end.as_bytes()).await.unwrap();
            assert_eq!(status(&mut stream).await, expected, "{head}");
        }
    }

    #[tokio::test]
    async fn a_client_that_asks_first_is_answered_without_its_body() {
        let (address, _running) = server(1000).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: {LONG}\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(status(&mut stream).await, "HTTP/1.1 413");
    }

    #[tokio::test]
    async fn a_client_that_sends_without_end_loses_its_connection() {
        let (address, _running) = server(1000).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999999\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; DISCARDED_BYTES];
        while stream.write_all(&piece).await.is_ok() {}
    }
}
