#![doc = include_str!("../README.md")]

pub mod config;
pub mod consumers;
pub mod domain;
mod error;
pub mod http;
mod live;
pub mod store;

use eventing::consumer::{ConsumerGroup, Resources};
use eventing::dead_letters::{Rehearsal, rehearsal};
use platform::{Context, ServeError};
use schemas::catalogue::ANALYTICS_GROUP;

pub use error::Error;

/// The service.
#[derive(Debug)]
pub struct AnalyticsConsumer;

impl platform::Service for AnalyticsConsumer {
    const NAME: &'static str = "analytics-consumer";
    const OUTBOX: bool = false;
    type Config = config::Config;

    fn migrations() -> sqlx::migrate::Migrator {
        sqlx::migrate!()
    }

    fn groups() -> Vec<ConsumerGroup> {
        let topics = ANALYTICS_GROUP.reads.iter().map(|topic| topic.name);
        vec![ConsumerGroup::unordered(ANALYTICS_GROUP.name, topics)]
    }

    fn rehearsals(
        _config: &Self::Config,
        resources: &Resources,
    ) -> Result<Vec<Box<dyn Rehearsal>>, ServeError> {
        let groups = Self::groups();
        let rehearsals = groups
            .iter()
            .map(|group| rehearsal(group, consumers::Rollups, resources));
        Ok(rehearsals.collect())
    }

    async fn serve(service: Context<Self::Config>) -> Result<(), ServeError> {
        for group in Self::groups() {
            service.spawn_consumer(group, consumers::Rollups);
        }
        let live = live::Live::default();
        service.spawn(
            "live-feed",
            live::watch(live.clone(), service.pool().clone(), service.shutdown()),
        );
        service
            .serve_http(http::router(http::App::new(&service, live)), axum::Router::new())
            .await
    }
}
