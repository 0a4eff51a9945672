//! How the service is put together.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use platform::{Context, ServeError, Service};

use crate::auth::TokenIssuer;
use crate::charging::{Charging, DEFAULT_PATIENCE, Terms, sweeper};
use crate::clients::stripe::Stripe;
use crate::config::Config;
use crate::http::App;
use crate::secrets::Secrets;

/// The payment gateway.
pub struct PaymentGateway;

impl Service for PaymentGateway {
    const NAME: &'static str = "payment-gateway";
    const OUTBOX: bool = true;
    type Config = Config;

    fn migrations() -> sqlx::migrate::Migrator {
        sqlx::migrate!()
    }

    async fn serve(service: Context<Config>) -> Result<(), ServeError> {
        let charging = charging(&service).await?;
        service.spawn_relay(&charging.outbox);
        let interval = Duration::from_millis(service.config().payments.sweep_interval_ms);
        service.spawn(
            "sweeper",
            sweeper::run(charging.clone(), interval, service.shutdown()),
        );
        let config = service.config();
        let secrets = Secrets::new(config.secrets.master_key.clone()).map_err(|error| {
            ServeError::other(format!("configuration: {error} for key `secrets.master_key`"))
        })?;
        let issuer = TokenIssuer::load(service.pool(), &secrets, service.clock(), config.tokens.clone())
            .await
            .map_err(ServeError::other)?;
        let app = App {
            charging,
            issuer: Arc::new(issuer),
            tokens: service.tokens(),
            secrets: Arc::new(secrets),
            webhook_secrets: config.psp.stripe.webhook_secrets.clone().into(),
        };
        service
            .serve_http(crate::http::public(app.clone()), crate::http::internal(app))
            .await
    }
}

async fn charging(service: &Context<Config>) -> Result<Charging, ServeError> {
    let (psp, payments) = (&service.config().psp.stripe, &service.config().payments);
    let stripe = Stripe::new(
        service.http_client("stripe")?,
        psp.base_url.clone(),
        psp.secret_key.clone(),
        payments.return_url.clone(),
    );
    let terms = Terms {
        expire_after: SignedDuration::from_secs(payments.expire_after_seconds.into()),
        claim: SignedDuration::from_secs(payments.claim_seconds.into()),
        patience: DEFAULT_PATIENCE,
    };
    Ok(Charging::new(
        service.pool().clone(),
        service.outbox().await?,
        service.clock().clone(),
        stripe,
        service.tasks().clone(),
        terms,
    ))
}
