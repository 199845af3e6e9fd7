//! Whatever publishers, operators, the clock and readers do in whatever order (contract §5): a served body is one whole
//! candidate's, an immutable answer never changes under unchanged masks, what is sound and unmasked is never refused,
//! and a second node that knows the same records answers the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use headwater_model::defect::{Defect, DefectKind};
use headwater_model::document::Document;
use headwater_model::mask::{Mask, is_masked};
use headwater_model::row::{Claim, Keep, Key, Object};
use headwater_model::{EventName, Pipeline, Region, Rendition, Tenant};
use headwater_store::disk::simulated::Simulated;
use headwater_store::slab::Pool;
use headwater_store::stamp::{Clock, ManualClock};
use headwater_store::{Body, Log, Published, Store};
use headwater_wire::Outbound;
use headwater_wire::accept::Drain;
use http::{HeaderMap, Method};
use proptest::prelude::*;

use crate::admit::Admission;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::control::Control;
use crate::metrics::Metrics;
use crate::quota::Meter;
use crate::{Addresses, Origin, deliver, restore};

/// Segments are 2 s long and begin with the clock; the windows are short, so that they close within a run.
const DOCUMENT: &str = r#"{"availability_start_time":"2026-01-01T00:00:00Z","pipelines":["a","b","c"],
    "renditions":[{"id":"v"}],"dvr_window_s":20,"prefer_wait_ms":300,"defect_wait_ms":700,"retry_deadline_ms":2500}"#;
const PIPELINES: [&str; 3] = ["a", "b", "c"];
const NUMBERS: u64 = 6;

#[derive(Clone, Debug)]
enum Step {
    Publish { pipeline: usize, number: u64, body: u8, is_defective: bool },
    Mask { pipeline: usize, from: u64, to: u64 },
    Unmask,
    Pass { millis: u64 },
    Read { number: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let publish = (0..PIPELINES.len(), 0..NUMBERS, 0u8..3, any::<bool>());
    prop_oneof![
        4 => publish.prop_map(|(pipeline, number, body, is_defective)| {
            Step::Publish { pipeline, number, body, is_defective }
        }),
        1 => (0..PIPELINES.len(), 0..NUMBERS, 0..NUMBERS)
            .prop_map(|(pipeline, one, other)| Step::Mask { pipeline, from: one.min(other), to: one.max(other) }),
        1 => Just(Step::Unmask),
        4 => (0u64..1500).prop_map(|millis| Step::Pass { millis }),
        5 => (0..NUMBERS).prop_map(|number| Step::Read { number }),
    ]
}

/// What a reader got at once; a request that is held gets nothing yet.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    status: u16,
    outcome: String,
    pipeline: Option<String>,
    etag: Option<String>,
    is_immutable: bool,
    body: Bytes,
}

fn node(store: &Arc<dyn Store>, catalog: Arc<Catalog>, clock: &Arc<ManualClock>) -> Origin {
    let config = Config::default();
    let control = Control::new(Arc::clone(store), Arc::clone(&catalog), config.tenants().unwrap());
    let meter = Arc::new(Meter::new(Arc::clone(store), Arc::clone(&catalog), control.tenants()));
    let nowhere = "127.0.0.1:0".parse().unwrap();
    Origin {
        config,
        catalog,
        control,
        store: Arc::clone(store),
        clock: Arc::clone(clock) as _,
        pool: Pool::new(1 << 20, 1 << 20),
        admission: Admission::default(),
        meter,
        metrics: Metrics::default(),
        drain: Drain::default(),
        feed: None,
        addresses: Addresses { publish: Some(nowhere), deliver: Some(nowhere), ops: nowhere },
    }
}

fn read(origin: &Origin, number: u64) -> Option<Got> {
    let request = http::Request::get(format!("/live/game/v/{number}.m4s")).body(()).unwrap();
    let mut head = request.into_parts().0;
    let answer = match deliver::hot::answer(origin, head.uri.path()) {
        Some(answer) => answer,
        None => deliver::get(origin, &mut head).now_or_never()?,
    };
    let response = answer.into_response(&Method::GET, &HeaderMap::new(), Duration::ZERO);
    let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, outcome) = (response.status().as_u16(), text("headwater-outcome").unwrap());
    let (pipeline, etag) = (text("headwater-pipeline"), text("etag"));
    let is_immutable = text("cache-control").is_some_and(|value| value.contains("immutable"));
    let body = match response.into_body() {
        Outbound::Stored(body) => body.to_bytes(),
        _ => Bytes::new(),
    };
    Some(Got { status, outcome, pipeline, etag, is_immutable, body })
}

