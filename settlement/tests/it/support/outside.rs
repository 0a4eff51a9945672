//! One HTTP server that plays the bank and both token issuers.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::bank::BankStub;
use super::issuers::Issuers;

pub(crate) struct Outside {
    pub(crate) url: Url,
    pub(crate) bank: Arc<BankStub>,
    pub(crate) issuers: Issuers,
    _stop: DropGuard,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let (bank, issuers) = (Arc::new(BankStub::default()), Issuers::new());
        let jwks = issuers.jwks();
        let routes = Router::new()
            .route("/jwks.json", get(async move || axum::Json(jwks.clone())))
            .nest("/bank", super::bank::routes(Arc::clone(&bank)));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        #[expect(clippy::disallowed_methods, reason = "it ends when the test drops its guard")]
        tokio::spawn(async move {
            axum::serve(listener, routes)
                .with_graceful_shutdown(stopped)
                .await
        });
        Self {
            url,
            bank,
            issuers,
            _stop: stop.drop_guard(),
        }
    }

    /// What settlement has as `bank.base_url`.
    pub(crate) fn bank_url(&self) -> Url {
        self.url.join("bank").unwrap()
    }
}
