//! The live tail of one rendition: the records of its newest segments in a ring that the store's thread writes and
//! every reader sees without a lock, and those who wait for a segment.
//!
//! It never touches the store: what the ring does not know, [`Tail::slot`] says so.

pub mod flight;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::deliver::answer::told::Told;
use arc_swap::{ArcSwap, ArcSwapOption};
use headwater_media::init::Init;
use headwater_model::document::Document;
use headwater_model::row::Row;
use headwater_model::{Pipeline, Rendition, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::tail::flight::{Flight, Flights};

/// Fewest slots of a ring: the live window of an event with 2 s segments, twice.
const SLOTS_MIN: u64 = 64;
/// Most slots of a ring, so that a thousand renditions stay within 8 MiB; segments beyond are asked of the store.
const SLOTS_MAX: u64 = 1024;

/// The records of one segment.
#[derive(Debug)]
pub struct Slot {
    /// Which segment.
    pub number: u64,
    /// One record a pipeline, in any order.
    pub rows: Vec<Row>,
    /// What an answer says of each record, written once and sent many times.
    told: Box<[OnceLock<Told>]>,
    /// The choice once it has closed: the event's revision, then one more than the place of its record in a byte.
    choice: AtomicU64,
}

impl Slot {
    /// The records of segment `number`.
    #[must_use]
    pub fn new(number: u64, rows: Vec<Row>) -> Self {
        let told = rows.iter().map(|_| OnceLock::new()).collect();
        Self { number, rows, told, choice: AtomicU64::new(0) }
    }

    /// Notes that under revision `rev` of the event the choice has fallen on the record at `index`, for ever.
    fn close(&self, rev: u64, index: usize) {
        if rev < 1 << 56 && index < 0xff {
            // A pure function of what is already shared: whoever writes it writes the same.
            self.choice.store(rev << 8 | (index as u64 + 1), Ordering::Relaxed);
        }
    }

    /// The record of the choice that has closed under revision `rev`.
    fn closed(&self, rev: u64) -> Option<usize> {
        let choice = self.choice.load(Ordering::Relaxed);
        (choice >> 8 == rev).then_some((choice & 0xff) as usize).and_then(|place| place.checked_sub(1))
    }
}

/// One record of a segment, shared with the ring.
#[derive(Clone, Debug)]
pub struct Candidate {
    slot: Arc<Slot>,
    index: usize,
}

impl Candidate {
    /// The record at `index` of `slot`; `None` if it has fewer.
    #[must_use]
    pub fn of(slot: &Arc<Slot>, index: usize) -> Option<Self> {
        (index < slot.rows.len()).then(|| Self { slot: Arc::clone(slot), index })
    }

    /// Notes that this is the choice for ever under revision `rev` of the event. A choice that has closed stays
    /// whatever records come (contract §5); what changes it is a change of the event, a mask above all.
    pub fn close(&self, rev: u64) {
        self.slot.close(rev, self.index);
    }

    /// What an answer says of the record.
    #[must_use]
    pub fn told(&self) -> &Told {
        self.slot.told[self.index].get_or_init(|| Told::of(self))
    }

    /// An object without a number as its own only candidate.
    #[must_use]
    pub fn alone(row: Row) -> Self {
        Self { slot: Arc::new(Slot::new(0, vec![row])), index: 0 }
    }
}

impl Deref for Candidate {
    type Target = Row;
    fn deref(&self) -> &Row {
        &self.slot.rows[self.index]
    }
}

/// What the ring knows of a segment.
#[derive(Clone, Debug)]
pub enum Known {
    /// These are its records; `None`: it has none.
    Slot(Option<Arc<Slot>>),
    /// It has left the ring: ask the store.
    Beyond,
}

/// The tail of one rendition.
pub struct Tail {
    /// Which rendition.
    pub rendition: Rendition,
    slots: Box<[ArcSwapOption<Slot>]>,
    /// The lowest number that the ring speaks for.
    known_from: AtomicU64,
    /// When any segment last arrived, in nanoseconds of the stamp clock; 0: never.
    last_arrival: AtomicU64,
    /// In the order of numbers, in which all of them are woken.
    waiters: Mutex<BTreeMap<u64, Arc<Notify>>>,
    inits: ArcSwap<Vec<InitOf>>,
    /// What is still arriving.
    pub flights: Flights,
}

/// A pipeline's init segment and what it says.
#[derive(Clone, Debug)]
pub struct InitOf {
    /// Its record.
    pub row: Row,
    /// What it says; `None` if it cannot be read.
    pub facts: Option<Arc<Init>>,
}

/// How many slots the tail of a rendition of `document` has.
#[must_use]
pub fn ring_slots(document: &Document) -> usize {
    let seconds = document.live_window_s + document.publish_ahead_max_s.min(document.live_window_s) + 10;
    let millis = seconds.saturating_mul(1000);
    let segments = millis / document.segment.millis().0.max(1);
    segments.clamp(SLOTS_MIN, SLOTS_MAX).next_power_of_two().min(SLOTS_MAX) as usize
}

impl Tail {
    /// An empty tail that speaks for every number.
    #[must_use]
    pub fn new(rendition: Rendition, slots: usize) -> Self {
        Self {
            rendition,
            slots: (0..slots).map(|_| ArcSwapOption::empty()).collect(),
            known_from: AtomicU64::new(0),
            last_arrival: AtomicU64::new(0),
            waiters: Mutex::default(),
            inits: ArcSwap::default(),
            flights: Flights::default(),
        }
    }

    /// The ring no longer speaks for numbers below `number`: at start, only the newest records are loaded.
    pub fn forget_below(&self, number: u64) {
        self.known_from.fetch_max(number, Ordering::Release);
    }

    /// Makes an upload that is still arriving known; `false` if it cannot be followed.
    pub fn take_off(&self, flight: &Arc<Flight>) -> bool {
        let added = self.flights.take_off(flight);
        if added {
            self.note_arrival(flight.row.first);
        }
        added
    }

    fn note_arrival(&self, stamp: Timestamp) {
        self.last_arrival.fetch_max(u64::try_from(stamp.nanos()).unwrap_or(0), Ordering::AcqRel);
    }

    /// Records a candidate. Called by one thread at a time.
    pub fn record(&self, number: u64, row: &Row) {
        self.note_arrival(row.published);
        let place = self.place(number);
        let mut rows = match place.load_full() {
            Some(slot) if slot.number == number => slot.rows.clone(),
            Some(slot) if slot.number > number => return,
            _ if number < self.known_from.load(Ordering::Acquire) => return,
            evicted => {
                if let Some(evicted) = evicted {
                    self.forget_below(evicted.number + 1);
                }
                Vec::with_capacity(2)
            }
        };
        rows.retain(|earlier| earlier.key.pipeline != row.key.pipeline);
        rows.push(row.clone());
        place.store(Some(Arc::new(Slot::new(number, rows))));
    }

    /// What the ring knows of segment `number`.
    #[must_use]
    pub fn slot(&self, number: u64) -> Known {
        if number < self.known_from.load(Ordering::Acquire) {
            return match self.place(number).load_full() {
                Some(slot) if slot.number == number => Known::Slot(Some(slot)),
                _ => Known::Beyond,
            };
        }
        match self.place(number).load_full() {
            Some(slot) if slot.number == number => Known::Slot(Some(slot)),
            Some(slot) if slot.number > number => Known::Beyond,
            _ => Known::Slot(None),
        }
    }

    /// The choice of segment `number`, if it is known to have closed under revision `rev` of the event.
    #[must_use]
    pub fn closed(&self, number: u64, rev: u64) -> Option<Candidate> {
        let slot = self.place(number).load_full().filter(|slot| slot.number == number)?;
        let index = slot.closed(rev)?;
        Candidate::of(&slot, index)
    }

    /// When any segment last arrived, on the stamp clock.
    #[must_use]
    pub fn last_arrival(&self) -> Option<Timestamp> {
        let nanos = self.last_arrival.load(Ordering::Acquire);
        (nanos > 0).then(|| Timestamp::from_nanos(i128::from(nanos)))
    }

    /// Joins those who wait for news of segment `number`.
    pub fn wait(self: &Arc<Self>, number: u64) -> Waiter {
        let notify = Arc::clone(self.waiters.lock().entry(number).or_default());
        Waiter { tail: Arc::clone(self), number, notify }
    }

    /// Wakes those who wait for segment `number`.
    pub fn wake(&self, number: u64) {
        let notify = self.waiters.lock().remove(&number);
        if let Some(notify) = notify {
            notify.notify_waiters();
        }
    }

    /// Wakes all who wait: the event itself has changed.
    pub fn wake_all(&self) {
        let all = std::mem::take(&mut *self.waiters.lock());
        all.into_values().for_each(|notify| notify.notify_waiters());
    }

    /// The init segments, one a pipeline.
    #[must_use]
    pub fn inits(&self) -> Arc<Vec<InitOf>> {
        self.inits.load_full()
    }

    /// Records a pipeline's init segment. Its facts stay unknown until [`Tail::learn`].
    pub fn record_init(&self, row: &Row) {
        self.change_inits(|inits| {
            let facts = inits
                .iter()
                .find(|init| init.row.key.pipeline == row.key.pipeline && init.row.digest == row.digest)
                .and_then(|init| init.facts.clone());
            inits.retain(|init| init.row.key.pipeline != row.key.pipeline);
            inits.push(InitOf { row: row.clone(), facts });
        });
    }

    /// Notes what the init segment of `row` says.
    pub fn learn(&self, row: &Row, facts: &Arc<Init>) {
        self.change_inits(|inits| {
            for init in inits.iter_mut().filter(|init| init.row.version == row.version) {
                init.facts = Some(Arc::clone(facts));
            }
        });
    }

    /// Forgets a pipeline's init segment.
    pub fn forget_init(&self, pipeline: &Pipeline) {
        self.change_inits(|inits| inits.retain(|init| init.row.key.pipeline != *pipeline));
    }

    /// What `pipeline`'s init segment says, else any other's.
    #[must_use]
    pub fn facts(&self, pipeline: &Pipeline) -> Option<Arc<Init>> {
        let inits = self.inits.load();
        let own = inits.iter().find(|init| init.row.key.pipeline == *pipeline && init.facts.is_some());
        own.or_else(|| inits.iter().find(|init| init.facts.is_some())).and_then(|init| init.facts.clone())
    }

    fn change_inits(&self, change: impl Fn(&mut Vec<InitOf>)) {
        self.inits.rcu(|inits| {
            let mut inits = Vec::clone(inits);
            change(&mut inits);
            inits
        });
    }

    fn place(&self, number: u64) -> &ArcSwapOption<Slot> {
        &self.slots[(number % self.slots.len() as u64) as usize]
    }
}

/// One who waits; leaving drops its place.
pub struct Waiter {
    tail: Arc<Tail>,
    number: u64,
    notify: Arc<Notify>,
}

impl Waiter {
    /// The next news. To miss none, enable it before looking at the records.
    pub fn news(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = self.tail.waiters.lock();
        // The map's own and ours: nobody else waits.
        if let Some(notify) = waiters.get(&self.number)
            && Arc::ptr_eq(notify, &self.notify)
            && Arc::strong_count(notify) == 2
        {
            waiters.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{rendition, segment_row};

    fn tail(slots: usize) -> Arc<Tail> {
        Arc::new(Tail::new(rendition("v"), slots))
    }

    fn pipelines(known: Known) -> Option<Vec<String>> {
        match known {
            Known::Beyond => None,
            Known::Slot(slot) => Some(
                slot.map_or_else(Vec::new, |slot| slot.rows.iter().map(|row| row.key.pipeline.to_string()).collect()),
            ),
        }
    }

    #[test]
    fn a_slot_holds_one_record_a_pipeline() {
        let tail = tail(4);
        for (pipeline, stamp) in [("a", 1), ("b", 2), ("a", 3)] {
            tail.record(7, &segment_row("v", 7, pipeline, stamp));
        }
        assert_eq!(pipelines(tail.slot(7)), Some(vec!["b".into(), "a".into()]));
        assert_eq!(pipelines(tail.slot(8)), Some(vec![]));
    }

    #[test]
    fn what_has_left_the_ring_is_not_called_absent() {
        let tail = tail(4);
        tail.record(3, &segment_row("v", 3, "a", 1));
        tail.record(7, &segment_row("v", 7, "a", 2));
        assert_eq!(pipelines(tail.slot(3)), None);
        assert_eq!(pipelines(tail.slot(2)), None, "below what was evicted anything may have been");
        tail.record(3, &segment_row("v", 3, "b", 3));
        assert_eq!(pipelines(tail.slot(7)), Some(vec!["a".into()]), "a late one does not evict");
        assert_eq!(pipelines(tail.slot(6)), Some(vec![]));
    }

    #[test]
    fn a_closed_choice_is_known_under_its_revision_until_the_records_change() {
        let tail = tail(4);
        tail.record(7, &segment_row("v", 7, "a", 1));
        tail.record(7, &segment_row("v", 7, "b", 2));
        let Known::Slot(Some(slot)) = tail.slot(7) else { panic!("recorded") };
        let closed = |number, rev| tail.closed(number, rev).map(|row| row.key.pipeline.to_string());
        assert_eq!(closed(7, 0), None);
        Candidate::of(&slot, 1).unwrap().close(5);
        assert_eq!([closed(7, 5), closed(7, 4), closed(7, 6), closed(3, 5)], [Some("b".into()), None, None, None]);
        tail.record(7, &segment_row("v", 7, "a", 3));
        assert_eq!(closed(7, 5), None);
    }

    #[test]
    fn numbers_below_what_was_loaded_are_asked_of_the_store() {
        let tail = tail(4);
        tail.forget_below(100);
        assert_eq!(pipelines(tail.slot(99)), None);
        assert_eq!(pipelines(tail.slot(100)), Some(vec![]));
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_leaves_nothing_behind() {
        let tail = tail(4);
        let waiter = tail.wait(9);
        let mut news = std::pin::pin!(waiter.news());
        news.as_mut().enable();
        tail.wake(9);
        news.await;
        let idle = tail.wait(10);
        drop(idle);
        assert!(tail.waiters.lock().is_empty());
    }
}
