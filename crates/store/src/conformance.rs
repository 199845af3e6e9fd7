//! What every engine must do, as a suite that an engine's tests run: `conformance::run(make)`. Each property gets a
//! fresh, empty store from `make` and panics with a sentence if the store breaks it.
//!
//! Needs a multi-threaded runtime. Time is taken from the store's own stamp clock; nothing waits for it to pass.

mod racing;
mod removal;
mod sample;
pub mod shared;

use std::collections::HashSet;
use std::sync::Arc;

use headwater_model::Rendition;
use headwater_model::event::{Counters, Entry, Event};
use headwater_model::row::{Claim, EventId, Key, Object, Row};
use parking_lot::Mutex;

pub use racing::{
    a_publish_whose_caller_went_away_counts_whole_or_not_at_all, of_concurrent_publishers_of_one_candidate_one_wins,
    the_listener_hears_before_the_publisher, the_watermark_never_passes_what_is_untold,
};
pub use removal::{of_a_removed_segment_nothing_but_its_first_stamp_stays, usage_counts_what_is_there_once};
pub use sample::{EVENT, body, claim, defective, event, init, loose, segment};

use crate::slab::Body;
use crate::{Listener, Notice, Published, Store, StoreError, Tier};

/// A listener that remembers everything.
#[derive(Default)]
pub struct Heard(Mutex<Vec<Notice>>);

impl Heard {
    /// Everything heard so far, in order.
    #[must_use]
    pub fn all(&self) -> Vec<Notice> {
        self.0.lock().clone()
    }

    /// What was removed, and not published again since.
    #[must_use]
    pub fn removed(&self) -> HashSet<Key> {
        let mut removed = HashSet::new();
        for notice in &*self.0.lock() {
            match notice {
                Notice::Removed(key) => drop(removed.insert(key.clone())),
                Notice::Published(row) => drop(removed.remove(&row.key)),
                Notice::Entry(_) => {}
            }
        }
        removed
    }

    fn rows(&self) -> Vec<Row> {
        let row = |notice| if let Notice::Published(row) = notice { Some(row) } else { None };
        self.all().into_iter().filter_map(row).collect()
    }
}

impl Listener for Heard {
    fn announce(&self, notices: &[Notice]) {
        self.0.lock().extend_from_slice(notices);
    }
}

/// Looks at what must come to agree: seconds, for an engine whose every look asks other machines.
const LOOKS_MAX: usize = 5000;

/// A store under test and what its listener heard.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its listener.
    pub heard: Arc<Heard>,
}

/// Runs every property, each on a store of its own.
pub async fn run(make: impl AsyncFn(Arc<dyn Listener>) -> Arc<dyn Store>) {
    let fresh = async || {
        let heard = Arc::new(Heard::default());
        Subject { store: make(heard.clone()).await, heard }
    };
    bytes_are_read_back_as_published(fresh().await).await;
    ranges_are_cut_from_the_same_bytes(fresh().await).await;
    hot_bodies_agree_with_reads(fresh().await).await;
    a_sound_segment_stays(fresh().await).await;
    a_defective_segment_is_replaced_and_keeps_its_first_stamp(fresh().await).await;
    init_segments_and_loose_objects_are_replaced_and_removed(fresh().await).await;
    of_a_removed_segment_nothing_but_its_first_stamp_stays(fresh().await).await;
    rows_come_by_number_then_pipeline(fresh().await).await;
    standing_rows_are_what_a_node_needs_to_start(fresh().await).await;
    entries_are_compared_and_set(fresh().await).await;
    an_event_that_is_gone_takes_its_rows_along(fresh().await).await;
    the_listener_hears_before_the_publisher(fresh().await).await;
    the_watermark_never_passes_what_is_untold(fresh().await).await;
    of_concurrent_publishers_of_one_candidate_one_wins(fresh().await).await;
    a_publish_whose_caller_went_away_counts_whole_or_not_at_all(fresh().await).await;
    usage_counts_what_is_there_once(fresh().await).await;
    a_claim_that_contradicts_its_body_is_refused(fresh().await).await;
    what_was_followed_counts_from_its_first_chunk(fresh().await).await;
}

impl Subject {
    async fn publish(&self, key: Key, body: &Body) -> Published {
        self.publish_as(claim(key, body, self.store.stamp()), body).await
    }

