//! What the log holds, in memory: the current row of every candidate, the current entry of every event, and where
//! their bytes lie. A fold over durable records in stamp order, at run time and at start alike. Must never hold what is
//! not durable.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use headwater_model::event::Entry;
use headwater_model::row::{EventId, Key, Object, Row};
use headwater_model::{EventName, Pipeline, Rendition, Tenant, Timestamp};

use super::bucket::Stored;
use super::deferred::Deferred;
use super::format::Record;
use super::summary::{Span, Summary};
use crate::usage::{Ledger, Usage};

/// The current records.
#[derive(Default)]
pub(crate) struct Index {
    events: HashMap<EventId, Objects>,
    entries: BTreeMap<(Tenant, EventName), Arc<Stored>>,
    /// Event lives that are over, while buckets up to the number may hold rows of them.
    ended: HashMap<EventId, u64>,
    rows: usize,
    /// What lies on the disk only.
    pub(crate) deferred: Deferred,
}

/// What became of a record that is taken in late.
pub(crate) enum Late {
    /// It counts, in place of an older one.
    Counts(Option<Arc<Stored>>),
    /// It counts no longer: a newer one does, or its event is over.
    Hidden(Option<Arc<Stored>>),
}

#[derive(Default)]
struct Objects {
    segments: BTreeMap<Rendition, BTreeMap<u64, Vec<Arc<Stored>>>>,
    others: BTreeMap<(Object, Pipeline), Arc<Stored>>,
    ledger: Ledger,
}

/// What an applied record pushed out.
#[derive(Default)]
pub(crate) struct PushedOut {
    /// The row whose place was taken.
    pub(crate) row: Option<Arc<Stored>>,
    /// All rows of an event that was deleted. To be dropped outside of the lock: they are many.
    event: Option<Objects>,
}

impl PushedOut {
    /// The records that count no longer.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.row.iter().chain(self.event.iter().flat_map(Objects::records))
    }
}

impl Index {
    /// The current record of a candidate.
    pub(crate) fn current(&self, key: &Key) -> Option<&Arc<Stored>> {
        let objects = self.events.get(&key.event)?;
        match &key.object {
            Object::Segment { rendition, number } => {
                let rows = objects.segments.get(rendition)?.get(number)?;
                rows.iter().find(|stored| pipeline(stored) == Some(&key.pipeline))
            }
            object => objects.others.get(&(object.clone(), key.pipeline.clone())),
        }
    }

    /// The current entry of an event.
    pub(crate) fn entry(&self, tenant: &Tenant, name: &EventName) -> Option<&Arc<Stored>> {
        self.entries.get(&(tenant.clone(), name.clone()))
    }

    /// Whether this life of an event is over.
    pub(crate) fn is_ended(&self, event: EventId) -> bool {
        self.ended.contains_key(&event)
    }

    /// Takes in a durable record that is newer than all before it. What has expired `now` is not counted as used.
    pub(crate) fn apply(&mut self, stored: &Arc<Stored>, now: Timestamp) -> PushedOut {
        match &stored.record {
            Record::Row(row) => PushedOut { row: self.put(&row.key, stored, now), event: None },
            Record::Removal { key, .. } => PushedOut { row: self.take(key), event: None },
            Record::Entry { entry, ended, horizon } => {
                let (tenant, name) = entry.names();
                self.entries.insert((tenant.clone(), name.clone()), Arc::clone(stored));
                let Some(id) = ended else { return PushedOut::default() };
                self.ended.insert(*id, *horizon);
                let holding = self.deferred.of_event(*id);
                self.deferred.wanted.extend(holding);
                let event = self.events.remove(id);
                self.rows -= event.as_ref().map_or(0, Objects::count);
                PushedOut { row: None, event }
            }
            Record::Void { .. } | Record::Mark => PushedOut::default(),
        }
    }

    /// Leaves the segments of a bucket on the disk: only what they use is counted.
    pub(crate) fn defer(&mut self, bucket: u64, summary: Arc<Summary>) {
        for (event, steps) in &summary.uses {
            if self.is_ended(*event) {
                self.deferred.wanted.insert(bucket);
            } else {
                self.events.entry(*event).or_default().ledger.absorb(steps);
            }
        }
        self.deferred.add(bucket, summary);
    }

