//! What the process shows in metrics. All its tests share it, so each looks for its own labels only.

use std::sync::OnceLock;

use opentelemetry_sdk::metrics::SdkMeterProvider;

static REGISTRY: OnceLock<prometheus::Registry> = OnceLock::new();

/// Collects from now on. To be called before what is to be measured is made.
pub(crate) fn collect() {
    REGISTRY.get_or_init(|| {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .build()
            .unwrap();
        opentelemetry::global::set_meter_provider(SdkMeterProvider::builder().with_reader(exporter).build());
        registry
    });
}

/// As Prometheus reads it.
pub(crate) fn shown() -> String {
    let families = REGISTRY.get().unwrap().gather();
    prometheus::TextEncoder::new()
        .encode_to_string(&families)
        .unwrap()
}

/// Whether a line holds all of these, and this value.
pub(crate) fn shows(name: &str, labels: &[&str], value: &str) -> bool {
    shown().lines().any(|line| {
        line.starts_with(name)
            && labels.iter().all(|label| line.contains(label))
            && line.ends_with(&format!(" {value}"))
    })
}

/// The value of the first line that holds all of these.
pub(crate) fn value(name: &str, labels: &[&str]) -> Option<f64> {
    let shown = shown();
    let mut lines = shown.lines().filter(|line| line.starts_with(name));
    let line = lines.find(|line| labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}
