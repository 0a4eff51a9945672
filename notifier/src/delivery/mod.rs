//! Delivering notices: one dispatcher for each channel takes what is due from the schedule and hands it to workers.
//!
//! What a newcomer gets wrong: nothing here decides whether a notice was sent. The destination does, and where it did not
//! say, the notice is sent again under the same id.

mod attempt;
mod dispatcher;
mod holds;
mod meters;
mod record;

pub use dispatcher::Dispatcher;
pub use meters::watch_queue;

use std::time::Duration;

use eventing::Clock;
use lettre::message::Mailbox;
use platform::client::{self, AddressPolicy, ClientError};

use sqlx::PgPool;

use crate::clients::contacts::Contacts;
use crate::clients::smtp::Mailer;
use crate::clients::webhooks::Webhooks;
use crate::config;
use crate::domain::outcome::RetrySchedule;
use meters::Meters;

/// What workers share.
pub struct Courier {
    pool: PgPool,
    clock: Clock,
    contacts: Contacts,
    mailer: Mailer,
    webhooks: Webhooks,
    approvers: Vec<String>,
    schedule: RetrySchedule,
    send_timeout: Duration,
    lease: Duration,
    meters: Meters,
}

/// A courier could not be made of its settings.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// A client for HTTP.
    #[error(transparent)]
    Http(#[from] ClientError),
    /// The client for SMTP.
    #[error("the client for smtp cannot be set up")]
    Smtp(#[from] lettre::transport::smtp::Error),
}

/// Within this, an outcome is written down; a lease is longer by this than an attempt can take.
const TO_RECORD: Duration = Duration::from_secs(10);
/// An endpoint without a connection after this is taken for one that is away: proof that nothing was sent.
const TO_CONNECT: Duration = Duration::from_secs(5);

impl Courier {
    /// A courier by these settings.
    pub fn new(config: &config::Config, pool: PgPool, clock: Clock) -> Result<Self, CourierError> {
        let send_timeout = config.delivery.send_timeout();
        let endpoints = client::Settings {
            deadline: send_timeout,
            connect_timeout: send_timeout.min(TO_CONNECT),
            addresses: AddressPolicy::PublicOr(config.webhooks.allow_private.clone()),
            ..client::Settings::default()
        };

        Ok(Self {
            pool,
            clock,
            contacts: Contacts::new(&config.contacts)?,
            mailer: Mailer::new(config.smtp.clone(), send_timeout)?,
            webhooks: Webhooks::new(endpoints, config.delivery.per_host)?,
            approvers: config.approvers.addresses.as_slice().to_vec(),
            schedule: config.delivery.schedule(),
            send_timeout,
            lease: config.contacts.timeout() + send_timeout + TO_RECORD,
            meters: Meters::new(),
        })
    }

    fn sender(&self) -> &Mailbox {
        self.mailer.from()
    }
}
