//! Lists, filters, pages, and whose they are.

use jiff::SignedDuration;
use serde_json::json;

use crate::support::World;

async fn order_numbers(world: &World, query: &str) -> Vec<String> {
    let reply = world.get(&format!("/api/v1/payments?{query}")).await.expect(200);
    let data = reply.json["data"].as_array().unwrap();
    data.iter()
        .map(|payment| payment["order_no"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_run_from_the_newest_to_the_oldest_without_gap_or_repetition() {
    let world = World::new().await;
    for index in 0..7 {
        world
            .pay(&format!("order-{index}"), Some("pm_card_visa"))
            .await
            .expect(201);
        // Two of them at the same moment.
        if index != 3 {
            world.clock.advance(SignedDuration::from_secs(1));
        }
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let reply = world
            .get(&format!("/api/v1/payments?limit=3{cursor}"))
            .await
            .expect(200);
        seen.extend(
            reply.json["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|payment| payment["order_no"].clone()),
        );
        match reply.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..7)
        .rev()
        .map(|index| json!(format!("order-{index}")))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let world = World::new().await;
    let began = world.clock.now();
    world.pay("order-1", Some("pm_card_visa")).await.expect(201);
    world.clock.advance(SignedDuration::from_secs(10));
    world
        .pay("order-2", Some("pm_card_visa_chargeDeclined"))
        .await
        .expect(201);
    world.clock.advance(SignedDuration::from_secs(10));
    world.paid("order-3").await;
    let middle = began + SignedDuration::from_secs(10);
    assert_eq!(
        order_numbers(&world, "status=success").await,
        ["order-3", "order-1"]
    );
    assert_eq!(order_numbers(&world, "status=failed").await, ["order-2"]);
    assert_eq!(
        order_numbers(&world, &format!("created_from={middle}")).await,
        ["order-3", "order-2"]
    );
    assert_eq!(
        order_numbers(&world, &format!("created_to={middle}")).await,
        ["order-1"]
    );
    assert_eq!(
        order_numbers(&world, &format!("status=success&created_from={middle}")).await,
        ["order-3"]
    );
    assert_eq!(order_numbers(&world, "order_no=order-2").await, ["order-2"]);
    assert!(
        order_numbers(&world, "order_no=order-2&status=success")
            .await
            .is_empty()
    );
    for bad in [
        "status=nonsense",
        "cursor=nonsense",
        "limit=0",
        "limit=101",
        "created_from=yesterday",
    ] {
        world
            .get(&format!("/api/v1/payments?{bad}"))
            .await
            .refused(422, "invalid-request");
    }
}

#[tokio::test]
async fn everybody_sees_what_is_theirs() {
    let world = World::new().await;
    let other = world.another_merchant().await;
    let payment_no = world.paid("order-1").await;
    let path = format!("/api/v1/payments/{payment_no}");

    world
        .call_as(&other, "GET", &path, None, &json!(null))
        .await
        .refused(404, "not-found");
    let theirs = world
        .call_as(&other, "GET", "/api/v1/payments", None, &json!(null))
        .await
        .expect(200);
    assert_eq!(theirs.json["data"], json!([]));
    let foreign = format!("/api/v1/payments?merchant_id={}", world.merchant.merchant_id);
    world
        .call_as(&other, "GET", &foreign, None, &json!(null))
        .await
        .refused(403, "other-merchant");

    // Staff say whose they want to see.
    world.staff("GET", &path, &json!(null)).await.expect(200);
    let seen = world.staff("GET", &foreign, &json!(null)).await.expect(200);
    assert_eq!(seen.json["data"][0]["payment_no"], json!(payment_no));
    world
        .staff("GET", "/api/v1/payments", &json!(null))
        .await
        .refused(422, "invalid-request");
    for nothing in [
        "pay_01h455vb4pex5vsknk084sn02q",
        "nonsense",
        "ref_01h455vb4pex5vsknk084sn02q",
    ] {
        world
            .get(&format!("/api/v1/payments/{nothing}"))
            .await
            .refused(404, "not-found");
    }
}