    async fn publish_as(&self, claim: Claim, body: &Body) -> Published {
        self.store.publish(claim, body.clone()).await.expect("the store takes the publish")
    }

    async fn stored(&self, key: Key, body: &Body) -> Row {
        match self.publish(key, body).await {
            Published::Stored(row) => row,
            other => panic!("expected a stored row, got {other:?}"),
        }
    }

    async fn read(&self, row: &Row) -> Body {
        self.store.read(row, 0..row.size).await.expect("a stored row can be read").0
    }

    /// The rows of a rendition once they are those that were announced.
    async fn listed_and_told(&self, rendition: &str) -> Vec<Row> {
        let mut last = (Vec::new(), Vec::new());
        for _ in 0..LOOKS_MAX {
            let rows = self.all_rows(rendition).await;
            let mut told = self.heard.rows();
            told.retain(
                |row| matches!(&row.key.object, Object::Segment { rendition: of, .. } if of.as_str() == rendition),
            );
            told.sort_by_key(|row| row.key.clone());
            last = (rows, told);
            if last.0 == last.1 {
                return last.0;
            }
            tokio::task::yield_now().await;
        }
        panic!("what is listed is not what was announced: {last:#?}")
    }

    async fn all_rows(&self, rendition: &str) -> Vec<Row> {
        let rendition = Rendition::new(rendition).expect("a name");
        self.store.rows(EVENT, &rendition, 0..=u64::MAX, usize::MAX).await.expect("rows can be listed")
    }
}

/// What is read is what was published, at every size.
pub async fn bytes_are_read_back_as_published(subject: Subject) {
    for (number, length) in [0, 1, 511, 4095, 4096, 4097, 65_536, 300_000, 1 << 20].into_iter().enumerate() {
        let body = body(number as u64, length);
        let row = subject.stored(segment("v", number as u64, "a"), &body).await;
        assert_eq!((row.size, row.digest), (length as u64, body.digest()));
        assert_eq!(subject.read(&row).await.to_bytes(), body.to_bytes(), "{length} bytes");
    }
}

/// A range is cut from the same bytes.
pub async fn ranges_are_cut_from_the_same_bytes(subject: Subject) {
    let body = body(1, 200_000);
    let row = subject.stored(segment("v", 1, "a"), &body).await;
    for range in [0..1, 0..200_000, 65_535..65_537, 199_999..200_000, 5..5] {
        let (read, _) = subject.store.read(&row, range.clone()).await.expect("a range can be read");
        assert_eq!(read.to_bytes(), body.slice(range.clone()).to_bytes(), "{range:?}");
    }
}

/// What is hot is what would be read.
pub async fn hot_bodies_agree_with_reads(subject: Subject) {
    for number in 0..20 {
        let row = subject.stored(segment("v", number, "a"), &body(number, 50_000)).await;
        if let Some(hot) = subject.store.hot(&row) {
            let (read, tier) = subject.store.read(&row, 0..row.size).await.expect("what is hot can be read");
            assert_eq!((read.to_bytes(), tier), (hot.to_bytes(), Tier::Memory));
        }
    }
}

/// Same bytes are the same row, other bytes change nothing.
pub async fn a_sound_segment_stays(subject: Subject) {
    let (first, other) = (body(1, 1000), body(2, 1000));
    let row = subject.stored(segment("v", 1, "a"), &first).await;
    assert_eq!(row.sound, Some(row.published));
    assert_eq!(subject.publish(segment("v", 1, "a"), &first).await, Published::Same(row.clone()));
    assert_eq!(subject.publish(segment("v", 1, "a"), &other).await, Published::Final(row.clone()));
    let create = Claim { create_only: true, ..claim(segment("v", 1, "a"), &first, subject.store.stamp()) };
    assert_eq!(subject.publish_as(create, &first).await, Published::Exists(row.clone()));
    assert_eq!(subject.all_rows("v").await, std::slice::from_ref(&row));
    assert_eq!(subject.read(&row).await.to_bytes(), first.to_bytes());
    assert_eq!(subject.heard.rows(), [row], "what changed nothing is not announced");
}

