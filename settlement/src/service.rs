//! How the service is put together.

use std::sync::Arc;

use eventing::Condition;
use eventing::consumer::{ConsumerGroup, Resources};
use eventing::dead_letters::{Rehearsal, rehearsal};
use jiff::SignedDuration;
use platform::{Context, ServeError, Service};

use crate::clients::bank::Bank;
use crate::config::Config;
use crate::consumers::payment_events::{self, PaymentEvents};
use crate::http::{self, App};
use crate::payouts::{Payouts, Schedule};

/// The settlement service.
pub struct Settlement;

impl Service for Settlement {
    const NAME: &'static str = "settlement";
    const OUTBOX: bool = true;
    type Config = Config;

    fn migrations() -> sqlx::migrate::Migrator {
        sqlx::migrate!()
    }

    fn groups() -> Vec<ConsumerGroup> {
        vec![payment_events::group()]
    }

    fn rehearsals(config: &Config, resources: &Resources) -> Result<Vec<Box<dyn Rehearsal>>, ServeError> {
        let default_terms = config.fees.terms().map_err(ServeError::other)?;
        let handler = PaymentEvents::new(resources.clock.clone(), default_terms);
        Ok(vec![rehearsal(&payment_events::group(), handler, resources)])
    }

    async fn serve(service: Context<Config>) -> Result<(), ServeError> {
        let default_terms = service.config().fees.terms().map_err(ServeError::other)?;
        let outbox = service.outbox().await?;
        service.spawn_relay(&outbox);
        let handler = PaymentEvents::new(service.clock().clone(), default_terms);
        service.spawn_consumer(payment_events::group(), handler);

        let (bank, interval) = (&service.config().bank, service.config().payouts.sweep_interval());
        let client = service.http_client("bank")?;
        let first_pause = SignedDuration::try_from(interval).map_err(ServeError::other)?;
        let schedule = Schedule::new(first_pause, service.config().payouts.claim());
        let payouts = Payouts::new(
            service.pool().clone(),
            outbox.clone(),
            service.clock().clone(),
            Bank::new(client, &bank.base_url, bank.api_key.clone()).map_err(ServeError::other)?,
            schedule,
        );
        let reporter = service.health().register("payouts", Condition::Up);
        service.spawn(
            "payouts",
            payouts.clone().run(interval, reporter, service.shutdown()),
        );

        let app = App {
            pool: service.pool().clone(),
            outbox,
            clock: service.clock().clone(),
            payouts,
            tokens: service.tokens(),
            default_terms,
            webhook_secret: Arc::new(bank.webhook_secret.clone()),
        };
        service.serve_http(http::public(app), axum::Router::new()).await
    }
}
