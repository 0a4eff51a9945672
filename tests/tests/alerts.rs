//! Holds what operators go by true: the list of metrics is what the code exports, alerts ask only for metrics of the list, and each
//! has its paragraph in the runbook and its test.

#![expect(clippy::expect_used, reason = "a test ends where it is wrong")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Functions, labels and words of the alerts' expressions all differ from metrics in this: no metric of ours lacks these.
const PREFIXES: [&str; 8] = [
    "http_",
    "breaker_",
    "gateway_",
    "settlement_",
    "outbox_",
    "kafka_",
    "eventing_",
    "notifier_",
];
/// Labels that begin like metrics.
const LABELS: [&str; 3] = ["http_request_method", "http_route", "http_response_status_code"];

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(house().join(path)).expect(path)
}

/// The metrics that the code makes, by the names that Prometheus sees.
fn exported() -> BTreeSet<String> {
    let mut metrics = BTreeSet::new();
    for member in [
        "platform",
        "eventing",
        "payment-gateway",
        "settlement",
        "notifier",
        "analytics-consumer",
    ] {
        let mut folders = vec![house().join(member).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let source = std::fs::read_to_string(&path).expect("a source");
                    metrics.extend(made_in(&source));
                }
            }
        }
    }
    metrics
}

/// `.u64_counter("eventing_records").with_unit("s") … .build()`, for every instrument of a source file.
fn made_in(source: &str) -> Vec<String> {
    let kinds = [
        ("_counter(\"", "_total"),
        ("_gauge(\"", ""),
        ("_histogram(\"", ""),
    ];
    let mut made = Vec::new();
    for (kind, suffix) in kinds {
        for (at, _) in source.match_indices(kind) {
            let (before, call) = source.split_at(at);
            let made_as = call.strip_prefix(kind).expect("what was found");
            let (name, rest) = made_as.split_once('"').expect("the end of a name");
            let chain = rest.split(".build()").next().unwrap_or_default();
            let unit = if chain.contains("with_unit(\"s\")") {
                "_seconds"
            } else {
                ""
            };
            let suffix = if before.ends_with("up_down") { "" } else { suffix };
            made.push(format!("{}{unit}{suffix}", name.replace('.', "_")));
        }
    }
    made
}

/// The first column of the table in the README, without labels.
fn documented() -> BTreeSet<String> {
    let readme = read("deploy/prometheus/README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split(['{', '`']).next().unwrap_or_default().to_owned())
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

/// The metrics that the alerts ask for.
fn asked_for() -> BTreeSet<String> {
    let rules = read("deploy/prometheus/alerts.yml");
    words(&rules)
        .filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)) && !LABELS.contains(word))
        .map(|metric| metric.strip_suffix("_count").unwrap_or(metric).to_owned())
        .collect()
}

fn alerts() -> Vec<String> {
    let rules = read("deploy/prometheus/alerts.yml");
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn the_list_of_metrics_is_what_the_code_exports() {
    let (exported, documented) = (exported(), documented());
    let missing: Vec<_> = exported.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&exported).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "deploy/prometheus/README.md lacks {missing:?}, and lists what no code exports: {gone:?}"
    );
}

#[test]
fn alerts_ask_only_for_what_is_exported() {
    let (asked_for, exported) = (asked_for(), exported());
    assert!(asked_for.len() > 10, "{asked_for:?}");
    let unknown: Vec<_> = asked_for.difference(&exported).collect();
    assert!(unknown.is_empty(), "no code exports {unknown:?}");
}

#[test]
fn every_alert_has_a_paragraph_and_a_test() {
    let (runbook, tests) = (
        read("deploy/prometheus/RUNBOOK.md"),
        read("deploy/prometheus/alerts_test.yml"),
    );
    let headings: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let alerts = alerts();
    let known: BTreeSet<_> = alerts.iter().map(String::as_str).collect();
    assert_eq!(headings, known, "the runbook's headings are the alerts");
    let untested: Vec<_> = alerts
        .iter()
        .filter(|alert| !tests.contains(&format!("alertname: {alert}\n        exp_alerts:\n")))
        .collect();
    assert!(untested.is_empty(), "no test sees these come: {untested:?}");
}