/// A defective segment gives way, its first stamp does not.
pub async fn a_defective_segment_is_replaced_and_keeps_its_first_stamp(subject: Subject) {
    let (bad, good) = (body(1, 1000), body(2, 2000));
    let stamp = subject.store.stamp();
    let bad_claim = defective(claim(segment("v", 1, "a"), &bad, stamp));
    let Published::Stored(was) = subject.publish_as(bad_claim, &bad).await else { panic!("not stored") };
    assert_eq!((was.sound, was.first), (None, was.published));
    assert!(was.published >= stamp, "stamps come from the stamp clock");
    let row = subject.stored(segment("v", 1, "a"), &good).await;
    assert_eq!((row.first, row.sound), (was.first, Some(row.published)));
    assert!(row.published > was.published && row.version != was.version);
    assert_eq!(subject.all_rows("v").await, std::slice::from_ref(&row));
    assert_eq!(subject.read(&row).await.to_bytes(), good.to_bytes());
    match subject.store.read(&was, 0..was.size).await {
        Ok((read, _)) => assert_eq!(read.to_bytes(), bad.to_bytes(), "a version is never other bytes"),
        Err(error) => assert_eq!(error, StoreError::Gone),
    }
}

/// Init segments and loose objects can be overwritten and removed at any time.
pub async fn init_segments_and_loose_objects_are_replaced_and_removed(subject: Subject) {
    for key in [init("v", "a"), loose("x/y.mpd", "a")] {
        subject.store.remove(key.clone()).await.expect("removing nothing succeeds");
        subject.stored(key.clone(), &body(1, 100)).await;
        let row = subject.stored(key.clone(), &body(2, 5000)).await;
        let again = subject.stored(key.clone(), &body(2, 5000)).await;
        assert!(again.published > row.published, "the same bytes again are stored again");
        let standing = subject.store.standing(EVENT, 0).await.expect("standing rows can be listed");
        assert_eq!(standing, std::slice::from_ref(&again));
        assert_eq!(subject.read(&again).await.to_bytes(), body(2, 5000).to_bytes());
        for _ in 0..2 {
            subject.store.remove(key.clone()).await.expect("removing twice succeeds");
        }
        assert_eq!(subject.store.standing(EVENT, 0).await, Ok(vec![]));
        assert_eq!(subject.heard.all().last(), Some(&Notice::Removed(key.clone())));
        subject.stored(key.clone(), &body(3, 100)).await;
        subject.store.remove(key).await.expect("removing succeeds");
    }
}

/// Rows come by number, then pipeline, within the range, up to the limit.
pub async fn rows_come_by_number_then_pipeline(subject: Subject) {
    let bytes = body(1, 10);
    for number in [5, 3, 9, 4, u64::MAX] {
        for pipeline in ["b", "a"] {
            subject.stored(segment("v", number, pipeline), &bytes).await;
            subject.stored(segment("w", number, pipeline), &bytes).await;
        }
    }
    let rendition = Rendition::new("v").expect("a name");
    let listed = async |numbers, limit| {
        let rows = subject.store.rows(EVENT, &rendition, numbers, limit).await.expect("rows can be listed");
        rows.iter().map(|row| name(row, &rendition)).collect::<Vec<_>>()
    };
    assert_eq!(listed(3..=5, 100).await, ["3a", "3b", "4a", "4b", "5a", "5b"]);
    assert_eq!(listed(4..=u64::MAX, 3).await, ["4a", "4b", "5a"]);
    assert_eq!(listed(6..=8, 100).await, [""; 0]);
    #[expect(clippy::reversed_empty_ranges, reason = "an empty range is a question too")]
    let backwards = listed(8..=6, 100).await;
    assert_eq!(backwards, [""; 0]);
    let other = subject.store.rows(EventId(8), &rendition, 0..=9, 9).await;
    assert_eq!(other, Ok(vec![]), "another event has rows of its own");
}

fn name(row: &Row, of: &Rendition) -> String {
    match &row.key.object {
        Object::Segment { rendition, number } if rendition == of => format!("{number}{}", row.key.pipeline),
        other => panic!("not a segment of {of}: {other:?}"),
    }
}

