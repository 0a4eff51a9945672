//! The breaker as callers use it; its law is tested beside its state machine.

use std::time::Duration;

use eventing::Condition;
use platform::breaker::{Breaker, Breakers};

fn fail(breaker: &Breaker) {
    for _ in 0..5 {
        breaker.permit().unwrap().failure();
    }
}

#[tokio::test]
async fn an_open_breaker_refuses_says_for_how_long_and_shows_in_health() {
    let breaker = Breaker::new("bank");
    let condition = breaker.condition();
    assert_eq!(*condition.borrow(), Condition::Up);
    fail(&breaker);
    let open = breaker.permit().unwrap_err();
    assert!(open.retry_after <= Duration::from_secs(30) && open.retry_after > Duration::from_secs(25));
    assert!(
        breaker.is_open() && breaker.clone().is_open(),
        "clones share the state"
    );
    assert!(matches!(&*condition.borrow(), Condition::Degraded(_)));
}

#[tokio::test(start_paused = true)]
async fn a_good_probe_after_half_a_minute_closes_it() {
    let breaker = Breaker::new("bank");
    fail(&breaker);
    tokio::time::advance(Duration::from_secs(30)).await;
    breaker.permit().unwrap().success();
    assert_eq!(*breaker.condition().borrow(), Condition::Up);
    breaker.permit().unwrap().success();
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_does_not_block_the_probe() {
    let breaker = Breaker::new("bank");
    fail(&breaker);
    tokio::time::advance(Duration::from_secs(30)).await;
    let probe = breaker.permit().unwrap();
    assert!(breaker.permit().is_err(), "one probe at a time");
    drop(probe);
    breaker.permit().unwrap().success();
}

#[tokio::test]
async fn endpoints_of_one_kind_have_breakers_of_their_own() {
    let breakers = Breakers::new("webhook");
    fail(&breakers.of("a.example"));
    assert!(breakers.of("a.example").is_open());
    assert!(!breakers.of("b.example").is_open());
}
