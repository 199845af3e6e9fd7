//! Clocks that tests turn, and an origin that only takes notes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::document::Document;
use headwater_model::{Millis, Timestamp};
use headwater_store::stamp::Clock;
use headwater_wire::accept::{self, Drain};
use headwater_wire::{Handler, Outbound, Request, Response, Traffic};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{LATENCY, Plan, Rig};

pub(crate) fn document(pipelines: &[&str]) -> Document {
    let value = serde_json::json!({"segment": {"duration": 48, "timescale": 25}, "pipelines": pipelines});
    Document::from_value(value).unwrap()
}

/// Passes the time of every sleep at once.
#[derive(Default)]
pub(crate) struct Leap(Arc<Mutex<Duration>>);

impl Clock for Leap {
    fn wall(&self) -> Timestamp {
        Timestamp::from_seconds(1_000_000).offset_nanos(self.0.lock().as_nanos() as i128)
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock()
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let time = Arc::clone(&self.0);
        let until = self.monotonic() + span;
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut time = time.lock();
            *time = (*time).max(until);
        })
    }
}

/// Stands still until the test moves it; sleepers wake then.
pub(crate) struct Steps(watch::Sender<Timestamp>);

impl Steps {
    pub(crate) fn at(wall: Timestamp) -> Self {
        Self(watch::Sender::new(wall))
    }

    pub(crate) fn go_to(&self, wall: Timestamp) {
        self.0.send_replace(wall);
    }
}

impl Clock for Steps {
    fn wall(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.wall().nanos()).unwrap())
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut time = self.0.subscribe();
        let until = self.wall().offset_nanos(span.as_nanos() as i128);
        Box::pin(async move {
            if time.wait_for(|now| *now >= until).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// One request that the origin has seen: pipeline, path, and the body's length if it came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) pipeline: String,
    pub(crate) path: String,
    pub(crate) bytes: Option<usize>,
}

type Answers = Box<dyn Fn(&Seen) -> u16 + Send + Sync>;

struct Notes {
    seen: Arc<Mutex<Vec<Seen>>>,
    answers: Answers,
}

impl Handler for Notes {
    async fn handle(&self, mut request: Request) -> Response {
        let body = request.body.collect(64 << 20).await;
        let pipeline = &request.head.headers["headwater-pipeline"];
        let seen = Seen {
            pipeline: pipeline.to_str().unwrap().to_owned(),
            path: request.head.uri.path().to_owned(),
            bytes: body.ok().flatten().map(|bytes| bytes.len()),
        };
        let mut response = Response::new(Outbound::Empty);
        *response.status_mut() = http::StatusCode::from_u16((self.answers)(&seen)).unwrap();
        self.seen.lock().push(seen);
        response
    }
}

/// A rig, its clock and the origin that it publishes to.
pub(crate) struct World {
    pub(crate) rig: Rig,
    pub(crate) clock: Arc<Steps>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// The segment that is being made when a [`World`] begins.
pub(crate) const FIRST: u64 = 1000;

impl World {
    /// Begins in the middle of segment [`FIRST`].
    pub(crate) fn start(
        pipelines: &[&str],
        renditions: &[&str],
        answers: impl Fn(&Seen) -> u16 + Send + Sync + 'static,
    ) -> Self {
        let document = document(pipelines);
        let clock = Arc::new(Steps::at(document.expected(FIRST - 1) + Millis(900)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let listener = accept::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let url = format!("http://{}/live/demo", listener.local_addr().unwrap());
        let notes = Notes { seen: Arc::clone(&seen), answers: Box::new(answers) };
        tokio::spawn(accept::serve(listener, Arc::new(notes), Traffic::Uploads, Drain::default()));
        let renditions = renditions.iter().map(ToString::to_string).collect();
        let plan = Plan { url, document, renditions, latency: LATENCY };
        Self { rig: Rig::start(plan, clock.clone()).unwrap(), clock, seen }
    }

    /// To the moment at which segment `number` is uploaded.
    pub(crate) fn go_to(&self, number: u64) {
        self.clock.go_to(self.rig.document().expected(number) + LATENCY);
    }

    /// Waits until the rig is as `wanted`.
    pub(crate) async fn until(&self, wanted: impl Fn(&Rig) -> bool) {
        while !wanted(&self.rig) {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until `pipeline` has had `count` uploads acknowledged.
    pub(crate) async fn acknowledged(&self, pipeline: &str, count: u64) {
        self.until(|rig| rig.pipeline(pipeline).unwrap().status().tally.acknowledged() >= count).await;
    }

    /// The paths that `pipeline` has published whole, without the event's.
    pub(crate) fn paths(&self, pipeline: &str) -> Vec<String> {
        let seen = self.seen.lock();
        let own = seen.iter().filter(|seen| seen.pipeline == pipeline && seen.bytes.is_some());
        own.map(|seen| seen.path.trim_start_matches("/live/demo/").to_owned()).collect()
    }

    /// Everything that the origin has seen.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}
