//! The schema registry: needed once, and then only for what is new.

use eventing::registry::RegistryError;
use eventing::{Clock, Outbox, SchemaRegistry};
use schemas::catalogue::PAYMENTS;

use crate::support::database::Database;
use crate::support::events;
use crate::support::world::SERVICE;

/// Nobody listens here.
const NOWHERE: &str = "http://127.0.0.1:9/apis/ccompat/v7";

#[tokio::test]
async fn a_restart_needs_no_registry() {
    let database = Database::create().await;
    let registry = events::registry(&database.pool).await;
    Outbox::load(SERVICE, &registry, Clock::system()).await.unwrap();
    let id = registry
        .id_of(&PAYMENTS.subject(), PAYMENTS.schema)
        .await
        .unwrap();

    let restarted = SchemaRegistry::new(NOWHERE, database.pool.clone()).unwrap();
    Outbox::load(SERVICE, &restarted, Clock::system()).await.unwrap();
    assert_eq!(
        *restarted.schema(id).await.unwrap(),
        *registry.schema(id).await.unwrap()
    );
    assert!(restarted.check().await.is_err());
    assert!(registry.check().await.is_ok());
}

#[tokio::test]
async fn what_the_registry_does_not_know_is_told_apart_from_a_registry_that_does_not_answer() {
    let database = Database::create().await;
    let registry = events::registry(&database.pool).await;
    let unknown = registry.schema(2_000_000_000).await.unwrap_err();
    assert!(unknown.is_not_found(), "{unknown}");
    assert_eq!(
        unknown.to_string(),
        "the schema registry does not know schema id 2000000000"
    );
    let unregistered = registry.id_of("nobody-value", PAYMENTS.schema).await.unwrap_err();
    assert!(unregistered.is_not_found(), "{unregistered}");

    let unreachable = SchemaRegistry::new(NOWHERE, database.pool.clone()).unwrap();
    let error = unreachable.schema(2_000_000_000).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");

    // A server that is no registry answers 404 as well, and that says nothing about the schema.
    let elsewhere =
        crate::support::address("TEST_SCHEMA_REGISTRY_URL").replace("/apis/ccompat/v7", "/elsewhere");
    let elsewhere = SchemaRegistry::new(&elsewhere, database.pool.clone()).unwrap();
    let error = elsewhere.schema(2_000_000_000).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert!(matches!(
        SchemaRegistry::new("nowhere", database.pool.clone()),
        Err(RegistryError::Address(_))
    ));
}
