//! Mail over SMTP, command by command: only so is it known whether a mail may have left.
//!
//! Everything up to the message itself is proof of nothing sent; from its first byte on, only the relay's answer tells.
//! A connection is kept for the next mail after an answer, and never after anything else: one that was left in the middle
//! of an exchange would take the old answer for the next mail's.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, MailParameter};
use platform::breaker::{Breaker, Open};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout_at};

use crate::config::{Security, Smtp};
use crate::domain::outcome::Outcome;
use crate::domain::reason::Reason;

/// Sends mail through one relay.
pub struct Mailer {
    settings: Smtp,
    tls: Option<TlsParameters>,
    hello: ClientId,
    timeout: Duration,
    breaker: Breaker,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

/// A mail on its way.
pub struct Letter<'a> {
    /// Where it goes.
    pub to: &'a Address,
    /// All of it, headers and body.
    pub message: &'a [u8],
}

/// Connections kept for the next mail, at most.
const MAX_IDLE: usize = 8;
/// Relays close what is idle for minutes; this is well before.
const IDLE_FOR: Duration = Duration::from_secs(20);
/// A relay with these codes wants other credentials of us: that is no property of the mail.
const CREDENTIALS_WANTED: [u16; 4] = [530, 534, 535, 538];
/// The relay is going away (RFC 5321).
const CLOSING: u16 = 421;

impl Mailer {
    /// A mailer by these settings; one attempt takes at most `timeout`.
    pub fn new(settings: Smtp, timeout: Duration) -> Result<Self, lettre::transport::smtp::Error> {
        let tls = match settings.security {
            Security::None => None,
            Security::Starttls | Security::Tls => Some(TlsParameters::new(settings.host.clone())?),
        };
        Ok(Self {
            settings,
            tls,
            hello: ClientId::default(),
            timeout,
            breaker: Breaker::new("smtp"),
            idle: Mutex::default(),
        })
    }

    /// Who our mail is from.
    pub fn from(&self) -> &Mailbox {
        &self.settings.from.0
    }

    /// Whether the relay is to be left alone, and for how long.
    pub fn is_open(&self) -> Result<(), Open> {
        // A permit that is dropped unused counts as nothing.
        self.breaker.permit().map(drop)
    }

    /// Sends one mail.
    pub async fn send(&self, letter: Letter<'_>) -> Outcome {
        let Ok(permit) = self.breaker.permit() else {
            return Outcome::NotSent {
                reason: Reason::BreakerOpen,
            };
        };
        let outcome = self.attempt(letter, Instant::now() + self.timeout).await;
        if is_trouble(&outcome) {
            permit.failure();
        } else {
            permit.success();
        }
        outcome
    }

    async fn attempt(&self, letter: Letter<'_>, deadline: Instant) -> Outcome {
        let prepared = timeout_at(deadline, async {
            let mut connection = self.connection().await?;
            match self.envelope(&mut connection, letter.to).await {
                Ok(()) => Ok(connection),
                Err(failure) => Err(failure),
            }
        });
        let mut connection = match prepared.await {
            Ok(Ok(connection)) => connection,
            Ok(Err(failure)) => return failure.before_the_message(),
            Err(_) => {
                return Outcome::NotSent {
                    reason: Reason::TimedOut,
                };
            }
        };
        match timeout_at(deadline, connection.message(letter.message)).await {
            Ok(Ok(response)) => {
                self.keep(connection);
                Outcome::Delivered {
                    code: response.code().into(),
                }
            }
            Ok(Err(error)) => Failure::Conversation(error).within_the_message(),
            Err(_) => Outcome::Unknown {
                reason: Reason::TimedOut,
            },
        }
    }

    async fn connection(&self) -> Result<AsyncSmtpConnection, Failure> {
        while let Some(mut connection) = self.take_idle() {
            if connection.test_connected().await {
                return Ok(connection);
            }
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let server = (self.settings.host.as_str(), self.settings.port);
        let wrap = self
            .tls
            .clone()
            .filter(|_| self.settings.security == Security::Tls);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &self.hello, wrap, None);
        let mut connection = connecting.await.map_err(Failure::Connection)?;
        if let Some(tls) = self
            .tls
            .clone()
            .filter(|_| self.settings.security == Security::Starttls)
        {
            connection
                .starttls(tls, &self.hello)
                .await
                .map_err(Failure::Connection)?;
        }
        if let (Some(username), Some(password)) = (&self.settings.username, &self.settings.password) {
            let credentials = Credentials::new(username.clone(), password.expose_secret().to_owned());
            connection
                .auth(DEFAULT_MECHANISMS, &credentials)
                .await
                .map_err(Failure::Conversation)?;
        }
        Ok(connection)
    }

    async fn envelope(&self, connection: &mut AsyncSmtpConnection, to: &Address) -> Result<(), Failure> {
        let from = &self.from().email;
        let is_international = [from, to].iter().any(|it| !AsRef::<str>::as_ref(it).is_ascii());
        let parameters = if is_international {
            vec![MailParameter::SmtpUtfEight]
        } else {
            Vec::new()
        };
        let conversation = async {
            connection
                .command(Mail::new(Some(from.clone()), parameters))
                .await?;
            connection.command(Rcpt::new(to.clone(), Vec::new())).await?;
            connection.command(Data).await
        };
        conversation.await.map(drop).map_err(Failure::Conversation)
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|it| it.since.elapsed() < IDLE_FOR);
        idle.pop().map(|it| it.connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }
}

/// Why a conversation with the relay did not go on.
enum Failure {
    /// It did not come about.
    Connection(lettre::transport::smtp::Error),
    /// It broke off, or the relay said no.
    Conversation(lettre::transport::smtp::Error),
}

impl Failure {
    fn before_the_message(self) -> Outcome {
        let reason = match &self {
            Self::Connection(_) => Reason::ConnectionFailed,
            Self::Conversation(_) => Reason::ConnectionLost,
        };
        self.answered().unwrap_or(Outcome::NotSent { reason })
    }

    fn within_the_message(self) -> Outcome {
        self.answered().unwrap_or(Outcome::Unknown {
            reason: Reason::ConnectionLost,
        })
    }

    /// What the relay said, if that is why.
    fn answered(self) -> Option<Outcome> {
        let (Self::Connection(error) | Self::Conversation(error)) = self;
        let code: u16 = error.status()?.into();
        let reason = Reason::AnswerRefused;
        if error.is_permanent() && !CREDENTIALS_WANTED.contains(&code) {
            Some(Outcome::Refused {
                reason,
                code: Some(code),
            })
        } else {
            Some(Outcome::Failed {
                reason,
                code,
                retry_after: None,
            })
        }
    }
}

/// What counts against the relay. That it refuses one mail does not.
fn is_trouble(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Delivered { .. } | Outcome::Refused { .. } => false,
        Outcome::Failed { code, .. } => *code == CLOSING || CREDENTIALS_WANTED.contains(code),
        Outcome::NotSent { .. } | Outcome::Unknown { .. } => true,
    }
}
