//! Counters for Prometheus. Every label comes from a closed set, so that no request can make the page grow.
//!
//! `vault_*` names are kept for existing dashboards; `chancery_*` ones use base units and histograms.

use crate::{core::Core, mount::MountClass, reply::Reply};
use chancery_engine::{Fault, Operation};
use std::{
    fmt::Write as _,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// Engine kinds that have a label of their own; all else is `other`.
const KINDS: [&str; 8] = ["system", "transit", "pki", "cubbyhole", "token", "approle", "userpass", "other"];
const OPERATIONS: [Operation; 7] = [
    Operation::Create,
    Operation::Read,
    Operation::Update,
    Operation::Patch,
    Operation::Delete,
    Operation::List,
    Operation::Scan,
];
/// Whose fault it was: told apart without knowing statuses.
const RESULTS: [&str; 4] = ["ok", "caller", "denied", "server"];
/// Upper bounds of the histogram's buckets, in microseconds.
const BUCKETS: [u64; 12] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000];
const SERIES: usize = KINDS.len() * OPERATIONS.len() * RESULTS.len();

/// All counters of one appliance.
pub struct Metrics {
    requests: Vec<Histogram>,
    in_flight: AtomicI64,
    audit_request_failures: AtomicU64,
    audit_response_failures: AtomicU64,
    connections: AtomicU64,
    handshake_failures: AtomicU64,
    panics: AtomicU64,
    given_again: AtomicU64,
}

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    microseconds: AtomicU64,
}

/// A request under way; counted out when dropped.
pub struct InFlight<'m> {
    metrics: &'m Metrics,
    started: Instant,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: (0..SERIES).map(|_| Histogram::default()).collect(),
            in_flight: AtomicI64::new(0),
            audit_request_failures: AtomicU64::new(0),
            audit_response_failures: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            handshake_failures: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            given_again: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    pub(crate) fn request_started(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight { metrics: self, started: Instant::now() }
    }

    /// No sink recorded a line.
    pub(crate) fn audit_failed(&self, of_request: bool) {
        let counter = if of_request { &self.audit_request_failures } else { &self.audit_response_failures };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_accepted(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshake_failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn handler_panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }
}

impl InFlight<'_> {
    /// When the request came in.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Counts the request by what it was and what came of it.
    pub(crate) fn finish(self, kind: &str, operation: Operation, reply: &Reply) {
        self.count(kind, operation, result_index(reply));
    }

    /// The same for an answer that was there already.
    pub(crate) fn finish_again(self, kind: &str, operation: Operation) {
        self.metrics.given_again.fetch_add(1, Relaxed);
        self.count(kind, operation, 0);
    }

    fn count(self, kind: &str, operation: Operation, result: usize) {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let kind = KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1);
        let operation = OPERATIONS.iter().position(|known| *known == operation).unwrap_or(0);
        let index = (kind * OPERATIONS.len() + operation) * RESULTS.len() + result;
        let Some(series) = self.metrics.requests.get(index) else { return };
        series.count.fetch_add(1, Relaxed);
        series.microseconds.fetch_add(elapsed, Relaxed);
        if let Some(bucket) = BUCKETS.iter().position(|bound| elapsed <= *bound).and_then(|at| series.buckets.get(at)) {
            bucket.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Relaxed);
    }
}

fn result_index(reply: &Reply) -> usize {
    match &reply.outcome {
        Ok(_) => 0,
        Err(Fault::Denied | Fault::Refused(_)) => 2,
        Err(Fault::Sealed | Fault::Busy { .. } | Fault::Dependency(_) | Fault::Internal(_) | Fault::Bug(_)) => 3,
        Err(_) => 1,
    }
}

