//! Buckets whose segments a start left on the disk: which numbers they have, so that everybody who asks for one of them
//! has the bucket loaded first. No object of a deferred bucket has a record anywhere else; the start sees to that, and
//! who publishes loads the bucket before. Must never let anybody take a number for absent that lies in one of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use headwater_model::row::{EventId, Key, Object};
use headwater_model::{Pipeline, Rendition, Timestamp};

use super::broken::{Fault, broken};
use super::bucket::Stored;
use super::summary::{Span, Summary};

/// The deferred buckets, and what was loaded of them.
#[derive(Default)]
pub(crate) struct Deferred {
    buckets: BTreeMap<u64, Arc<Summary>>,
    spans: HashMap<EventId, BTreeMap<Rendition, Vec<Numbers>>>,
    /// Stamps of commits that failed: what has one does not count.
    pub(crate) voids: Vec<(Timestamp, Timestamp)>,
    /// Buckets with media of events that are over: to be loaded for the space that can be given back.
    pub(crate) wanted: BTreeSet<u64>,
    /// What the committer has still to take note of.
    pub(crate) loaded: Vec<Loaded>,
}

/// The segments of one pipeline in one bucket.
struct Numbers {
    bucket: u64,
    pipeline: Pipeline,
    first: u64,
    last: u64,
}

/// A bucket that is no longer deferred.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) bucket: u64,
    /// All that could be read.
    pub(crate) records: Vec<Arc<Stored>>,
    /// Those that do not count and may still take space.
    pub(crate) uncounted: Vec<Arc<Stored>>,
    /// Records that took the place of another.
    pub(crate) replaced: Vec<(Arc<Stored>, Arc<Stored>)>,
    /// Whether the footer was not what was written.
    pub(crate) damaged: bool,
}

impl Numbers {
    fn overlaps(&self, numbers: &RangeInclusive<u64>) -> bool {
        let last = if broken(Fault::ShortSpans) { self.last.saturating_sub(1) } else { self.last };
        self.first <= *numbers.end() && *numbers.start() <= last
    }
}

impl Deferred {
    pub(crate) fn add(&mut self, bucket: u64, summary: Arc<Summary>) {
        for span in &summary.spans {
            let Object::Segment { rendition, number: first } = &span.first.object else { continue };
            let (first, last, pipeline) = (*first, span.last, span.first.pipeline.clone());
            let of_event = self.spans.entry(span.first.event).or_default();
            of_event.entry(rendition.clone()).or_default().push(Numbers { bucket, pipeline, first, last });
        }
        self.buckets.insert(bucket, summary);
    }

    /// The bucket is no longer deferred.
    pub(crate) fn take(&mut self, bucket: u64) -> Option<Arc<Summary>> {
        let summary = self.buckets.remove(&bucket)?;
        self.wanted.remove(&bucket);
        for span in &summary.spans {
            let Some(of_event) = self.spans.get_mut(&span.first.event) else { continue };
            of_event.values_mut().for_each(|spans| spans.retain(|span| span.bucket != bucket));
            of_event.retain(|_, spans| !spans.is_empty());
            if of_event.is_empty() {
                self.spans.remove(&span.first.event);
            }
        }
        Some(summary)
    }

    pub(crate) fn get(&self, bucket: u64) -> Option<&Arc<Summary>> {
        self.buckets.get(&bucket)
    }

    /// Buckets that have, or may have, the record of `key`.
    pub(crate) fn with_key(&self, key: &Key) -> impl Iterator<Item = u64> {
        let of_event = self.spans.get(&key.event);
        let (spans, numbers) = match &key.object {
            Object::Segment { rendition, number } => {
                (of_event.and_then(|of_event| of_event.get(rendition)), *number..=*number)
            }
            _ => (None, 0..=0),
        };
        let has = move |span: &&Numbers| span.pipeline == key.pipeline && span.overlaps(&numbers);
        spans.into_iter().flatten().filter(has).map(|span| span.bucket)
    }

    /// A bucket that has, or may have, records of these segments.
    pub(crate) fn with_numbers(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: &RangeInclusive<u64>,
    ) -> Option<u64> {
        let mut spans = self.spans.get(&event)?.get(rendition)?.iter();
        spans.find(|span| span.overlaps(numbers)).map(|span| span.bucket)
    }

    /// By rendition of an event the bucket with the highest number, and that number.
    pub(crate) fn newest(&self, event: EventId) -> impl Iterator<Item = (&Rendition, u64, u64)> {
        let newest = |(rendition, spans)| {
            let spans: &Vec<Numbers> = spans;
            spans.iter().max_by_key(|span| span.last).map(|span| (rendition, span.bucket, span.last))
        };
        self.spans.get(&event).into_iter().flatten().filter_map(newest)
    }

    /// Buckets with media of an event.
    pub(crate) fn of_event(&self, event: EventId) -> BTreeSet<u64> {
        self.spans.get(&event).into_iter().flat_map(BTreeMap::values).flatten().map(|span| span.bucket).collect()
    }

    /// What is known of the segments whose records are on the disk only.
    pub(crate) fn spans(&self) -> impl Iterator<Item = &Span> {
        self.buckets.values().flat_map(|summary| &summary.spans)
    }

    /// Whether a commit that failed wrote `stored`.
    pub(crate) fn is_void(&self, stored: &Stored) -> bool {
        self.voids.iter().any(|(from, to)| *from <= stored.stamp && stored.stamp <= *to)
    }
}
