//! The metrics of contract §9: what is counted, by the names of [`table`]. Every handle is made once; a request only adds
//! to it.

mod handles;
mod table;

use std::sync::OnceLock;
use std::time::Duration;

use headwater_model::defect::DefectKind;
use headwater_model::{Outcome, Pipeline};
use headwater_store::{Caches, Volume};
use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::deliver::cmcd::Cmcd;
use handles::Handles;
pub use table::{Kind, METRICS, Metric, page};

/// What kind of request it was: the label `class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An upload.
    Publish,
    /// A segment within the live window, or due.
    Live,
    /// An older segment.
    Dvr,
    /// No segment of a known event.
    Unknown,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Publish, Self::Live, Self::Dvr, Self::Unknown];

    /// The label's value.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Live => "live",
            Self::Dvr => "dvr",
            Self::Unknown => "unknown",
        }
    }
}

/// A publish that takes longer is a fault to be found (system §2).
pub const PUBLISH_SLOW: Duration = Duration::from_millis(500);

/// Every metric of a server.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    publish_duration: Histogram,
    publish_slow: Counter,
    publish_responses: Handles<u16, Counter>,
    /// By outcome and class; registered when first used, because most pairs never occur.
    delivered: Vec<OnceLock<(Counter, Histogram)>>,
    held: Gauge,
    hold_duration: Histogram,
    selected: Handles<Pipeline, Counter>,
    defects: Handles<(Pipeline, DefectKind), Counter>,
    lateness: Handles<Pipeline, Histogram>,
    damaged: Counter,
    cache_bytes: Gauge,
    /// Hits and misses of the live window, of the DVR cache, and of memcached.
    caches: [[Counter; 2]; 3],
    memcached_failures: Counter,
    hedges: Counter,
    feeds_lost: Gauge,
    shed: [Counter; Class::ALL.len()],
    cmcd: [Counter; Cmcd::ALL.len()],
    utilization: Gauge,
    /// Used and free bytes, missing and damaged files.
    volume: [Gauge; 4],
    early_bytes: Counter,
}

const METADATA: Metadata<'_> = Metadata::new("headwater", Level::INFO, None);

impl Default for Metrics {
    fn default() -> Self {
        let recorder = recorder();
        let counter = |metric, values: &[&str]| recorder.register_counter(&key(metric, values), &METADATA);
        let gauge = |metric| recorder.register_gauge(&key(metric, &[]), &METADATA);
        let histogram = |metric| recorder.register_histogram(&key(metric, &[]), &METADATA);
        let pairs = Outcome::ALL.len() * Class::ALL.len();
        Self {
            handle: recorder.handle(),
            publish_duration: histogram(&table::PUBLISH_DURATION),
            publish_slow: counter(&table::PUBLISH_SLOW, &[]),
            publish_responses: Handles::default(),
            delivered: (0..pairs).map(|_| OnceLock::new()).collect(),
            held: gauge(&table::HELD),
            hold_duration: histogram(&table::HOLD_DURATION),
            selected: Handles::default(),
            defects: Handles::default(),
            lateness: Handles::default(),
            damaged: counter(&table::DAMAGED_READS, &[]),
            cache_bytes: gauge(&table::CACHE_BYTES),
            caches: ["memory", "dvr", "memcached"]
                .map(|tier| ["hit", "miss"].map(|result| counter(&table::CACHE_REQUESTS, &[tier, result]))),
            memcached_failures: counter(&table::MEMCACHED_FAILURES, &[]),
            hedges: counter(&table::STORE_HEDGES, &[]),
            feeds_lost: gauge(&table::FEEDS_LOST),
            shed: Class::ALL.map(|class| counter(&table::SHED, &[class.word()])),
            cmcd: Cmcd::ALL.map(|kind| counter(&table::CMCD_REQUESTS, &[kind.word()])),
            utilization: gauge(&table::UTILIZATION),
            volume: [&table::DISK_USED, &table::DISK_FREE, &table::FILES_MISSING, &table::FILES_DAMAGED].map(gauge),
            early_bytes: counter(&table::EXPIRED_EARLY, &[]),
            recorder,
        }
    }
}

/// A recorder that knows the table's buckets and meanings.
fn recorder() -> PrometheusRecorder {
    let builder = METRICS.iter().fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(buckets) => {
            let built = builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), buckets);
            built.unwrap_or_else(|_| unreachable!("bucket lists are constant and not empty"))
        }
        Kind::Counter | Kind::Gauge => builder,
    });
    let recorder = builder.build_recorder();
    for metric in METRICS {
        let (name, text) = (KeyName::from_const_str(metric.name), metric.meaning.into());
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, None, text),
            Kind::Gauge => recorder.describe_gauge(name, None, text),
            Kind::Histogram(_) => recorder.describe_histogram(name, None, text),
        }
    }
    recorder
}

/// A series of `metric`: `values` are those of its labels, in the table's order.
fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(values).map(|(label, value)| Label::new(*label, (*value).to_owned()));
    Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

impl Metrics {
    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Keeps the histograms' memory bounded; to be called every few seconds.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// An upload was answered.
    pub fn published(&self, status: StatusCode, spent: Duration) {
        self.publish_duration.record(spent);
        if spent > PUBLISH_SLOW {
            self.publish_slow.increment(1);
        }
        let values = ["publish", status.as_str(), Class::Publish.word()];
        let make = || self.counter(&table::RESPONSES, &values);
        self.publish_responses.with(&status.as_u16(), make, |count| count.increment(1));
    }