/// The page that `sys/metrics?format=prometheus` serves.
#[must_use]
pub fn render(core: &Core) -> String {
    let metrics = &core.metrics;
    let mut page = Page::default();
    let flag = |value: bool| u64::from(value).to_string();
    let open = core.is_open();
    page.single("vault_core_unsealed", "gauge", "Whether the barrier is open.", &flag(open));
    page.single("vault_core_active", "gauge", "Whether this node serves requests.", &flag(open));
    let in_flight = metrics.in_flight.load(Relaxed).to_string();
    page.single("vault_core_in_flight_requests", "gauge", "Requests under way.", &in_flight);
    let (count, microseconds) = metrics.requests.iter().fold((0, 0_u64), |(count, total), series| {
        (count + series.count.load(Relaxed), total.saturating_add(series.microseconds.load(Relaxed)))
    });
    page.head("vault_core_handle_request", "summary", "Requests handled, in milliseconds as Vault counts.");
    page.line("vault_core_handle_request_sum", "", &milliseconds(microseconds));
    page.line("vault_core_handle_request_count", "", &count.to_string());
    page.counter(
        "vault_audit_log_request_failure",
        "Requests no audit sink recorded.",
        &metrics.audit_request_failures,
    );
    page.counter(
        "vault_audit_log_response_failure",
        "Answers no audit sink recorded.",
        &metrics.audit_response_failures,
    );
    request_histogram(metrics, &mut page);
    page.counter("chancery_connections_total", "Connections accepted.", &metrics.connections);
    page.counter("chancery_tls_handshake_failures_total", "TLS handshakes that failed.", &metrics.handshake_failures);
    page.counter("chancery_handler_panics_total", "Handlers that crashed.", &metrics.panics);
    page.counter(
        "chancery_answers_given_again_total",
        "Published answers that went out again without their engine being asked.",
        &metrics.given_again,
    );
    let unsigned = core.audit.unsigned_lines().to_string();
    page.single("chancery_audit_unsigned_lines", "gauge", "Audit lines since the last checkpoint.", &unsigned);
    page.head("chancery_mounts", "gauge", "Mounts in service.");
    for (class, label) in [(MountClass::Secret, "secret"), (MountClass::Auth, "auth")] {
        page.line("chancery_mounts", &format!("class=\"{label}\""), &core.mounts.list(class).len().to_string());
    }
    page.text
}

fn request_histogram(metrics: &Metrics, page: &mut Page) {
    const NAME: &str = "chancery_http_request_duration_seconds";
    page.head(NAME, "histogram", "Requests by engine kind, operation and result.");
    for (index, series) in metrics.requests.iter().enumerate() {
        let count = series.count.load(Relaxed);
        if count == 0 {
            continue;
        }
        let result = RESULTS.get(index % RESULTS.len()).copied().unwrap_or_default();
        let index = index / RESULTS.len();
        let operation = OPERATIONS.get(index % OPERATIONS.len()).map_or("", |operation| operation.as_str());
        let kind = KINDS.get(index / OPERATIONS.len()).copied().unwrap_or_default();
        let labels = format!("mount_type=\"{kind}\",op=\"{operation}\",result=\"{result}\"");
        let mut below = 0;
        for (bound, bucket) in BUCKETS.iter().zip(&series.buckets) {
            below += bucket.load(Relaxed);
            page.line(&format!("{NAME}_bucket"), &format!("{labels},le=\"{}\"", seconds(*bound)), &below.to_string());
        }
        page.line(&format!("{NAME}_bucket"), &format!("{labels},le=\"+Inf\""), &count.to_string());
        page.line(&format!("{NAME}_sum"), &labels, &seconds(series.microseconds.load(Relaxed)));
        page.line(&format!("{NAME}_count"), &labels, &count.to_string());
    }
}

fn seconds(microseconds: u64) -> String {
    let text = format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:03}", microseconds / 1_000, microseconds % 1_000)
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _infallible = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: &str) {
        let _infallible = if labels.is_empty() {
            writeln!(self.text, "{name} {value}")
        } else {
            writeln!(self.text, "{name}{{{labels}}} {value}")
        };
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: &str) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: &AtomicU64) {
        self.single(name, "counter", help, &value.load(Relaxed).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_engine_kind_does_not_make_a_label() {
        let metrics = Metrics::default();
        let reply = Reply::new("", Err(Fault::Denied));
        metrics.request_started().finish("attacker-chosen", Operation::Read, &reply);
        let mut page = Page::default();
        request_histogram(&metrics, &mut page);
        assert!(
            page.text.contains("mount_type=\"other\",op=\"read\",result=\"denied\",le=\"+Inf\"} 1"),
            "{}",
            page.text
        );
        assert!(!page.text.contains("attacker"));
        assert_eq!(metrics.in_flight.load(Relaxed), 0);
    }

    #[test]
    fn units_are_written_exactly() {
        assert_eq!(seconds(50), "0.00005");
        assert_eq!(seconds(1_000_000), "1");
        assert_eq!(milliseconds(1_234), "1.234");
    }
}
