//! `simulator serve`: everything of the outside world in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::routing::get;
use axum::{Json, Router};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::bank::{self, Bank};
use crate::control::World;
use crate::courier::Target;
use crate::ground::{Ground, OpenError};
use crate::hooks::Hooks;
use crate::issuer::{Issuer, KeyError};
use crate::journal::{Journal, JournalError, Restored};
use crate::mail::{self, Mailbox};
use crate::psp::{self, Psp};
use crate::{http, page};

/// After a stop was asked for, what has not ended by then is dropped.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// Where to listen, whom to tell, and which secrets to share with them.
#[derive(Debug, Clone, Args)]
pub struct ServeSettings {
    /// HTTP address; port 0 takes a free one.
    #[arg(long, env = "SIMULATOR_LISTEN", default_value = "127.0.0.1:40100")]
    pub listen: SocketAddr,
    /// SMTP address; port 0 takes a free one.
    #[arg(long, env = "SIMULATOR_SMTP_LISTEN", default_value = "127.0.0.1:40125")]
    pub smtp_listen: SocketAddr,
    /// Base of links to hosted pages and of the token issuer; by default the HTTP address.
    #[arg(long, env = "SIMULATOR_PUBLIC_URL")]
    pub public_url: Option<Url>,
    /// The key with which the PSP is called.
    #[arg(
        long,
        env = "SIMULATOR_STRIPE_SECRET_KEY",
        default_value = "sk_test_simulator",
        hide_env_values = true
    )]
    pub stripe_secret_key: String,
    /// Where the PSP's webhooks go; without it none are sent.
    #[arg(long, env = "SIMULATOR_STRIPE_WEBHOOK_URL")]
    pub stripe_webhook_url: Option<Url>,
    /// With what the PSP's webhooks are signed; several, separated by commas, while a secret is rolled.
    #[arg(
        long,
        env = "SIMULATOR_STRIPE_WEBHOOK_SECRET",
        default_value = "whsec_simulator",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub stripe_webhook_secret: Vec<String>,
    /// The key with which the bank is called.
    #[arg(
        long,
        env = "SIMULATOR_BANK_API_KEY",
        default_value = "bank_test_simulator",
        hide_env_values = true
    )]
    pub bank_api_key: String,
    /// Where the bank's webhooks go; without it none are sent.
    #[arg(long, env = "SIMULATOR_BANK_WEBHOOK_URL")]
    pub bank_webhook_url: Option<Url>,
    /// With what the bank's webhooks are signed.
    #[arg(
        long,
        env = "SIMULATOR_BANK_WEBHOOK_SECRET",
        default_value = "bwhsec_simulator",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub bank_webhook_secret: Vec<String>,
    /// How long a payout is on its way, in milliseconds.
    #[arg(long, env = "SIMULATOR_BANK_ANSWER_MS", default_value_t = 1000)]
    pub bank_answer_ms: u32,
    /// How long a delayed payment or refund is on its way, in milliseconds.
    #[arg(long, env = "SIMULATOR_DELAYED_PAYMENT_MS", default_value_t = 2000)]
    pub delayed_payment_ms: u32,
    /// The audience of issued tokens.
    #[arg(long, env = "SIMULATOR_AUDIENCE", default_value = "payments-platform")]
    pub audience: String,
    /// A folder for the issuer's key, the books and what is under way; without it all is in memory.
    #[arg(long, env = "SIMULATOR_STATE")]
    pub state: Option<PathBuf>,
}

/// Why the simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port is taken, or may not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The state folder cannot be used.
    #[error("{0}")]
    State(String),
}

impl From<JournalError> for ServeError {
    fn from(error: JournalError) -> Self {
        Self::State(error.to_string())
    }
}

impl From<KeyError> for ServeError {
    fn from(error: KeyError) -> Self {
        Self::State(error.to_string())
    }
}

impl From<OpenError> for ServeError {
    fn from(error: OpenError) -> Self {
        Self::State(error.to_string())
    }
}