struct World {
    runtime: tokio::runtime::Runtime,
    clock: Arc<ManualClock>,
    origin: Origin,
    names: (Tenant, EventName),
    document: Document,
    /// The candidates that stand: their bytes and whether they are sound.
    stored: HashMap<(u64, &'static str), (Bytes, bool)>,
    masks: Vec<Mask>,
    /// The immutable answers given since the masks changed.
    given: HashMap<u64, String>,
}

impl World {
    fn new() -> Self {
        let document = Document::from_json(DOCUMENT.as_bytes()).unwrap();
        let clock = Arc::new(ManualClock::at(document.availability_start_time));
        let catalog = Arc::new(Catalog::default());
        let log = Log::open(Default::default(), clock.clone() as _, Simulated::new(1), catalog.clone() as _).unwrap();
        let store: Arc<dyn Store> = log;
        let origin = node(&store, catalog, &clock);
        let names: (Tenant, EventName) = ("live".parse().unwrap(), "game".parse().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(origin.control.put(&names.0, &names.1, document.clone())).unwrap();
        let (stored, masks, given) = Default::default();
        Self { runtime, clock, origin, names, document, stored, masks, given }
    }

    fn go(&mut self, step: &Step) {
        match *step {
            Step::Publish { pipeline, number, body, is_defective } => {
                self.publish(PIPELINES[pipeline], number, body, is_defective);
            }
            Step::Mask { pipeline, from, to } => {
                let pipeline = Pipeline::new(PIPELINES[pipeline]).unwrap();
                let id = self.masks.len() as u64 + 1;
                self.masks.push(Mask { id, pipeline, renditions: None, from, to: Some(to), reason: String::new() });
                self.remask();
            }
            Step::Unmask => {
                self.masks.clear();
                self.remask();
            }
            Step::Pass { millis } => self.clock.advance(Duration::from_millis(millis)),
            Step::Read { number } => self.check(number),
        }
    }

    fn publish(&mut self, pipeline: &'static str, number: u64, body: u8, is_defective: bool) {
        if self.document.expires(number) < self.clock.wall() {
            return;
        }
        let bytes = Bytes::from(format!("{pipeline}{number} version {body}, {is_defective}").repeat(50));
        let body = Body::from(bytes.clone());
        let event = self.origin.catalog.live("live", "game").unwrap().event().id;
        let object = Object::Segment { rendition: Rendition::new("v").unwrap(), number };
        let claim = Claim {
            key: Key { event, object, pipeline: Pipeline::new(pipeline).unwrap() },
            size: body.len(),
            digest: body.digest(),
            content_type: "video/iso.segment".into(),
            defects: is_defective.then(|| Defect::new(DefectKind::Short, &[])).into_iter().collect(),
            region: Region::new("local").unwrap(),
            keep: Keep::Until(self.document.expires(number)),
            create_only: false,
            arrived: None,
            passed: Box::default(),
        };
        if let Published::Stored(_) = self.runtime.block_on(self.origin.store.publish(claim, body)).unwrap() {
            let before = self.stored.insert((number, pipeline), (bytes, !is_defective));
            assert!(before.is_none_or(|(_, is_sound)| !is_sound), "what is sound stays");
        }
    }

    fn remask(&mut self) {
        let masks = self.masks.clone();
        let change = self
            .origin
            .control
            .change(&self.names.0, &self.names.1, |_, event| Ok(Some(event.next(|event| event.masks = masks.clone()))));
        self.runtime.block_on(change).unwrap();
        self.given.clear();
    }

    fn is_masked(&self, pipeline: &str, number: u64) -> bool {
        let (pipeline, rendition) = (Pipeline::new(pipeline).unwrap(), Rendition::new("v").unwrap());
        is_masked(&self.masks, &pipeline, &rendition, number)
    }

    fn check(&mut self, number: u64) {
        let _context = self.runtime.enter();
        let got = read(&self.origin, number);
        if let Some(got) = &got {
            match &got.pipeline {
                Some(pipeline) => self.check_media(number, pipeline, got),
                None => self.check_refusal(number, got),
            }
        }
        // A node that starts now knows what is in the store, and nothing else.
        let catalog = Arc::new(Catalog::default());
        restore(&*self.origin.store, &catalog).now_or_never().expect("an engine in memory").unwrap();
        let other = read(&node(&self.origin.store, catalog, &self.clock), number);
        assert_eq!(other, got, "two nodes, segment {number}");
        assert_eq!(read(&self.origin, number), got, "twice, segment {number}");
    }

    fn check_media(&mut self, number: u64, pipeline: &str, got: &Got) {
        let of = |(other, name): &(u64, &str)| *other == number && *name == pipeline;
        let (bytes, is_sound) = self.stored.iter().find(|(key, _)| of(key)).expect("a candidate that was stored").1;
        assert_eq!((&got.body, got.status), (bytes, 200), "one whole candidate");
        assert_eq!(got.etag, Some(format!("\"{}\"", Body::from(bytes.clone()).digest())));
        assert_eq!(*is_sound, got.is_immutable, "{got:?}");
        assert!(!self.is_masked(pipeline, number), "{got:?}");
        if got.is_immutable {
            let etag = got.etag.clone().unwrap();
            assert_eq!(*self.given.entry(number).or_insert_with(|| etag.clone()), etag, "segment {number}");
        }
    }

    fn check_refusal(&self, number: u64, got: &Got) {
        let is_kept = self.document.expires(number) >= self.clock.wall();
        let is_there = |pipeline: &&str| {
            !self.is_masked(pipeline, number) && self.stored.get(&(number, *pipeline)).is_some_and(|(_, sound)| *sound)
        };
        assert!(!is_kept || !PIPELINES.iter().any(is_there), "segment {number} is there: {got:?}");
        assert_eq!(self.given.get(&number).filter(|_| is_kept), None, "{got:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_serves_whole_lasting_and_equal_answers(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.go(step);
        }
        (0..NUMBERS).for_each(|number| world.check(number));
    }
}
