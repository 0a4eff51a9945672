//! The control API: documented, strict, and ended by a reset.

use serde_json::{Value, json};

use crate::support::{World, answer, ok, page, snapshot};

#[tokio::test]
async fn everything_that_is_documented_is_there() {
    let world = World::start().await;
    let guide = world.control("/control").await;
    for entry in guide["control"].as_array().unwrap() {
        let (method, path) = (entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
        let method: reqwest::Method = method.parse().unwrap();
        let unknown = json!({ "no_such_field": 1 });
        let request = world.client.request(method.clone(), world.url(path));
        if method == reqwest::Method::GET {
            assert_eq!(answer(request).await.0, 200, "{path}");
        } else {
            let (status, body) = answer(request.json(&unknown)).await;
            assert_eq!(status, 400, "{path}");
            assert!(
                body["error"]
                    .as_str()
                    .unwrap()
                    .contains("unknown field `no_such_field`"),
                "{path}: {body}"
            );
        }
    }
    snapshot("control", guide);
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused() {
    let world = World::start().await;
    for (path, order) in [
        (
            "/control/psp/next",
            json!({ "operation": "payment", "behaviour": "explode" }),
        ),
        (
            "/control/psp/next",
            json!({ "operation": "lookup", "behaviour": "decline" }),
        ),
        (
            "/control/psp/next",
            json!({ "operation": "payment", "behaviour": "delay" }),
        ),
        (
            "/control/psp/next",
            json!({ "operation": "payment", "behaviour": "decline", "delay_ms": 5 }),
        ),
        (
            "/control/psp/next",
            json!({ "operation": "payment", "behaviour": "decline", "count": 0 }),
        ),
        ("/control/psp/webhooks", json!({ "mode": "held", "window_ms": 5 })),
        (
            "/control/bank/next",
            json!({ "behaviour": "delay", "delay_ms": 0 }),
        ),
        ("/control/mail", json!({ "mode": "down", "count": 1 })),
        ("/control/hooks", json!({ "mode": "fail", "count": 0 })),
        ("/control/psp/webhook-target", json!({ "url": "not a url" })),
    ] {
        let (status, body) = answer(world.client.post(world.url(path)).json(&order)).await;
        assert_eq!(status, 400, "{path} {order}");
        assert!(body["error"].is_string());
    }
    assert_eq!(
        answer(world.client.post(world.url("/control/nothing"))).await.0,
        404
    );
}

#[tokio::test]
async fn a_reset_ends_all_misbehaviour_and_keeps_the_books() {
    let world = World::start_with_webhooks().await;
    let calm = world.control("/control/state").await;
    world
        .order(
            "/control/psp/next",
            json!({ "operation": "payment", "behaviour": "server_error", "count": 9 }),
        )
        .await;
    world
        .order("/control/psp/webhooks", json!({ "mode": "held" }))
        .await;
    world
        .order("/control/psp/search", json!({ "lag_seconds": 5 }))
        .await;
    world
        .order("/control/bank/next", json!({ "behaviour": "fail" }))
        .await;
    world.order("/control/mail", json!({ "mode": "reject" })).await;
    world.order("/control/hooks", json!({ "mode": "fail" })).await;
    assert_ne!(world.control("/control/state").await, calm);

    world.order("/control/reset", json!({})).await;

    assert_eq!(world.control("/control/state").await, calm);
    ok(world.charge("pay_1", "pm_card_visa")).await;
    world
        .order("/control/reset", json!({ "mail": true, "hooks": true }))
        .await;
    assert_eq!(world.psp_book().await["payments"][0]["amount_charged"], 1000);
}

#[tokio::test]
async fn pages_are_readable_without_anything_from_elsewhere() {
    let world = World::start().await;
    ok(world.charge("pay_1", "pm_card_visa")).await;
    for path in ["/", "/books", "/mail", "/hooks", "/control"] {
        let response = world
            .client
            .get(world.url(path))
            .header("accept", "text/html")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let html = page(response).await;
        assert!(
            html.contains("<h1>") && !html.contains("<script") && !html.contains("//cdn"),
            "{path}"
        );
    }
    let books = page(world.client.get(world.url("/books")).send().await.unwrap()).await;
    assert!(books.contains("pay_1") && books.contains("10.00 EUR"));
    assert_eq!(
        world
            .client
            .get(world.url("/nothing"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(world.control("/health").await, json!({ "status": "ready" }));
    assert_eq!(
        world.control("/control/books/psp").await["forgotten"],
        Value::from(0)
    );
}