/// A running outside world. Dropping it leaves it running until its runtime ends; `stop` ends it in order.
#[derive(Debug)]
pub struct Simulator {
    url: String,
    smtp: SocketAddr,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Simulator {
    /// Starts everything; when this returns, both ports listen.
    pub async fn start(settings: ServeSettings) -> Result<Self, ServeError> {
        let listener = listen(settings.listen).await?;
        let smtp_listener = listen(settings.smtp_listen).await?;
        let bound = |listener: &TcpListener, address| {
            listener
                .local_addr()
                .map_err(|source| ServeError::Listen { address, source })
        };
        let address = bound(&listener, settings.listen)?;
        let smtp = bound(&smtp_listener, settings.smtp_listen)?;
        let url = format!("http://{address}");
        let public_url = settings.public_url.as_ref().map_or_else(
            || url.clone(),
            |url| url.as_str().trim_end_matches('/').to_owned(),
        );

        let tasks = TaskTracker::new();
        let shutdown = CancellationToken::new();
        let router = open(&settings, &public_url, smtp, &tasks, &shutdown)?;
        let (router, mailbox) = router;
        tasks.spawn(mail::serve(
            smtp_listener,
            smtp,
            mailbox,
            tasks.clone(),
            shutdown.clone(),
        ));
        tasks.spawn(http::serve(listener, router, tasks.clone(), shutdown.clone()));
        Ok(Self {
            url,
            smtp,
            tasks,
            shutdown,
        })
    }

    /// The base URL as bound, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where mail is taken.
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Ends all connections and deliveries; what is slow is dropped after two seconds.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_LIMIT, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some connections did not end in time and are dropped");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })
}

fn open(
    settings: &ServeSettings,
    public_url: &str,
    smtp: SocketAddr,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<(Router, Mailbox), ServeError> {
    let (journal, mut restored) = match &settings.state {
        Some(dir) => Journal::open(dir)?,
        None => (Journal::default(), Restored::default()),
    };
    let ground = Ground {
        journal: Arc::new(journal),
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
    };
    let psp = Psp::open(
        psp::Settings {
            public_url: public_url.to_owned(),
            secret_key: settings.stripe_secret_key.clone(),
            delayed_payment_ms: i64::from(settings.delayed_payment_ms),
        },
        Target {
            url: settings.stripe_webhook_url.clone(),
            secrets: settings.stripe_webhook_secret.clone(),
        },
        &mut restored,
        &ground,
    )?;
    let bank = Bank::open(
        bank::Settings {
            api_key: settings.bank_api_key.clone(),
            answer_ms: i64::from(settings.bank_answer_ms),
        },
        Target {
            url: settings.bank_webhook_url.clone(),
            secrets: settings.bank_webhook_secret.clone(),
        },
        &mut restored,
        &ground,
    )?;
    let issuer = Issuer::open(settings.state.as_deref(), public_url, settings.audience.clone())?;
    let world = World {
        psp,
        bank,
        mailbox: Mailbox::new(),
        hooks: Hooks::new(shutdown.clone()),
    };
    let mailbox = world.mailbox.clone();
    Ok((router(&world, &issuer, public_url, smtp), mailbox))
}

#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage {
    url: String,
    smtp: String,
}

fn router(world: &World, issuer: &Issuer, public_url: &str, smtp: SocketAddr) -> Router {
    let url = public_url.to_owned();
    let index = get(move || {
        let index = IndexPage {
            url: url.clone(),
            smtp: smtp.to_string(),
        };
        async move { page::show(&index) }
    });
    Router::new()
        .route("/", index)
        .route("/health", get(|| async { Json(json!({ "status": "ready" })) }))
        .nest("/stripe", world.psp.routes())
        .nest("/bank", world.bank.routes())
        .nest("/issuer", issuer.routes())
        .nest("/mail", world.mailbox.routes())
        .nest("/hooks", world.hooks.routes())
        .nest("/control", world.control_routes())
        .nest("/books", world.book_page())
        .fallback(|| async { page::not_found("The outside world has no such page.") })
}
