//! The tables of a cluster in memory, as lightweight transactions at local serial consistency and reads by a local quorum
//! show them: what was acked is seen by everyone, what was decided and not told yet by some, and a serial operation ends
//! what is half done. Must never be kinder than a real cluster is allowed to be unkind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use headwater_cassandra::tables::{Chunk, Note, Place, Swap, Token};
use headwater_model::event::Entry;
use headwater_model::row::{EventId, Row};
use headwater_model::{EventName, Tenant};
use headwater_store::disk::simulated::SplitMix64;

/// Notes live this long.
const NOTES_FOR: Duration = Duration::from_secs(120);

/// What a partition holds that is compared and set.
pub struct Cell<T> {
    /// What every quorum shows.
    committed: Option<T>,
    /// What was decided after that: a quorum may show it.
    decided: Option<(Option<T>, Option<Duration>)>,
    until: Option<Duration>,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self { committed: None, decided: None, until: None }
    }
}

impl<T: Clone + PartialEq> Cell<T> {
    /// Ends what is half done; what stands then.
    fn settle(&mut self, now: Duration) -> Option<&T> {
        if let Some((next, until)) = self.decided.take() {
            (self.committed, self.until) = (next, until);
        }
        if self.until.is_some_and(|until| until <= now) {
            (self.committed, self.until) = (None, None);
        }
        self.committed.as_ref()
    }

    /// Decides on `next` if `before` stands, else says what does.
    fn decide(
        &mut self,
        before: Option<&T>,
        next: Option<&T>,
        until: Option<Duration>,
        now: Duration,
    ) -> Result<(), Option<T>> {
        let stands = self.settle(now);
        if stands == before {
            self.decided = Some((next.cloned(), until));
            return Ok(());
        }
        if stands == next { Ok(()) } else { Err(stands.cloned()) }
    }

    /// What some quorum shows.
    fn read(&mut self, random: &mut SplitMix64, now: Duration) -> Option<T> {
        // Who has seen it has mended the copies on the way.
        if self.decided.is_some() && random.happens(500) {
            self.settle(now);
        }
        self.committed.clone().filter(|_| self.until.is_none_or(|until| until > now))
    }
}

/// The tables.
pub struct Tables {
    /// Everything that happens by chance.
    pub random: SplitMix64,
    rows: BTreeMap<Place, Cell<Row>>,
    listed: BTreeSet<Place>,
    entries: BTreeMap<(Tenant, EventName), Cell<Entry>>,
    notes: BTreeMap<(i64, Token), (i64, Note, Duration)>,
    chunks: BTreeMap<Chunk, (Bytes, Option<Duration>)>,
}

/// When what is kept for `ttl_s` seconds goes.
pub fn until(ttl_s: i32, now: Duration) -> Option<Duration> {
    (ttl_s > 0).then(|| now + Duration::from_secs(ttl_s.unsigned_abs().into()))
}

impl Tables {
    /// Empty ones.
    pub fn new(random: SplitMix64) -> Self {
        let (rows, listed, entries) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { random, rows, listed, entries, notes: BTreeMap::new(), chunks: BTreeMap::new() }
    }

    /// Compares and decides; a quorum shows it for certain after [`Tables::commit`].
    pub fn swap(
        &mut self,
        place: &Place,
        before: Option<&Row>,
        next: Option<&Row>,
        until: Option<Duration>,
        now: Duration,
    ) -> Swap {
        match self.rows.entry(place.clone()).or_default().decide(before, next, until, now) {
            Ok(()) => Swap::Set,
            Err(stands) => Swap::Stands(stands),
        }
    }

    /// What was decided for a record is with a quorum.
    pub fn commit(&mut self, place: &Place, now: Duration) {
        self.row_serial(place, now);
    }

    pub fn row(&mut self, place: &Place, now: Duration) -> Option<Row> {
        self.rows.get_mut(place)?.read(&mut self.random, now)
    }

    pub fn row_serial(&mut self, place: &Place, now: Duration) -> Option<Row> {
        self.rows.get_mut(place)?.settle(now).cloned()
    }

    /// Every record that is listed, or all of them.
    pub fn all_rows(&mut self, listed: bool, now: Duration) -> Vec<Row> {
        let Self { random, rows, listed: names, .. } = self;
        let rows = rows.iter_mut().filter(|(place, _)| !listed || names.contains(place));
        rows.filter_map(|(_, cell)| cell.read(random, now)).collect()
    }

    pub fn list(&mut self, place: &Place) {
        self.listed.insert(place.clone());
    }

    pub fn swap_entry(&mut self, entry: &Entry, expected: u64, now: Duration) -> Result<(), u64> {
        let (tenant, name) = entry.names();
        let cell = self.entries.entry((tenant.clone(), name.clone())).or_default();
        let stands = cell.settle(now).cloned();
        let rev = stands.as_ref().map_or(0, |stands| stands.counters().rev);
        if rev != expected {
            return Err(rev);
        }
        cell.decide(stands.as_ref(), Some(entry), None, now).map_err(|_| rev)
    }

    pub fn commit_entry(&mut self, entry: &Entry, now: Duration) {
        let (tenant, name) = entry.names();
        self.entry_serial(tenant, name, now);
    }

    pub fn entry(&mut self, tenant: &Tenant, name: &EventName, now: Duration) -> Option<Entry> {
        self.entries.get_mut(&(tenant.clone(), name.clone()))?.read(&mut self.random, now)
    }

    pub fn entry_serial(&mut self, tenant: &Tenant, name: &EventName, now: Duration) -> Option<Entry> {
        self.entries.get_mut(&(tenant.clone(), name.clone()))?.settle(now).cloned()
    }

    pub fn all_entries(&mut self, now: Duration) -> Vec<(Entry, Vec<EventId>)> {
        let Self { random, entries, .. } = self;
        let entries = entries.values_mut().filter_map(|cell| cell.read(random, now));
        entries.map(|entry| (entry, Vec::new())).collect()
    }

    pub fn note(&mut self, at: i64, node: i64, note: Note, now: Duration) {
        let token = match &note {
            Note::Published(_, version) => version.0,
            Note::Removed(_) | Note::Entry(..) => u128::from(self.random.draw()) << 64 | u128::from(self.random.draw()),
        };
        self.notes.insert((at, token.to_be_bytes()), (node, note, now + NOTES_FOR));
    }

    pub fn notes(&self, from: i64, to: i64, now: Duration) -> Vec<(Token, i64, Note)> {
        let notes = self.notes.range((from, [0; 16])..(to, [0; 16])).filter(|(_, (_, _, until))| *until > now);
        notes.map(|((_, token), (node, note, _))| (*token, *node, note.clone())).collect()
    }

    pub fn put_chunk(&mut self, chunk: Chunk, bytes: Bytes, until: Option<Duration>) {
        self.chunks.insert(chunk, (bytes, until));
    }

    pub fn chunk(&self, chunk: Chunk, now: Duration) -> Option<Bytes> {
        let (bytes, until) = self.chunks.get(&chunk)?;
        until.is_none_or(|until| until > now).then(|| bytes.clone())
    }

    pub fn delete_chunk(&mut self, chunk: Chunk) {
        self.chunks.remove(&chunk);
    }
}