    /// A reader was answered.
    pub fn delivered(&self, outcome: Outcome, class: Class, spent: Duration) {
        let place = &self.delivered[outcome as usize * Class::ALL.len() + class as usize];
        let (count, time) = place.get_or_init(|| {
            let responses = self.counter(&table::RESPONSES, &["deliver", outcome.word(), class.word()]);
            (responses, self.histogram(&table::DELIVER_DURATION, &[outcome.word(), class.word()]))
        });
        count.increment(1);
        time.record(spent);
    }

    /// A request is held from now on.
    pub fn hold_started(&self) {
        self.held.increment(1.0);
    }

    /// A held request was answered or given up.
    pub fn hold_ended(&self, spent: Duration) {
        self.held.decrement(1.0);
        self.hold_duration.record(spent);
    }

    /// A segment of `pipeline` was served.
    pub fn selected(&self, pipeline: Option<&Pipeline>) {
        let Some(pipeline) = pipeline else { return };
        let make = || self.counter(&table::SELECTED, &[pipeline.as_str()]);
        self.selected.with(pipeline, make, |count| count.increment(1));
    }

    /// A published segment has a defect.
    pub fn defect(&self, pipeline: &Pipeline, kind: DefectKind) {
        let make = || self.counter(&table::DEFECTS, &[pipeline.as_str(), kind.word()]);
        self.defects.with(&(pipeline.clone(), kind), make, |count| count.increment(1));
    }

    /// Stored bytes were found to be others than those that were stored.
    pub fn damaged(&self) {
        self.damaged.increment(1);
    }

    /// A segment was published so many milliseconds after `E(n)`.
    pub fn lateness(&self, pipeline: &Pipeline, millis: i128) {
        let make = || self.histogram(&table::LATENESS_OF_SEGMENTS, &[pipeline.as_str()]);
        self.lateness.with(pipeline, make, |time| time.record(millis as f64 / 1000.0));
    }

    /// How long operation `op` of the store `engine` takes.
    pub fn store_duration(&self, engine: &str, op: &str) -> Histogram {
        self.histogram(&table::STORE_DURATION, &[engine, op])
    }

    /// What the store's caches hold and how often they were asked, since its start.
    pub fn caches(&self, caches: Caches) {
        self.cache_bytes.set(caches.bytes as f64);
        let totals = [
            [caches.window_hits, caches.window_misses],
            [caches.dvr_hits, caches.dvr_misses],
            [caches.memcached_hits, caches.memcached_misses],
        ];
        for (count, total) in self.caches.as_flattened().iter().zip(totals.as_flattened()) {
            count.absolute(*total);
        }
        self.memcached_failures.absolute(caches.memcached_failures);
    }

    /// Requests that the store has asked a second node for, since its start.
    pub fn hedges(&self, hedges: u64) {
        self.hedges.absolute(hedges);
    }

    /// Of the feeds of other nodes one more is lost, or one is back.
    pub fn feed(&self, is_lost: bool) {
        if is_lost { self.feeds_lost.increment(1.0) } else { self.feeds_lost.decrement(1.0) }
    }

    /// How the volume of the media stands.
    pub fn volume(&self, volume: Volume) {
        let gauges = [volume.used_bytes, volume.free_bytes, volume.missing_files, volume.damaged_files];
        self.volume.iter().zip(gauges).for_each(|(gauge, value)| gauge.set(value as f64));
        self.early_bytes.absolute(volume.early_bytes);
    }

    /// A read was refused under stress.
    pub fn shed(&self, class: Class) {
        self.shed[class as usize].increment(1);
    }

    /// A reader's request told CMCD like this.
    pub fn cmcd(&self, kind: Cmcd) {
        self.cmcd[kind as usize].increment(1);
    }

    /// How hard the store works: 1 is its target.
    pub fn utilization(&self, utilization: f64) {
        self.utilization.set(utilization);
    }

    fn counter(&self, metric: &Metric, values: &[&str]) -> Counter {
        self.recorder.register_counter(&key(metric, values), &METADATA)
    }

    fn histogram(&self, metric: &Metric, values: &[&str]) -> Histogram {
        self.recorder.register_histogram(&key(metric, values), &METADATA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_table_shows_once_it_has_a_sample() {
        let metrics = Metrics::default();
        let (pipeline, second) = (Pipeline::new("a").unwrap(), Duration::from_secs(1));
        metrics.published(StatusCode::CREATED, second);
        metrics.delivered(Outcome::Hit, Class::Live, second);
        metrics.hold_started();
        metrics.hold_ended(second);
        metrics.selected(Some(&pipeline));
        metrics.defect(&pipeline, DefectKind::Short);
        metrics.lateness(&pipeline, -40);
        metrics.damaged();
        metrics.store_duration("log", "read").record(second);
        metrics.caches(Caches { bytes: 1, window_hits: 2, ..Default::default() });
        let scrape = metrics.render();
        for Metric { name, meaning, .. } in METRICS {
            assert!(scrape.contains(&format!("# HELP {name} {meaning}")), "{name}: {scrape}");
            assert!(scrape.contains(&format!("# TYPE {name} ")), "{name}: {scrape}");
        }
        assert!(scrape.contains("headwater_shed_total{class=\"dvr\"} 0"), "{scrape}");
        assert!(scrape.contains("headwater_publish_slow_total 1"), "{scrape}");
    }

    #[test]
    fn names_end_in_what_they_count() {
        for Metric { name, kind, unit, .. } in METRICS {
            assert!(name.starts_with("headwater_"), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}");
            assert!(!matches!(kind, Kind::Histogram(_)) || name.ends_with(&format!("_{unit}")), "{name}");
        }
    }
}
