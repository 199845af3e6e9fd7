//! The metrics of contract §9. Names are API. Every handle is made once; a request only adds to it.

use std::sync::OnceLock;
use std::time::Duration;

use headwater_model::defect::DefectKind;
use headwater_model::{Outcome, Pipeline};
use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::RwLock;

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

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, in seconds.
    Histogram,
}

/// One metric: what the page, the scrape and the tests say of it.
pub struct Metric {
    /// Its name, which is API.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// Its labels, with commas between.
    pub labels: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn metric(name: &'static str, kind: Kind, labels: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind, labels, meaning }
}

/// Every metric that this node tells.
pub const METRICS: &[Metric] = &[
    metric(
        "headwater_publish_duration_seconds",
        Kind::Histogram,
        "",
        "from the request head to the answer of an upload, durable if it succeeded",
    ),
    metric("headwater_publish_slow_total", Kind::Counter, "", "uploads that took over 500 ms"),
    metric(
        "headwater_deliver_duration_seconds",
        Kind::Histogram,
        "outcome, class",
        "from the request head to the answer's head, holds included",
    ),
    metric(
        "headwater_responses_total",
        Kind::Counter,
        "listener, outcome, class",
        "answers; on publish the outcome is the status",
    ),
    metric("headwater_held_requests", Kind::Gauge, "", "requests that are being held"),
    metric("headwater_hold_duration_seconds", Kind::Histogram, "", "how long requests were held"),
    metric("headwater_selected_total", Kind::Counter, "pipeline", "segments served"),
    metric("headwater_defects_total", Kind::Counter, "pipeline, defect", "defects of published segments"),
    metric(
        "headwater_segment_lateness_seconds",
        Kind::Histogram,
        "pipeline",
        "publish time after the expected time E(n); negative is early",
    ),
    metric("headwater_shed_total", Kind::Counter, "class", "reads refused under stress"),
    metric("headwater_store_utilization", Kind::Gauge, "", "how hard the store works; 1 is its target"),
];

/// The page docs/metrics.md.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed in the Prometheus text format at `/metrics` of the ops listener. Names are API. `class` is `publish`,\n\
         `live`, `dvr` or `unknown`; `outcome` is a word of `Headwater-Outcome`. Made from `crates/origin/src/metrics.rs` by\n\
         `cargo xtask docs`.\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for Metric { name, kind, labels, meaning } in METRICS {
        let kind = format!("{kind:?}").to_lowercase();
        page.push_str(&format!("| `{name}` | {kind} | {labels} | {meaning} |\n"));
    }
    page
}

/// Every metric of a server.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    publish_duration: Histogram,
    publish_slow: Counter,
    /// By outcome and class; registered when first used, because most pairs never occur.
    delivered: Vec<OnceLock<(Counter, Histogram)>>,
    /// By pipeline; there are few names.
    selected: RwLock<Vec<(Pipeline, Counter)>>,
    held: Gauge,
    hold_duration: Histogram,
}

const METADATA: Metadata<'_> = Metadata::new("headwater", Level::INFO, None);

impl Default for Metrics {
    fn default() -> Self {
        let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
        let lateness = [-60.0, -2.0, -1.0, -0.5, 0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 60.0];
        let builder = PrometheusBuilder::new()
            .set_buckets(&seconds)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Full("headwater_segment_lateness_seconds".into()), &lateness)
            })
            .unwrap_or_else(|_| unreachable!("bucket lists are constant and not empty"));
        let recorder = builder.build_recorder();
        for metric in METRICS {
            let (name, text) = (KeyName::from_const_str(metric.name), metric.meaning.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, text),
                Kind::Gauge => recorder.describe_gauge(name, None, text),
                Kind::Histogram => recorder.describe_histogram(name, Some(Unit::Seconds), text),
            }
        }
        let pairs = Outcome::ALL.len() * Class::ALL.len();
        Self {
            handle: recorder.handle(),
            publish_duration: recorder
                .register_histogram(&Key::from_name("headwater_publish_duration_seconds"), &METADATA),
            publish_slow: recorder.register_counter(&Key::from_name("headwater_publish_slow_total"), &METADATA),
            delivered: (0..pairs).map(|_| OnceLock::new()).collect(),
            selected: RwLock::default(),
            held: recorder.register_gauge(&Key::from_name("headwater_held_requests"), &METADATA),
            hold_duration: recorder.register_histogram(&Key::from_name("headwater_hold_duration_seconds"), &METADATA),
            recorder,
        }
    }
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
        let labels = vec![
            Label::new("listener", "publish"),
            Label::new("outcome", status.as_u16().to_string()),
            Label::new("class", Class::Publish.word()),
        ];
        self.recorder.register_counter(&Key::from_parts("headwater_responses_total", labels), &METADATA).increment(1);
    }

    /// A reader was answered.
    pub fn delivered(&self, outcome: Outcome, class: Class, spent: Duration) {
        let place = &self.delivered[outcome as usize * Class::ALL.len() + class as usize];
        let (count, time) = place.get_or_init(|| {
            let labels = vec![Label::new("outcome", outcome.word()), Label::new("class", class.word())];
            let duration = Key::from_parts("headwater_deliver_duration_seconds", labels.clone());
            let responses = Key::from_parts(
                "headwater_responses_total",
                [labels, vec![Label::new("listener", "deliver")]].concat(),
            );
            (
                self.recorder.register_counter(&responses, &METADATA),
                self.recorder.register_histogram(&duration, &METADATA),
            )
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
        let known =
            self.selected.read().iter().find(|(other, _)| other == pipeline).map(|(_, counter)| counter.clone());
        let counter = known.unwrap_or_else(|| {
            let counter = self.of_pipeline("headwater_selected_total", pipeline, None);
            self.selected.write().push((pipeline.clone(), counter.clone()));
            counter
        });
        counter.increment(1);
    }

    /// A published segment has a defect.
    pub fn defect(&self, pipeline: &Pipeline, kind: DefectKind) {
        self.of_pipeline("headwater_defects_total", pipeline, Some(kind)).increment(1);
    }

    /// A segment was published so many milliseconds after `E(n)`.
    pub fn lateness(&self, pipeline: &Pipeline, millis: i128) {
        let labels = vec![Label::new("pipeline", pipeline.to_string())];
        let key = Key::from_parts("headwater_segment_lateness_seconds", labels);
        self.recorder.register_histogram(&key, &METADATA).record(millis as f64 / 1000.0);
    }

    /// A read was refused under stress.
    pub fn shed(&self, class: Class) {
        let labels = vec![Label::new("class", class.word())];
        self.recorder.register_counter(&Key::from_parts("headwater_shed_total", labels), &METADATA).increment(1);
    }

    /// How hard the store works: 1 is its target.
    pub fn utilization(&self, utilization: f64) {
        let key = Key::from_name("headwater_store_utilization");
        self.recorder.register_gauge(&key, &METADATA).set(utilization);
    }

    fn of_pipeline(&self, name: &'static str, pipeline: &Pipeline, kind: Option<DefectKind>) -> Counter {
        let mut labels = vec![Label::new("pipeline", pipeline.to_string())];
        labels.extend(kind.map(|kind| Label::new("defect", kind.word())));
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }
}
