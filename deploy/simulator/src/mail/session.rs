//! One SMTP conversation (RFC 5321), without authentication or TLS: it listens on loopback.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{Mailbox, Mode, reply};

pub(super) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
const MAX_RECIPIENTS: usize = 100;
/// RFC 5321 asks for 512 bytes of command and 1,000 of text; long header lines are common all the same.
const MAX_LINE_BYTES: u64 = 16 * 1024;
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Why a conversation ends before QUIT.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the client hung up, or was silent for too long")]
    Gone,
    #[error("the mail server was told to break off")]
    BrokenOff,
}

struct Session {
    stream: BufReader<TcpStream>,
    mailbox: Mailbox,
    from: Option<String>,
    to: Vec<String>,
}

/// What the client's line leads to.
enum Next {
    Reply(&'static str),
    Receive,
    Quit,
}

pub(super) async fn run(stream: TcpStream, mailbox: Mailbox, shutdown: CancellationToken) {
    let mut mode = mailbox.watch_mode();
    let mut session = Session {
        stream: BufReader::new(stream),
        mailbox,
        from: None,
        to: Vec::new(),
    };
    let ended = tokio::select! {
        ended = session.converse() => ended,
        // A server that goes down takes its conversations with it.
        _ = mode.wait_for(|mode| *mode == Mode::Down) => Err(Ended::BrokenOff),
        () = shutdown.cancelled() => Err(Ended::BrokenOff),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an SMTP conversation ended early");
    }
}

impl Session {
    async fn converse(&mut self) -> Result<(), Ended> {
        self.say(reply::GREETING).await?;
        loop {
            let Some(line) = self.line().await? else {
                self.say(reply::LINE_TOO_LONG).await?;
                continue;
            };
            let command = String::from_utf8_lossy(&line).trim().to_owned();
            match self.understand(&command) {
                Next::Reply(text) => self.say(text).await?,
                Next::Receive => self.receive().await?,
                Next::Quit => return self.say(reply::BYE).await,
            }
        }
    }

    fn understand(&mut self, command: &str) -> Next {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                self.forget();
                Next::Reply(
                    "250-simulator\r\n250-SIZE 1048576\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n",
                )
            }
            "HELO" => {
                self.forget();
                Next::Reply(reply::HELO)
            }
            "MAIL" => Next::Reply(self.mail_from(rest)),
            "RCPT" => Next::Reply(self.recipient(rest)),
            "DATA" if self.from.is_some() && !self.to.is_empty() => Next::Receive,
            "DATA" => Next::Reply(reply::BAD_SEQUENCE),
            "RSET" => {
                self.forget();
                Next::Reply(reply::OK)
            }
            "NOOP" => Next::Reply(reply::OK),
            "QUIT" => Next::Quit,
            _ => Next::Reply(reply::UNKNOWN),
        }
    }

    fn mail_from(&mut self, rest: &str) -> &'static str {
        let Some(address) = address(rest, "FROM:") else {
            return reply::BAD_ADDRESS;
        };
        let announced = rest
            .to_ascii_uppercase()
            .split(" SIZE=")
            .nth(1)
            .and_then(|size| size.trim().parse().ok());
        if announced.is_some_and(|size: usize| size > MAX_MESSAGE_BYTES) {
            return reply::TOO_LARGE;
        }
        self.forget();
        self.from = Some(address);
        reply::OK
    }

    fn recipient(&mut self, rest: &str) -> &'static str {
        if self.from.is_none() {
            return reply::BAD_SEQUENCE;
        }
        let Some(address) = address(rest, "TO:").filter(|address| !address.is_empty()) else {
            return reply::BAD_ADDRESS;
        };
        if self.to.len() >= MAX_RECIPIENTS {
            return reply::TOO_MANY_RECIPIENTS;
        }
        match self.mailbox.mode() {
            mode @ Mode::Reject => {
                self.mailbox.used(mode);
                reply::REJECTED
            }
            mode @ Mode::Defer => {
                self.mailbox.used(mode);
                reply::DEFERRED
            }
            Mode::Normal | Mode::DropAnswer | Mode::Down => {
                self.to.push(address);
                reply::OK
            }
        }
    }

    /// Reads the message up to the lone dot, takes the stuffed dots out, and keeps it.
    async fn receive(&mut self) -> Result<(), Ended> {
        self.say(reply::GO_AHEAD).await?;
        let mut message = Vec::new();
        let mut too_large = false;
        loop {
            let Some(line) = self.line().await? else {
                too_large = true;
                continue;
            };
            if line == b".\r\n" || line == b".\n" {
                break;
            }
            let text = line.strip_prefix(b".").unwrap_or(&line);
            too_large = too_large || message.len() + text.len() > MAX_MESSAGE_BYTES;
            if !too_large {
                message.extend_from_slice(text);
            }
        }
        if too_large {
            self.forget();
            return self.say(reply::TOO_LARGE).await;
        }
        let from = self.from.take().unwrap_or_default();
        self.mailbox.keep(&from, &std::mem::take(&mut self.to), &message);
        let mode = self.mailbox.mode();
        if mode == Mode::DropAnswer {
            self.mailbox.used(mode);
            return Err(Ended::BrokenOff);
        }
        self.say(reply::KEPT).await
    }

    /// One line with its end; `None` if it was too long, and then it was read to its end.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, Ended> {
        let mut line = Vec::new();
        let read = async {
            (&mut self.stream)
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)
                .await?;
            if line.ends_with(b"\n") {
                return Ok(true);
            }
            let mut rest = Vec::new();
            while !line.is_empty() && !rest.ends_with(b"\n") {
                rest.clear();
                if (&mut self.stream)
                    .take(MAX_LINE_BYTES)
                    .read_until(b'\n', &mut rest)
                    .await?
                    == 0
                {
                    return Err(Ended::Gone);
                }
            }
            Ok(false)
        };
        let complete = tokio::time::timeout(IDLE_TIMEOUT, read)
            .await
            .map_err(|_| Ended::Gone)??;
        if line.is_empty() {
            return Err(Ended::Gone);
        }
        Ok(complete.then_some(line))
    }

    async fn say(&mut self, text: &str) -> Result<(), Ended> {
        self.stream.get_mut().write_all(text.as_bytes()).await?;
        Ok(())
    }

    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
    }
}

/// `FROM:<a@b> SIZE=7` → `a@b`
fn address(rest: &str, keyword: &str) -> Option<String> {
    let after = rest.get(keyword.len()..)?;
    if !rest.get(..keyword.len())?.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (inner, _) = after.trim_start().strip_prefix('<')?.split_once('>')?;
    Some(inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_are_read_from_the_envelope() {
        assert_eq!(
            address("FROM:<a@b.example> SIZE=7", "FROM:").as_deref(),
            Some("a@b.example")
        );
        assert_eq!(address("to: <x@y>", "TO:").as_deref(), Some("x@y"));
        assert_eq!(
            address("FROM:<>", "FROM:").as_deref(),
            Some(""),
            "a bounce has no sender"
        );
        assert_eq!(address("FROM:a@b", "FROM:"), None);
        assert_eq!(address("é", "TO:"), None);
    }
}
