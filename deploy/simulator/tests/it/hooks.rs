//! The merchants' ends.

use std::time::Duration;

use serde_json::json;

use crate::support::{World, page};

#[tokio::test]
async fn what_is_posted_is_kept_as_it_came() {
    let world = World::start().await;
    let body = "{\"a\":  1}\n";
    let sent = world
        .client
        .post(world.url("/hooks/shop/orders?x=1"))
        .header("Webhook-Id", "msg_1")
        .body(body);
    assert_eq!(sent.send().await.unwrap().status(), 200);

    let received = world.control("/control/hooks?path=shop/orders").await;

    let request = &received["requests"][0];
    assert_eq!(received["requests"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&request["body"], &request["query"]),
        (&body.into(), &"x=1".into())
    );
    assert_eq!(
        (&request["headers"]["webhook-id"], &request["answered"]),
        (&"msg_1".into(), &200.into())
    );
    assert_eq!(
        world.control("/control/hooks?path=other").await["requests"],
        json!([])
    );
    let shown = page(world.client.get(world.url("/hooks")).send().await.unwrap()).await;
    assert!(
        shown.contains("/hooks/shop/orders") && shown.contains("msg_1"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_receiver_answers_as_ordered_and_others_do_not_notice() {
    let world = World::start().await;
    let post = |path: &str| {
        world
            .client
            .post(world.url(path))
            .timeout(Duration::from_millis(500))
            .send()
    };
    for (mode, status) in [("fail", 500), ("redirect", 302), ("large", 200)] {
        world
            .order(
                "/control/hooks",
                json!({ "mode": mode, "path": "bad", "count": 1 }),
            )
            .await;
        assert_eq!(post("/hooks/bad").await.unwrap().status(), status, "{mode}");
        assert_eq!(post("/hooks/bad").await.unwrap().status(), 200, "used up");
    }
    world
        .order("/control/hooks", json!({ "mode": "hang", "path": "bad" }))
        .await;
    assert!(post("/hooks/bad").await.unwrap_err().is_timeout());
    assert_eq!(post("/hooks/good").await.unwrap().status(), 200);
    world.order("/control/hooks", json!({ "mode": "fail" })).await;
    assert_eq!(post("/hooks/good").await.unwrap().status(), 500);
    world.order("/control/reset", json!({})).await;
    assert_eq!(post("/hooks/bad").await.unwrap().status(), 200);
}