    /// From here on the rows of a deferred bucket are counted one by one.
    pub(crate) fn begin_loading(&mut self, bucket: u64) {
        let Some(summary) = self.deferred.get(bucket).map(Arc::clone) else { return };
        for (event, steps) in &summary.uses {
            if let Some(objects) = self.events.get_mut(event) {
                objects.ledger.withdraw(steps);
            }
        }
    }

    /// Takes in the row of a bucket that is loaded late: in any order it comes to what a fold would have come to.
    pub(crate) fn take_in(&mut self, stored: &Arc<Stored>, now: Timestamp) -> Late {
        let Some(row) = row(stored).filter(|row| !self.is_ended(row.key.event)) else { return Late::Hidden(None) };
        let age = |stored: &Stored| (stored.stamp, stored.bucket, stored.extent.offset);
        match self.current(&row.key) {
            Some(current) if age(current) >= age(stored) => Late::Hidden(Some(Arc::clone(current))),
            _ => Late::Counts(self.put(&row.key, stored, now)),
        }
    }

    /// Whether `stored` is what counts for its object or event.
    pub(crate) fn is_current(&self, stored: &Stored) -> bool {
        let current = match &stored.record {
            Record::Row(row) => self.current(&row.key),
            Record::Entry { entry, .. } => self.entry(entry.names().0, entry.names().1),
            Record::Removal { .. } | Record::Void { .. } | Record::Mark => None,
        };
        current.is_some_and(|current| current.bucket == stored.bucket && current.extent == stored.extent)
    }

    /// The same record lies elsewhere now.
    pub(crate) fn relocate(&mut self, from: &Stored, to: &Arc<Stored>, now: Timestamp) {
        if self.is_current(from) {
            match &to.record {
                Record::Row(row) => drop(self.put(&row.key, to, now)),
                Record::Entry { entry, .. } => {
                    let (tenant, name) = entry.names();
                    self.entries.insert((tenant.clone(), name.clone()), Arc::clone(to));
                }
                Record::Removal { .. } | Record::Void { .. } | Record::Mark => {}
            }
        }
    }

    /// Forgets a record whose bucket goes; its key if it was the current one of a row.
    pub(crate) fn forget(&mut self, stored: &Stored) -> Option<Key> {
        let Record::Row(row) = &stored.record else { return None };
        if !self.is_current(stored) {
            return None;
        }
        self.take(&row.key);
        Some(row.key.clone())
    }

    /// Forgets which event lives are over, where no bucket from `oldest` on can hold anything of them.
    pub(crate) fn forget_ended(&mut self, oldest: u64) {
        self.ended.retain(|_, horizon| *horizon >= oldest);
    }

    fn put(&mut self, key: &Key, stored: &Arc<Stored>, now: Timestamp) -> Option<Arc<Stored>> {
        let objects = self.events.entry(key.event).or_default();
        let before = match &key.object {
            Object::Segment { rendition, number } => {
                let rows = objects.segments.entry(rendition.clone()).or_default().entry(*number).or_default();
                match rows.binary_search_by_key(&Some(&key.pipeline), |stored| pipeline(stored)) {
                    Ok(at) => Some(std::mem::replace(&mut rows[at], Arc::clone(stored))),
                    Err(at) => {
                        rows.reserve_exact(1);
                        rows.insert(at, Arc::clone(stored));
                        None
                    }
                }
            }
            object => objects.others.insert((object.clone(), key.pipeline.clone()), Arc::clone(stored)),
        };
        before.as_deref().and_then(row).into_iter().for_each(|row| objects.ledger.remove(row));
        row(stored).into_iter().for_each(|row| objects.ledger.add(row, now));
        self.rows += usize::from(before.is_none());
        before
    }

    fn take(&mut self, key: &Key) -> Option<Arc<Stored>> {
        let objects = self.events.get_mut(&key.event)?;
        let taken = match &key.object {
            Object::Segment { rendition, number } => {
                let numbers = objects.segments.get_mut(rendition)?;
                let rows = numbers.get_mut(number)?;
                let at = rows.iter().position(|stored| pipeline(stored) == Some(&key.pipeline))?;
                let taken = rows.remove(at);
                if rows.is_empty() {
                    numbers.remove(number);
                }
                if numbers.is_empty() {
                    objects.segments.remove(rendition);
                }
                taken
            }
            object => objects.others.remove(&(object.clone(), key.pipeline.clone()))?,
        };
        row(&taken).into_iter().for_each(|row| objects.ledger.remove(row));
        if objects.segments.is_empty() && objects.others.is_empty() && self.deferred.of_event(key.event).is_empty() {
            self.events.remove(&key.event);
        }
        self.rows -= 1;
        Some(taken)
    }

