//! One event in memory: its document, the tails of its renditions, its loose objects and who publishes it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use headwater_model::event::{Event, Published};
use headwater_model::row::{Key, Object, Row};
use headwater_model::{Millis, Pipeline, Rendition, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::tail::{Known, Tail, ring_slots};

/// An event that is alive.
pub struct Live {
    event: ArcSwap<Event>,
    tails: ArcSwap<HashMap<Rendition, Arc<Tail>>>,
    loose: RwLock<HashMap<Arc<str>, Vec<Row>>>,
    /// When each pipeline last published a segment, on the stamp clock.
    arrivals: Mutex<Vec<(Pipeline, Timestamp)>>,
    has_media: AtomicBool,
    highest: AtomicU64,
    /// Publishes read, a change of the document writes: no segment may be recorded between the look at the highest
    /// number and the rules that start after it.
    pub gate: tokio::sync::RwLock<()>,
    /// The revision, for those who wait for the next; the greatest number once the event is gone.
    revision: watch::Sender<u64>,
}

impl Live {
    /// An event with nothing published.
    #[must_use]
    pub fn new(event: Event) -> Self {
        let revision = watch::Sender::new(event.rev);
        let live = Self {
            revision,
            event: ArcSwap::from_pointee(event),
            tails: ArcSwap::default(),
            loose: RwLock::default(),
            arrivals: Mutex::default(),
            has_media: AtomicBool::new(false),
            highest: AtomicU64::new(0),
            gate: tokio::sync::RwLock::default(),
        };
        live.declare();
        live
    }

    /// The event as it stands.
    #[must_use]
    pub fn event(&self) -> Arc<Event> {
        self.event.load_full()
    }

    /// The event has changed: who waits must look again.
    pub fn change(&self, event: Event) {
        self.event.store(Arc::new(event));
        self.declare();
        self.wake_all();
        self.revision.send_replace(self.event.load().rev);
    }

    /// The event is gone: nobody is to wait for it.
    pub fn leave(&self) {
        self.wake_all();
        self.revision.send_replace(u64::MAX);
    }

    /// Returns when the event's revision is over `rev`.
    pub async fn revised_since(&self, rev: u64) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.revision.subscribe().wait_for(|current| *current > rev).await;
    }

    /// The oldest segment within the DVR window.
    #[must_use]
    pub fn oldest_number(&self, wall: Timestamp) -> u64 {
        let event = self.event.load();
        let window = Millis::from_seconds(event.document.dvr_window_s);
        // Two more, whose records still tell which pipelines were healthy.
        event.document.next_number(wall - window).saturating_sub(2)
    }

    /// Wakes all who wait for any segment.
    pub fn wake_all(&self) {
        self.tails.load().values().for_each(|tail| tail.wake_all());
    }

    /// The tail of a rendition that is declared or has been published.
    #[must_use]
    pub fn tail(&self, rendition: &str) -> Option<Arc<Tail>> {
        self.tails.load().get(rendition).cloned()
    }

    /// Every tail, by name.
    #[must_use]
    pub fn tails(&self) -> Arc<HashMap<Rendition, Arc<Tail>>> {
        self.tails.load_full()
    }

    /// The tail of a rendition, made if there is none.
    pub fn tail_or_new(&self, rendition: &Rendition) -> Arc<Tail> {
        if let Some(tail) = self.tail(rendition.as_str()) {
            return tail;
        }
        let fresh = Arc::new(Tail::new(rendition.clone(), ring_slots(&self.event.load().document)));
        self.tails.rcu(|tails| {
            let mut tails = HashMap::clone(tails);
            tails.entry(rendition.clone()).or_insert_with(|| Arc::clone(&fresh));
            tails
        });
        self.tail(rendition.as_str()).unwrap_or(fresh)
    }

    /// The timescale of a rendition's media, where it is declared or told by an init segment.
    #[must_use]
    pub fn timescale(&self, rendition: &Rendition) -> Option<u32> {
        let event = self.event.load();
        let declared = event.document.rendition(rendition).and_then(|spec| spec.timescale);
        let told = || {
            let inits = self.tail(rendition.as_str())?.inits();
            inits.iter().find_map(|init| init.facts.as_ref()).map(|facts| facts.main().timescale)
        };
        declared.or_else(told)
    }

    /// Whether this record of the candidate, or another one, is known.
    #[must_use]
    pub fn knows(&self, row: &Row) -> bool {
        let of = |other: &Row| other.key.pipeline == row.key.pipeline;
        match &row.key.object {
            Object::Segment { rendition, number } => self
                .tail(rendition.as_str())
                .is_some_and(|tail| matches!(tail.slot(*number), Known::Slot(Some(slot)) if slot.rows.iter().any(of))),
            Object::Init { rendition } => {
                self.tail(rendition.as_str()).is_some_and(|tail| tail.inits().iter().any(|init| of(&init.row)))
            }
            Object::Loose { path } => self.loose(path).iter().any(of),
        }
    }

    /// Takes in a record. Called by one thread at a time, in stamp order.
    pub fn record(&self, row: &Row) {
        match &row.key.object {
            Object::Segment { rendition, number } => {
                self.tail_or_new(rendition).record(*number, row);
                self.highest.fetch_max(*number, Ordering::AcqRel);
                self.has_media.store(true, Ordering::Release);
                self.note_arrival(&row.key.pipeline, row.published);
            }
            Object::Init { rendition } => self.tail_or_new(rendition).record_init(row),
            Object::Loose { path } => {
                let mut loose = self.loose.write();
                let rows = loose.entry(path.clone()).or_default();
                rows.retain(|earlier| earlier.key.pipeline != row.key.pipeline);
                rows.push(row.clone());
            }
        }
    }

    /// Forgets a removed object.
    pub fn remove(&self, key: &Key) {
        match &key.object {
            Object::Loose { path } => {
                let mut loose = self.loose.write();
                if let Some(rows) = loose.get_mut(path) {
                    rows.retain(|row| row.key.pipeline != key.pipeline);
                    if rows.is_empty() {
                        loose.remove(path);
                    }
                }
            }
            Object::Init { rendition } => {
                if let Some(tail) = self.tail(rendition.as_str()) {
                    tail.forget_init(&key.pipeline);
                }
            }
            // The DVR window of the decision table decides about segments, whatever the store has dropped.
            Object::Segment { .. } => {}
        }
    }

    /// The candidates of a loose object.
    #[must_use]
    pub fn loose(&self, path: &str) -> Vec<Row> {
        self.loose.read().get(path).cloned().unwrap_or_default()
    }

    /// The order in which loose objects and init segments are served from (contract §2): pipelines that are healthy
    /// now first, each group in the event's order.
    #[must_use]
    pub fn preference(&self, stamp: Timestamp) -> Vec<Pipeline> {
        let event = self.event.load();
        let silence = Millis((event.document.segment.nanos(3) / 1_000_000) as u64);
        let arrivals = self.arrivals.lock();
        let is_healthy =
            |pipeline: &Pipeline| arrivals.iter().any(|(other, last)| other == pipeline && stamp <= *last + silence);
        let pipelines = &event.document.rules.pipelines;
        let (mut first, then): (Vec<_>, Vec<_>) = pipelines.iter().cloned().partition(is_healthy);
        first.extend(then);
        first
    }

    /// What a change of the document has to know of the media.
    #[must_use]
    pub fn published(&self) -> Published {
        if self.has_media.load(Ordering::Acquire) {
            Published::UpTo(self.highest.load(Ordering::Acquire))
        } else {
            Published::Nothing
        }
    }

    /// Declared renditions are known before their media comes, so that a request for them can be held.
    fn declare(&self) {
        for spec in &self.event.load().document.renditions {
            self.tail_or_new(&spec.id);
        }
    }

    fn note_arrival(&self, pipeline: &Pipeline, at: Timestamp) {
        let mut arrivals = self.arrivals.lock();
        match arrivals.iter_mut().find(|(other, _)| other == pipeline) {
            Some((_, last)) => *last = at.max(*last),
            None => arrivals.push((pipeline.clone(), at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{live, segment_row};

    #[test]
    fn silent_pipelines_come_last() {
        let live = live("{}");
        let order =
            |stamp| live.preference(Timestamp::from_millis(stamp)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(order(0), ["a", "b"]);
        live.record(&segment_row("v", 1, "b", 1000));
        assert_eq!(order(7000), ["b", "a"]);
        assert_eq!(order(7001), ["a", "b"], "nobody is healthy: the event's order");
    }

    #[test]
    fn media_is_known_up_to_its_highest_number() {
        let live = live("{}");
        assert_eq!(live.published(), Published::Nothing);
        live.record(&segment_row("v", 9, "a", 1));
        live.record(&segment_row("v", 4, "a", 2));
        assert_eq!(live.published(), Published::UpTo(9));
    }

    #[test]
    fn declared_renditions_have_a_tail() {
        let live = live(r#"{"renditions":[{"id":"v","timescale":90000}]}"#);
        assert!(live.tail("v").is_some() && live.tail("w").is_none());
        assert_eq!(live.timescale(&crate::testing::rendition("v")), Some(90_000));
    }
}
