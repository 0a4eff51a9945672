//! What Prometheus gets is what the list of metrics promises, by name, kind and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use local::service::Service;
use system_tests::{World, eventually, story, topics};

/// What the exporter adds: the library that measured, and a histogram's bounds.
const NOT_OURS: [&str; 2] = ["otel_scope_name", "le"];
/// These appear when something is wrong that this story does not bring about.
const IN_TROUBLE: [&str; 8] = [
    "breaker_open",
    "breaker_transitions_total",
    "gateway_psp_conflicts_total",
    "settlement_payout_conflicts_total",
    "settlement_payout_stuck_looks_total",
    "eventing_retries_total",
    "eventing_breaker_open",
    "eventing_held_seconds_total",
];

#[derive(Debug, PartialEq, Eq, Default)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

/// The table in `deploy/prometheus/README.md`.
fn listed() -> Result<BTreeMap<String, Metric>> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/README.md");
    let readme = std::fs::read_to_string(readme)?;
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (metric, text) = row.split_once('`').context("the end of a name")?;
        let (name, labels) = metric
            .trim_end_matches('}')
            .split_once('{')
            .unwrap_or((metric, ""));
        let kind = match text {
            _ if name.ends_with("_total") => "counter",
            _ if text.contains("histogram") => "histogram",
            _ => "gauge",
        };
        let labels = labels.split(',').filter(|label| !label.is_empty());
        let metric = Metric {
            kind: kind.to_owned(),
            labels: labels.map(str::to_owned).collect(),
        };
        Ok((name.to_owned(), metric))
    })
    .collect()
}

/// The metrics of a scrape in Prometheus' text format.
fn scraped(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::<String, Metric>::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            kind.clone_into(&mut metrics.entry(name.to_owned()).or_default().kind);
            continue;
        }
        let Some((sample, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let suffixes = ["_bucket", "_sum", "_count"];
        let family = suffixes.iter().find_map(|suffix| sample.strip_suffix(suffix));
        let name = family
            .filter(|family| metrics.contains_key(*family))
            .unwrap_or(sample);
        let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
        let labels = labels.map(|(label, _)| label.to_owned());
        metrics
            .entry(name.to_owned())
            .or_default()
            .labels
            .extend(labels.filter(|label| !NOT_OURS.contains(&label.as_str())));
    }
    metrics.remove("target_info");
    metrics
}

async fn scrape(world: &World, service: Service) -> Result<BTreeMap<String, Metric>> {
    let metrics = format!("{}/metrics", world.operations(service));
    let answer = world.http.get(metrics).send().await?.error_for_status()?;
    Ok(scraped(&answer.text().await?))
}

#[test]
fn what_is_scraped_is_what_is_listed() {
    let groups = [Service::Settlement, Service::Notifier, Service::AnalyticsConsumer];
    story(&groups.map(|service| (service, 1)), async |world| {
        let listed = listed()?;
        let kafka = &world.platform.backbone().kafka;
        topics::produce(kafka, "payments.payment.v1", b"poison", b"no event")?;
        world.shop().await?.charged().await?;
        eventually("every metric of a platform that works", async || {
            let mut seen = BTreeSet::new();
            for service in Service::ALL {
                for (name, metric) in scrape(world, service).await? {
                    let promised = listed.get(&name);
                    let promised =
                        promised.with_context(|| format!("{service} has {name}, which is not listed"))?;
                    ensure!(
                        metric.kind == promised.kind && metric.labels.is_subset(&promised.labels),
                        "{service} has {name} as {metric:?}, and the list {promised:?}"
                    );
                    if metric.labels == promised.labels {
                        seen.insert(name);
                    }
                }
            }
            let missing: Vec<&String> = listed.keys().filter(|name| !seen.contains(*name)).collect();
            let unexpected = missing.iter().filter(|name| !IN_TROUBLE.contains(&name.as_str()));
            let unexpected: Vec<_> = unexpected.collect();
            ensure!(
                unexpected.is_empty(),
                "not scraped, or without its labels: {unexpected:?}"
            );
            Ok(Some(()))
        })
        .await
    });
}
