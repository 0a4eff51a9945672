//! Sessions and tickets.

use analytics_consumer::domain::scope::Scope;
use analytics_consumer::store::tokens;
use jiff::{SignedDuration, Timestamp};
use schemas::MerchantId;

use crate::database::Database;

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn later() -> Timestamp {
    now() + SignedDuration::from_secs(30)
}

#[tokio::test]
async fn a_ticket_opens_one_connection_even_when_two_ask_at_once() {
    let database = Database::create().await;
    let scope = Scope::Merchant(MerchantId::generate());
    tokens::issue_ticket(&database.pool, b"ticket", scope, now(), later())
        .await
        .unwrap();
    let (one, two) = tokio::join!(
        tokens::take_ticket(&database.pool, b"ticket", now()),
        tokens::take_ticket(&database.pool, b"ticket", now()),
    );
    let taken: Vec<Scope> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(taken, [scope]);
    database.drop().await;
}

#[tokio::test]
async fn what_has_expired_opens_nothing() {
    let database = Database::create().await;
    tokens::issue_ticket(&database.pool, b"ticket", Scope::All, now(), later())
        .await
        .unwrap();
    tokens::open_session(&database.pool, b"session", Scope::All, now(), later())
        .await
        .unwrap();
    assert_eq!(
        tokens::session(&database.pool, b"session", now()).await.unwrap(),
        Some(Scope::All)
    );
    assert_eq!(
        tokens::session(&database.pool, b"session", later())
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        tokens::take_ticket(&database.pool, b"ticket", later())
            .await
            .unwrap(),
        None
    );
    database.drop().await;
}

#[tokio::test]
async fn a_closed_session_opens_nothing() {
    let database = Database::create().await;
    tokens::open_session(&database.pool, b"session", Scope::All, now(), later())
        .await
        .unwrap();
    tokens::close_session(&database.pool, b"session").await.unwrap();
    assert_eq!(
        tokens::session(&database.pool, b"session", now()).await.unwrap(),
        None
    );
    database.drop().await;
}
