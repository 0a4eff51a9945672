use local::backbone::registry::register;
use local::http::{Http, answer};
use schemas::catalogue;
use serde_json::{Value, json};

fn registry_url() -> String {
    std::env::var("TEST_SCHEMA_REGISTRY_URL")
        .expect("TEST_SCHEMA_REGISTRY_URL must name a schema registry: run the tests through deploy/test")
}

/// A subject of this test run only.
fn subject(name: &str) -> String {
    format!("local-{name}-{}-value", std::process::id())
}

fn with(schema: &str, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut schema: Value = serde_json::from_str(schema).unwrap();
    change(schema["fields"].as_array_mut().unwrap());
    schema.to_string()
}

#[tokio::test]
async fn the_running_registry_refuses_a_schema_that_breaks_subscribers() {
    let (http, url, subject) = (Http::new().unwrap(), registry_url(), subject("refused"));
    let schema = catalogue::PAYMENTS.schema;
    register(&http, &url, &subject, schema).await.unwrap();

    let required = with(schema, |fields| {
        fields.push(json!({ "name": "mandatory", "type": "string", "doc": "No default." }));
    });
    let error = register(&http, &url, &subject, &required)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("incompatible"), "{error}");

    let retyped = with(schema, |fields| {
        let sequence = fields
            .iter_mut()
            .find(|field| field["name"] == "sequence")
            .unwrap();
        sequence["type"] = json!("string");
    });
    let error = register(&http, &url, &subject, &retyped)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("incompatible"), "{error}");

    let versions: Vec<u32> = answer(http.get(format!("{url}/subjects/{subject}/versions")))
        .await
        .unwrap();
    assert_eq!(versions, [1]);
}

#[tokio::test]
async fn the_running_registry_takes_a_schema_that_every_subscriber_can_read() {
    let (http, url, subject) = (Http::new().unwrap(), registry_url(), subject("taken"));
    let schema = catalogue::PAYMENTS.schema;
    let first = register(&http, &url, &subject, schema).await.unwrap();
    let optional = with(schema, |fields| {
        fields.push(json!({
            "name": "later", "type": ["null", "string"], "default": null, "doc": "Added later."
        }));
    });
    let second = register(&http, &url, &subject, &optional).await.unwrap();
    assert_ne!(first, second);
    // The same schema again is the same id: a restart of the launcher registers nothing new.
    assert_eq!(register(&http, &url, &subject, schema).await.unwrap(), first);
}
