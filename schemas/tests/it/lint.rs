//! The linter: what a registry's compatibility check misses. A changed `logicalType` is accepted by registries, an enum
//! without a default only refused once a symbol is added, and a missing doc never.

use schemas::catalogue::TOPICS;
use serde_json::Value;

/// What is wrong with a schema, one line a finding.
fn findings(schema: &str) -> Vec<String> {
    let mut findings = Vec::new();
    walk(&serde_json::from_str(schema).unwrap(), "", &mut findings);
    findings
}

fn walk(value: &Value, path: &str, findings: &mut Vec<String>) {
    match value {
        Value::Array(branches) => {
            if branches.first() != Some(&Value::from("null")) {
                findings.push(format!(
                    "{path}: a union starts with null, so that null can be its default"
                ));
            }
            for branch in branches {
                walk(branch, path, findings);
            }
        }
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("record") => record(object, path, findings),
            Some("enum") => {
                documented(object, path, findings);
                let symbols = object["symbols"].as_array().unwrap();
                if object.get("default") != Some(&"UNKNOWN".into()) || !symbols.contains(&"UNKNOWN".into()) {
                    findings.push(format!("{path}: an enum has the symbol and the default UNKNOWN"));
                }
            }
            _ => {}
        },
        _ => {}
    }
}

fn record(object: &serde_json::Map<String, Value>, path: &str, findings: &mut Vec<String>) {
    documented(object, path, findings);
    for field in object["fields"].as_array().unwrap() {
        let field = field.as_object().unwrap();
        let path = format!("{path}/{}", field["name"].as_str().unwrap());
        documented(field, &path, findings);
        if field["type"].is_array() && field.get("default") != Some(&Value::Null) {
            findings.push(format!("{path}: a nullable field defaults to null"));
        }
        if path.ends_with("_at") && field["type"]["logicalType"] != "timestamp-micros" {
            findings.push(format!("{path}: an instant is a timestamp-micros"));
        }
        if path.contains("amount") && field["type"] != "long" {
            findings.push(format!("{path}: an amount is a long of minor units"));
        }
        walk(&field["type"], &path, findings);
    }
}

fn documented(object: &serde_json::Map<String, Value>, path: &str, findings: &mut Vec<String>) {
    if object
        .get("doc")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        findings.push(format!("{path}: no doc"));
    }
}

/// The logical type of every field, by path: these may never change.
fn logical_types(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Array(branches) => branches
            .iter()
            .for_each(|branch| logical_types(branch, path, into)),
        Value::Object(object) => {
            if let Some(logical) = object.get("logicalType").and_then(Value::as_str) {
                into.push(format!("{path} {logical}"));
            }
            for field in object
                .get("fields")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                logical_types(
                    &field["type"],
                    &format!("{path}/{}", field["name"].as_str().unwrap()),
                    into,
                );
            }
        }
        _ => {}
    }
}

#[test]
fn every_schema_passes_the_linter() {
    for topic in TOPICS {
        assert_eq!(findings(topic.schema), Vec::<String>::new(), "{}", topic.name);
        let Value::Object(schema) = serde_json::from_str(topic.schema).unwrap() else {
            panic!("no record")
        };
        let has = |name: &str| {
            schema["fields"]
                .as_array()
                .unwrap()
                .iter()
                .any(|f| f["name"] == name)
        };
        let envelope = [
            "event_id",
            "event_type",
            "occurred_at",
            "merchant_id",
            "sequence",
            "old_status",
            "new_status",
            "currency",
            topic.key_field,
        ];
        for name in envelope {
            assert!(has(name), "{} has no {name}", topic.name);
        }
    }
}

#[test]
fn the_linter_sees_what_a_registry_lets_pass() {
    let schema = TOPICS[0].schema;
    let breaks = |from: &str, to: &str| {
        assert_ne!(
            schema.replacen(from, to, 1),
            schema,
            "the mutation {from:?} changes nothing"
        );
        !findings(&schema.replacen(from, to, 1)).is_empty()
    };
    assert!(breaks("timestamp-micros", "timestamp-millis"));
    assert!(breaks(r#""default": "UNKNOWN""#, r#""default": "pending""#));
    assert!(breaks(
        r#""doc": "Unique per event"#,
        r#""dock": "Unique per event"#
    ));
    assert!(breaks(r#""default": null"#, r#""dflt": null"#));
}

#[test]
fn logical_types_are_those_that_subscribers_decode_today() {
    let mut all = Vec::new();
    for topic in TOPICS {
        logical_types(&serde_json::from_str(topic.schema).unwrap(), topic.name, &mut all);
    }
    let fixed = [
        "payments.payment.v1/event_id uuid",
        "payments.payment.v1/occurred_at timestamp-micros",
        "settlements.settlement.v1/event_id uuid",
        "settlements.settlement.v1/occurred_at timestamp-micros",
        "settlements.settlement.v1/period_start timestamp-micros",
        "settlements.settlement.v1/period_end timestamp-micros",
        "settlements.withdrawal.v1/event_id uuid",
        "settlements.withdrawal.v1/occurred_at timestamp-micros",
    ];
    assert_eq!(
        all, fixed,
        "a changed logical type breaks every subscriber, and no registry refuses it"
    );
}