    /// Rows of a rendition's segments, by number, then pipeline; those that `keeps` drops do not count.
    pub(crate) fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
        keeps: impl Fn(&Row) -> bool,
    ) -> Vec<Row> {
        let of_rendition = self.events.get(&event).and_then(|objects| objects.segments.get(rendition));
        let Some(of_rendition) = of_rendition.filter(|_| !numbers.is_empty()) else { return Vec::new() };
        let rows = of_rendition.range(numbers).flat_map(|(_, rows)| rows.iter().filter_map(|stored| row(stored)));
        rows.filter(|row| keeps(row)).take(limit).cloned().collect()
    }

    /// Rows of an event's init segments and loose objects, and of the last `recent` numbers of each rendition.
    pub(crate) fn standing(&self, event: EventId, recent: usize) -> Vec<Row> {
        let Some(objects) = self.events.get(&event) else { return Vec::new() };
        let mut all: Vec<Row> = objects.others.values().filter_map(|stored| row(stored)).cloned().collect();
        for numbers in objects.segments.values() {
            let last: Vec<_> = numbers.values().rev().take(recent).collect();
            all.extend(last.into_iter().rev().flatten().filter_map(|stored| row(stored)).cloned());
        }
        all
    }

    /// Every current entry, by tenant and name.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entry = |stored: &Arc<Stored>| match &stored.record {
            Record::Entry { entry, .. } => Some(entry.clone()),
            _ => None,
        };
        self.entries.values().filter_map(entry).collect()
    }

    /// What the rows of `events` use at `now`.
    pub(crate) fn usage(&self, events: &[EventId], now: Timestamp) -> Usage {
        let mut usage = Usage::default();
        events.iter().filter_map(|id| self.events.get(id)).for_each(|objects| usage += objects.ledger.at(now));
        usage
    }

    /// A deferred bucket without which the last `recent` numbers of some rendition are not known.
    pub(crate) fn lacks_newest(&self, event: EventId, recent: usize) -> Option<u64> {
        let objects = self.events.get(&event);
        let lacks = |(rendition, bucket, last): (&Rendition, u64, u64)| {
            let numbers = objects.and_then(|objects| objects.segments.get(rendition));
            let oldest = numbers.and_then(|numbers| numbers.keys().rev().nth(recent.checked_sub(1)?));
            (recent > 0 && oldest.is_none_or(|oldest| *oldest <= last)).then_some(bucket)
        };
        self.deferred.newest(event).find_map(lacks)
    }

    /// Current rows that lie on the disk only.
    pub(crate) fn deferred_row_count(&self) -> u64 {
        let counts = |span: &&Span| !self.is_ended(span.first.event);
        self.deferred.spans().filter(counts).map(|span| span.rows).sum()
    }

    /// Rows held.
    pub(crate) fn row_count(&self) -> usize {
        self.rows
    }
}

impl Objects {
    fn records(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.segments.values().flat_map(BTreeMap::values).flatten().chain(self.others.values())
    }

    fn count(&self) -> usize {
        let segments = self.segments.values().flat_map(BTreeMap::values).map(Vec::len).sum::<usize>();
        segments + self.others.len()
    }
}

/// The row of a record.
pub(crate) fn row(stored: &Stored) -> Option<&Row> {
    match &stored.record {
        Record::Row(row) => Some(row),
        _ => None,
    }
}

fn pipeline(stored: &Stored) -> Option<&Pipeline> {
    row(stored).map(|row| &row.key.pipeline)
}

/// The now and grace by which rows expire.
#[derive(Clone, Copy)]
pub(crate) struct Expiry {
    pub(crate) now: Timestamp,
    pub(crate) grace: headwater_model::Millis,
}

impl Expiry {
    /// Whether a row is still to be told of.
    pub(crate) fn keeps(self, row: &Row) -> bool {
        super::bucket::expires(row.keep, self.grace).is_none_or(|expires| self.now <= expires)
    }
}
