//! The metrics of contract §9. Names are API. Every handle is made once; a request only adds to it.

use std::sync::OnceLock;
use std::time::Duration;

use headwater_model::defect::DefectKind;
use headwater_model::{Outcome, Pipeline};
use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

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

const DESCRIPTIONS: &[(&str, &str)] = &[
    ("headwater_publish_duration_seconds", "from the request head to the answer of an upload, durable if it succeeded"),
    ("headwater_publish_slow_total", "uploads that took over 500 ms"),
    ("headwater_deliver_duration_seconds", "from the request head to the answer's head, holds included"),
    ("headwater_responses_total", "answers by listener, outcome and class"),
    ("headwater_held_requests", "requests that are being held"),
    ("headwater_hold_duration_seconds", "how long requests were held"),
    ("headwater_selected_total", "segments served by pipeline"),
    ("headwater_defects_total", "defects of published segments by pipeline and kind"),
    ("headwater_segment_lateness_seconds", "publish time after the expected time E(n); negative is early"),
];

/// Every metric of a server.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    publish_duration: Histogram,
    publish_slow: Counter,
    /// By outcome and class; registered when first used, because most pairs never occur.
    delivered: Vec<OnceLock<(Counter, Histogram)>>,
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
        for (name, text) in DESCRIPTIONS {
            let (name, text) = (KeyName::from_const_str(name), (*text).into());
            if name.as_str().ends_with("_total") {
                recorder.describe_counter(name, None, text);
            } else if name.as_str() == "headwater_held_requests" {
                recorder.describe_gauge(name, None, text);
            } else {
                recorder.describe_histogram(name, Some(Unit::Seconds), text);
            }
        }
        let pairs = Outcome::ALL.len() * Class::ALL.len();
        Self {
            handle: recorder.handle(),
            publish_duration: recorder
                .register_histogram(&Key::from_name("headwater_publish_duration_seconds"), &METADATA),
            publish_slow: recorder.register_counter(&Key::from_name("headwater_publish_slow_total"), &METADATA),
            delivered: (0..pairs).map(|_| OnceLock::new()).collect(),
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
        self.of_pipeline("headwater_selected_total", pipeline, None).increment(1);
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
