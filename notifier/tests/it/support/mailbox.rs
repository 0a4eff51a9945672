//! An SMTP server that keeps what it takes, and can be told to misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mail_parser::{Message, MessageParser};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::receiver::spawn;

/// What the server does with a mail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Take,
    /// Takes it, and closes the connection instead of saying so.
    TakeSilently,
    /// Takes it, and never answers.
    TakeAndHang,
    /// Knows no such recipient.
    Refuse,
    /// Asks to come back later.
    Defer,
}

#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) raw: String,
}

impl Mail {
    pub(crate) fn parse(&self) -> Message<'_> {
        MessageParser::default().parse(self.raw.as_bytes()).unwrap()
    }

    pub(crate) fn message_id(&self) -> String {
        self.parse().message_id().unwrap().to_owned()
    }
}

#[derive(Clone)]
pub(crate) struct Mailbox {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    manner: Manner,
    mails: Vec<Mail>,
    connections: usize,
}

impl Mailbox {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            manner: Manner::Take,
            mails: Vec::new(),
            connections: 0,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.lock().unwrap().connections += 1;
                let state = Arc::clone(&shared);
                spawn(async move {
                    // The client may hang up at any moment.
                    let _ = converse(stream, &state).await;
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.state.lock().unwrap().mails.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Waits until so many mails have come, and gives them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Mail> {
        let what = format!("{count} mails");
        super::eventually(&what, async || Some(self.mails()).filter(|it| it.len() >= count)).await
    }
}

async fn converse(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut to = String::new();
    stream.write_all(b"220 mailbox\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let manner = state.lock().unwrap().manner;
        let command = line.trim_end().to_ascii_uppercase();
        let answer = match command.split([' ', ':']).next().unwrap() {
            "EHLO" => "250-mailbox\r\n250 8BITMIME\r\n",
            "RCPT" if manner == Manner::Refuse => "550 5.1.1 no such person\r\n",
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap().to_owned();
                "250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let raw = read_message(&mut stream).await?;
                match manner {
                    Manner::Defer => "451 4.3.0 later\r\n",
                    Manner::Take | Manner::TakeSilently | Manner::TakeAndHang | Manner::Refuse => {
                        state.lock().unwrap().mails.push(Mail { to: to.clone(), raw });
                        match manner {
                            Manner::TakeSilently => return Ok(()),
                            Manner::TakeAndHang => std::future::pending().await,
                            Manner::Take | Manner::Refuse | Manner::Defer => "250 taken\r\n",
                        }
                    }
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

async fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut raw = String::new();
    while !raw.ends_with("\r\n.\r\n") {
        stream.read_line(&mut raw).await?;
    }
    Ok(raw.trim_end_matches(".\r\n").to_owned())
}