/// A node that starts is told of init segments, loose objects and the newest segments of each rendition.
pub async fn standing_rows_are_what_a_node_needs_to_start(subject: Subject) {
    let bytes = body(1, 10);
    let mut want = vec![subject.stored(init("v", "a"), &bytes).await, subject.stored(loose("m", "b"), &bytes).await];
    for (rendition, number, recent) in [("v", 1, false), ("v", 2, true), ("v", 8, true), ("w", 5, true)] {
        for pipeline in ["a", "b"] {
            let row = subject.stored(segment(rendition, number, pipeline), &bytes).await;
            want.extend(recent.then_some(row));
        }
    }
    let mut have = subject.store.standing(EVENT, 2).await.expect("standing rows can be listed");
    have.sort_by_key(|row| row.published);
    assert_eq!(have, want);
}

/// Event entries are written only over the revision that the writer knew.
pub async fn entries_are_compared_and_set(subject: Subject) {
    let alive = event(EVENT, "game", Counters::default());
    let entry = Entry::Alive(Box::new(alive.clone()));
    let early = subject.store.write_entry(entry.clone(), 5).await;
    assert_eq!(early, Err(StoreError::Conflict { current: 0 }));
    subject.store.write_entry(entry.clone(), 0).await.expect("the first entry is written");
    assert_eq!(subject.store.write_entry(entry.clone(), 0).await, Err(StoreError::Conflict { current: 1 }));
    let next = Entry::Alive(Box::new(Event { rev: 2, ..alive.clone() }));
    subject.store.write_entry(next.clone(), 1).await.expect("the next entry is written");
    let other = Entry::Alive(Box::new(event(EventId(8), "other", Counters::default())));
    subject.store.write_entry(other.clone(), 0).await.expect("another event is another entry");
    let mut entries = subject.store.entries().await.expect("entries can be listed");
    entries.sort_by_key(|entry| entry.names().1.clone());
    assert_eq!(entries, [next.clone(), other.clone()]);
    assert_eq!(subject.heard.all(), [entry, next, other].map(Notice::Entry));
}

/// An event that is gone leaves its counters and none of its rows; its name can live again.
pub async fn an_event_that_is_gone_takes_its_rows_along(subject: Subject) {
    let alive = event(EVENT, "game", Counters::default());
    subject.store.write_entry(Entry::Alive(Box::new(alive.clone())), 0).await.expect("an entry is written");
    let bytes = body(1, 1000);
    let row = subject.stored(segment("v", 1, "a"), &bytes).await;
    subject.stored(init("v", "a"), &bytes).await;
    let counters = Counters { rev: 2, cache_version: 2 };
    let gone = Entry::Gone { tenant: alive.tenant.clone(), name: alive.name.clone(), counters };
    subject.store.write_entry(gone.clone(), 1).await.expect("an entry is written");
    assert_eq!(subject.store.entries().await, Ok(vec![gone]));
    assert_eq!(subject.all_rows("v").await, []);
    assert_eq!(subject.store.standing(EVENT, 9).await, Ok(vec![]));
    if let Ok((read, _)) = subject.store.read(&row, 0..row.size).await {
        assert_eq!(read.to_bytes(), bytes.to_bytes(), "a version is never other bytes");
    }
    let again = event(EventId(9), "game", counters);
    assert_eq!((again.rev, again.cache_version), (3, 3));
    subject.store.write_entry(Entry::Alive(Box::new(again)), 2).await.expect("the name lives again");
}

/// Bytes that are not those of the claim are not stored under it.
pub async fn a_claim_that_contradicts_its_body_is_refused(subject: Subject) {
    let claim = claim(segment("v", 1, "a"), &body(1, 100), subject.store.stamp());
    assert!(subject.store.publish(claim, body(1, 99)).await.is_err());
    assert_eq!(subject.all_rows("v").await, []);
}

/// A stamp is handed out below the watermark's next look, and the record keeps it.
pub async fn what_was_followed_counts_from_its_first_chunk(subject: Subject) {
    let (mut arrived, before) = (None, subject.store.settled());
    subject.store.arrive(&mut |stamp| arrived = Some(stamp));
    assert!(arrived.is_some_and(|stamp| before < stamp && stamp <= subject.store.stamp()));
    let body = body(1, 1000);
    let claim = Claim { arrived, ..defective(claim(segment("v", 1, "a"), &body, before)) };
    let Published::Stored(row) = subject.publish_as(claim, &body).await else { panic!("not stored") };
    assert_eq!((Some(row.first), row.sound), (arrived, arrived));
    assert!(row.published > row.first);
    assert_eq!(subject.all_rows("v").await, [row]);
}
