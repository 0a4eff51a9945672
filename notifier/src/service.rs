use std::sync::Arc;

use eventing::Condition;
use eventing::consumer::{ConsumerGroup, Resources};
use eventing::dead_letters::{Rehearsal, rehearsal};
use platform::{Context, ServeError, Service};

use crate::config::Config;
use crate::consumers::events::{self, Events};
use crate::delivery::{Courier, Dispatcher, watch_queue};
use crate::domain::notice::Channel;
use crate::http::{self, AppState};

/// The service, as the platform starts it.
pub struct Notifier;

impl Service for Notifier {
    const NAME: &'static str = "notifier";
    const OUTBOX: bool = false;
    type Config = Config;

    fn migrations() -> sqlx::migrate::Migrator {
        sqlx::migrate!()
    }

    fn groups() -> Vec<ConsumerGroup> {
        vec![events::group()]
    }

    fn rehearsals(config: &Config, resources: &Resources) -> Result<Vec<Box<dyn Rehearsal>>, ServeError> {
        let handler = Events::new(resources.clock.clone(), config.approvers.addresses.count());
        Ok(vec![rehearsal(&events::group(), handler, resources)])
    }

    async fn serve(service: Context<Config>) -> Result<(), ServeError> {
        let (config, pool, clock) = (service.config(), service.pool(), service.clock());
        let approver_count = config.approvers.addresses.count();
        if approver_count == 0 {
            tracing::warn!(
                "approvers.addresses is empty: nobody is told of settlements that wait for approval"
            );
        }
        service.spawn_consumer(events::group(), Events::new(clock.clone(), approver_count));
        let courier = Courier::new(config, pool.clone(), clock.clone()).map_err(ServeError::other)?;
        let courier = Arc::new(courier);
        for (channel, name) in [
            (Channel::Mail, "deliver mail"),
            (Channel::Webhook, "deliver webhooks"),
        ] {
            let health = service.health().register(name, Condition::Up);
            let dispatcher = Dispatcher::new(channel, Arc::clone(&courier), &config.delivery, health);
            service.spawn(name, dispatcher.run(service.shutdown()));
        }
        service.spawn(
            "measure queue",
            watch_queue(pool.clone(), clock.clone(), service.shutdown()),
        );
        let state = AppState {
            pool: pool.clone(),
            clock: clock.clone(),
            tokens: service.tokens(),
        };
        service.serve_http(http::routes(state), axum::Router::new()).await
    }
}
