//! The one table of the metrics (contract §9): registration, the scrape's help texts, docs/metrics.md and the tests all
//! come from here. Names are API: one is added, never renamed.

/// Buckets of durations: from a hit in memory to the longest usual hold.
const DURATIONS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// Buckets of lateness: most segments come around `E(n)`; the ends catch clocks that are wrong.
const LATENESS: &[f64] = &[-60.0, -2.0, -1.0, -0.5, 0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 60.0];

/// What a metric counts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, with these upper bounds.
    Histogram(&'static [f64]),
}

/// One metric: what the page, the scrape and the tests say of it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, which is API.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// Of what, or empty for a plain number.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, unit, labels, meaning }
}

const fn gauge(name: &'static str, unit: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels: &[], meaning }
}

const fn seconds(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram(DURATIONS), unit: "seconds", labels, meaning }
}

pub(super) const PUBLISH_DURATION: Metric = seconds(
    "headwater_publish_duration_seconds",
    &[],
    "from the request head to the answer of an upload, durable if it succeeded",
);
pub(super) const PUBLISH_SLOW: Metric =
    counter("headwater_publish_slow_total", "uploads", &[], "uploads that took over 500 ms");
pub(super) const DELIVER_DURATION: Metric = seconds(
    "headwater_deliver_duration_seconds",
    &["outcome", "class"],
    "from the request head to the answer's head, holds included",
);
pub(super) const RESPONSES: Metric = counter(
    "headwater_responses_total",
    "answers",
    &["listener", "outcome", "class"],
    "answers; on publish the outcome is the status",
);
pub(super) const HELD: Metric = gauge("headwater_held_requests", "requests", "requests that are being held");
pub(super) const HOLD_DURATION: Metric = seconds("headwater_hold_duration_seconds", &[], "how long requests were held");
pub(super) const SELECTED: Metric =
    counter("headwater_selected_total", "segments", &["pipeline"], "segments served, by whose candidate it was");
pub(super) const DEFECTS: Metric = counter(
    "headwater_defects_total",
    "defects",
    &["pipeline", "defect"],
    "defects of published segments, reported or found",
);
pub(super) const LATENESS_OF_SEGMENTS: Metric = Metric {
    name: "headwater_segment_lateness_seconds",
    kind: Kind::Histogram(LATENESS),
    unit: "seconds",
    labels: &["pipeline"],
    meaning: "publish time after the expected time E(n); negative is early",
};
pub(super) const STORE_DURATION: Metric = seconds(
    "headwater_store_duration_seconds",
    &["engine", "op"],
    "how long the store took; what is served from the live window does not ask it",
);
pub(super) const CACHE_BYTES: Metric =
    gauge("headwater_cache_bytes", "bytes", "media in the caches of this node: live window and DVR cache");
pub(super) const CACHE_REQUESTS: Metric = counter(
    "headwater_cache_requests_total",
    "lookups",
    &["tier", "result"],
    "lookups of media: `memory` is the live window, `dvr` what was read back before, `memcached` (in chunks) what a cluster keeps in front of it; `hit` or `miss`",
);
pub(super) const SHED: Metric =
    counter("headwater_shed_total", "requests", &["class"], "reads refused under stress (rows 11 and 12)");
pub(super) const UTILIZATION: Metric =
    gauge("headwater_store_utilization", "", "how hard the store works; 1 is its target");

pub(super) const MEMCACHED_FAILURES: Metric = counter(
    "headwater_memcached_failures_total",
    "requests",
    &[],
    "requests to memcached without an answer in time, or kept back because of those before; each is a read from the cluster, or a chunk that is not cached",
);
pub(super) const STORE_HEDGES: Metric = counter(
    "headwater_store_hedges_total",
    "requests",
    &[],
    "requests that a second node of a cluster was asked for too, because the first was slow",
);
pub(super) const FEEDS_LOST: Metric = gauge(
    "headwater_feeds_lost",
    "nodes",
    "nodes in `store.feeds` that cannot be heard; what they commit is seen a little later, what is arriving there is not",
);
pub(super) const DAMAGED_READS: Metric = counter(
    "headwater_damaged_reads_total",
    "reads",
    &[],
    "reads of stored bytes that are not those that were stored; another pipeline's are served",
);
pub(super) const DISK_USED: Metric = gauge("headwater_disk_used_bytes", "bytes", "what the embedded engine takes up");
pub(super) const DISK_FREE: Metric =
    gauge("headwater_disk_free_bytes", "bytes", "what can still be written to the data volume");
pub(super) const EXPIRED_EARLY: Metric = counter(
    "headwater_expired_early_bytes_total",
    "bytes",
    &[],
    "media that went before its time, because the data volume was nearly full",
);
pub(super) const FILES_MISSING: Metric = gauge(
    "headwater_missing_files",
    "files",
    "bucket files that the last start missed: somebody took them away, and what was in them",
);
pub(super) const FILES_DAMAGED: Metric = gauge(
    "headwater_damaged_files",
    "files",
    "bucket files that the last start found damaged; `headwater store check` says what is lost",
);
pub(super) const CMCD_REQUESTS: Metric = counter(
    "headwater_cmcd_requests_total",
    "requests",
    &["kind"],
    "requests of readers, by where they told CMCD (CTA-5004): `header`, `query` or `none`; counted only",
);

/// Every metric, in the order of the page.
pub const METRICS: &[Metric] = &[
    PUBLISH_DURATION,
    PUBLISH_SLOW,
    DELIVER_DURATION,
    RESPONSES,
    HELD,
    HOLD_DURATION,
    SELECTED,
    DEFECTS,
    LATENESS_OF_SEGMENTS,
    STORE_DURATION,
    CACHE_BYTES,
    CACHE_REQUESTS,
    MEMCACHED_FAILURES,
    STORE_HEDGES,
    FEEDS_LOST,
    SHED,
    UTILIZATION,
    DAMAGED_READS,
    DISK_USED,
    DISK_FREE,
    EXPIRED_EARLY,
    FILES_MISSING,
    FILES_DAMAGED,
    CMCD_REQUESTS,
];

/// The page docs/metrics.md.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "<!-- Generated by `cargo xtask docs` from crates/origin/src/metrics/table.rs. -->\n\n\
         # Metrics\n\n\
         Served in the Prometheus text format at `/metrics` of the ops listener. Names and labels are API.\n\n\
         - `class` is `publish`, `live`, `dvr` or `unknown`.\n\
         - `outcome` is a word of `Headwater-Outcome` (protocol §5); on the publish listener it is the status.\n\
         - `engine` is `log` or `cassandra`; `op` is `publish`, `remove`, `rows`, `standing`, `read`, `entries` or `write_entry`.\n\
         - A series appears with its first sample; plain counters and gauges are there from the start.\n\n\
         | name | kind | unit | labels | meaning |\n|---|---|---|---|---|\n",
    );
    for Metric { name, kind, unit, labels, meaning } in METRICS {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        page.push_str(&format!("| `{name}` | {kind} | {unit} | {labels} | {meaning} |\n"));
    }
    page
}
