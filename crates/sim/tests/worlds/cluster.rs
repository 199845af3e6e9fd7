//! The tables of a cluster in memory, as lightweight transactions at local serial consistency and reads by a local quorum
//! show them: what was acked is seen by everyone, what was decided and not told yet by some, and a serial operation ends
//! what is half done. Must never be kinder than a real cluster is allowed to be unkind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use headwater_cassandra::tables::{Chunk, Copies, Note, Place, Standing, Swap, Token};
use headwater_model::event::Entry;
use headwater_model::row::Row;
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
    /// How often something was decided.
    order: u64,
    /// What is to be sent to the other datacentre, with how often something was decided before.
    unsent: Option<(u64, Kept<T>)>,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self { committed: None, decided: None, until: None, order: 0, unsent: None }
    }
}

impl<T: Clone + PartialEq> Cell<T> {
    /// Ends what is half done; what stands then.
    fn settle(&mut self, now: Duration) -> Option<&T> {
        if let Some((next, until)) = self.decided.take() {
            // One at a time: what was committed before is with the others already, or replaced.
            self.unsent = Some((self.order, (next.clone(), until)));
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
            self.order += 1;
            return Ok(());
        }
        if stands == next { Ok(()) } else { Err(stands.cloned()) }
    }

    /// What is to be sent to the other datacentre now: what a quorum has, and perhaps what none has yet.
    fn fresh(&mut self, random: &mut SplitMix64) -> Vec<(u64, Kept<T>)> {
        let mut fresh: Vec<_> = self.unsent.take().into_iter().collect();
        if random.happens(200) {
            fresh.extend(self.decided.iter().map(|decided| (self.order, decided.clone())));
        }
        fresh
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

/// What one datacentre gets of the other's.
#[expect(clippy::large_enum_variant, reason = "most are of the large kind")]
enum Sent {
    /// With how many writes of the record came before it.
    Row(Place, u64, Kept<Row>),
    Entry(Entry),
    Listed(Place),
    Note(i64, Token, (i64, Note, Duration)),
    Chunk(Chunk, Option<(Bytes, Option<Duration>)>),
}

/// Something and until when it is kept.
type Kept<T> = (Option<T>, Option<Duration>);

/// One datacentre's.
#[derive(Default)]
struct Site {
    rows: BTreeMap<Place, Cell<Row>>,
    entries: BTreeMap<(Tenant, EventName), Cell<Entry>>,
    /// What the other datacentre has recorded, as far as it has come.
    others: BTreeMap<Place, (u64, Kept<Row>)>,
    other_entries: BTreeMap<(Tenant, EventName), Entry>,
    listed: BTreeSet<Place>,
    notes: BTreeMap<(i64, Token), (i64, Note, Duration)>,
    chunks: BTreeMap<Chunk, (Bytes, Option<Duration>)>,
}

/// The tables.
pub struct Tables {
    /// Everything that happens by chance.
    pub random: SplitMix64,
    sites: Vec<Site>,
    /// On their way: when they arrive, and where.
    ways: Vec<(Duration, usize, Sent)>,
    /// Until when nothing goes from one datacentre to the other.
    cut_until: Duration,
}

/// Of what goes to the other datacentre, usually and now and then; and after a cut, in which it is kept.
const WAY: Duration = Duration::from_millis(200);
const LONG_WAY: Duration = Duration::from_secs(2);
const KEPT_WAY: Duration = Duration::from_secs(4);

/// When what is kept for `ttl_s` seconds goes.
pub fn until(ttl_s: i32, now: Duration) -> Option<Duration> {
    (ttl_s > 0).then(|| now + Duration::from_secs(ttl_s.unsigned_abs().into()))
}

impl Tables {
    /// Empty ones of so many datacentres.
    pub fn new(random: SplitMix64, sites: usize) -> Self {
        let sites = (0..sites).map(|_| Site::default()).collect();
        Self { random, sites, ways: Vec::new(), cut_until: Duration::ZERO }
    }

    /// Nothing goes from one datacentre to the other for `span`.
    pub fn cut(&mut self, span: Duration, now: Duration) {
        self.cut_until = self.cut_until.max(now + span);
    }

    /// Whether the nodes of the other datacentre are seen; `None` if there is none.
    pub fn others_up(&self, now: Duration) -> Option<usize> {
        (self.sites.len() > 1).then(|| usize::from(now >= self.cut_until))
    }

    /// What has arrived until `now` is there: to be called before anything is read.
    fn arrive(&mut self, now: Duration) {
        let arrived: Vec<_> = self.ways.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, to, sent) in arrived {
            let site = &mut self.sites[to];
            match sent {
                Sent::Row(place, order, row) => {
                    let known = site.others.entry(place).or_default();
                    if order >= known.0 {
                        *known = (order, row);
                    }
                }
                Sent::Entry(entry) => {
                    let (tenant, name) = entry.names();
                    let key = (tenant.clone(), name.clone());
                    let rev = entry.counters().rev;
                    if site.other_entries.get(&key).is_none_or(|known| known.counters().rev < rev) {
                        site.other_entries.insert(key, entry);
                    }
                }
                Sent::Listed(place) => drop(site.listed.insert(place)),
                Sent::Note(at, token, note) => drop(site.notes.insert((at, token), note)),
                Sent::Chunk(chunk, Some(bytes)) => drop(site.chunks.insert(chunk, bytes)),
                Sent::Chunk(chunk, None) => drop(site.chunks.remove(&chunk)),
            }
        }
    }

    /// Who asks all datacentres gets what is on its way, and has it put here; whether all answer.
    pub fn bring(&mut self, to: usize, now: Duration) -> bool {
        let answers = now >= self.cut_until;
        let on_the_way = self.ways.iter_mut().filter(|(_, site, _)| answers && *site == to);
        on_the_way.for_each(|(at, ..)| *at = now);
        answers
    }

    fn send(&mut self, from: usize, sent: Sent, now: Duration) {
        if self.sites.len() == 1 {
            return;
        }
        let most = if now < self.cut_until {
            KEPT_WAY
        } else if self.random.happens(30) {
            LONG_WAY
        } else {
            WAY
        };
        let way = Duration::from_nanos(self.random.below(most.as_nanos() as u64));
        self.ways.push((now.max(self.cut_until) + way, 1 - from, sent));
    }

    /// Does `work` on a record, and sends what became of it to the other datacentre.
    fn at<T>(
        &mut self,
        site: usize,
        place: &Place,
        now: Duration,
        work: impl FnOnce(&mut Cell<Row>, &mut SplitMix64) -> T,
    ) -> T {
        self.arrive(now);
        let Self { random, sites, .. } = self;
        let is_alone = sites.len() == 1;
        let cell = sites[site].rows.entry(place.clone()).or_default();
        let done = work(cell, random);
        // What is decided may be there before a quorum here has it.
        let fresh = if is_alone { Vec::new() } else { cell.fresh(random) };
        for (order, row) in fresh {
            self.send(site, Sent::Row(place.clone(), order, row), now);
        }
        done
    }

    fn other(&self, site: usize, place: &Place, now: Duration) -> Option<Row> {
        let (_, (row, until)) = self.sites[site].others.get(place)?;
        row.clone().filter(|_| until.is_none_or(|until| until > now))
    }

    /// Compares and decides; a quorum shows it for certain after [`Tables::commit`].
    pub fn swap(
        &mut self,
        site: usize,
        place: &Place,
        before: Option<&Row>,
        (next, until): (Option<&Row>, Option<Duration>),
        now: Duration,
    ) -> Swap {
        match self.at(site, place, now, |cell, _| cell.decide(before, next, until, now).err()) {
            None => Swap::Set,
            Some(own) => Swap::Stands(Copies { own, other: self.other(site, place, now) }),
        }
    }

    /// What was decided for a record is with a quorum.
    pub fn commit(&mut self, site: usize, place: &Place, now: Duration) {
        self.row_serial(site, place, now);
    }

    pub fn row(&mut self, site: usize, place: &Place, now: Duration) -> Copies {
        let own = self.at(site, place, now, |cell, random| cell.read(random, now));
        Copies { own, other: self.other(site, place, now) }
    }

    pub fn row_serial(&mut self, site: usize, place: &Place, now: Duration) -> Copies {
        let own = self.at(site, place, now, |cell, _| cell.settle(now).cloned());
        Copies { own, other: self.other(site, place, now) }
    }

    /// Every record that is listed, or all of them, by place.
    pub fn all_rows(&mut self, site: usize, listed: bool, now: Duration) -> Vec<Copies> {
        self.arrive(now);
        let of = &self.sites[site];
        let places: BTreeSet<Place> = of.rows.keys().chain(of.others.keys()).cloned().collect();
        let places = places.into_iter().filter(|place| !listed || of.listed.contains(place));
        let places: Vec<Place> = places.collect();
        places.iter().map(|place| self.row(site, place, now)).collect()
    }

    /// What is listed and `is_wanted`.
    pub fn listed(&mut self, site: usize, now: Duration, is_wanted: impl Fn(&Place) -> bool) -> Vec<Place> {
        self.arrive(now);
        self.sites[site].listed.iter().filter(|place| is_wanted(place)).cloned().collect()
    }

    /// Nobody has a record of it any more.
    pub fn erase(&mut self, place: &Place) {
        for site in &mut self.sites {
            site.rows.remove(place);
            site.others.remove(place);
        }
    }

    /// A datacentre has none of the chunks that it had.
    pub fn lose_chunks(&mut self, site: usize) {
        self.sites[site].chunks.clear();
    }

    pub fn list(&mut self, site: usize, place: &Place, now: Duration) {
        self.sites[site].listed.insert(place.clone());
        self.send(site, Sent::Listed(place.clone()), now);
    }

    pub fn swap_entry(&mut self, site: usize, entry: &Entry, expected: u64, now: Duration) -> Result<(), u64> {
        let (tenant, name) = entry.names();
        let cell = self.sites[site].entries.entry((tenant.clone(), name.clone())).or_default();
        let stands = cell.settle(now).cloned();
        let rev = stands.as_ref().map_or(0, |stands| stands.counters().rev);
        if rev != expected {
            return Err(rev);
        }
        cell.decide(stands.as_ref(), Some(entry), None, now).map_err(|_| rev)
    }

    pub fn commit_entry(&mut self, site: usize, entry: &Entry, now: Duration) {
        let (tenant, name) = entry.names();
        self.entry_serial(site, tenant, name, now);
        self.send(site, Sent::Entry(entry.clone()), now);
    }

    pub fn entry(&mut self, site: usize, tenant: &Tenant, name: &EventName, now: Duration) -> Option<Standing> {
        let Self { random, sites, .. } = self;
        let cell = sites[site].entries.get_mut(&(tenant.clone(), name.clone()));
        let own = cell.and_then(|cell| cell.read(random, now));
        self.standing(site, tenant, name, own, now)
    }

    pub fn entry_serial(&mut self, site: usize, tenant: &Tenant, name: &EventName, now: Duration) -> Option<Standing> {
        let cell = self.sites[site].entries.get_mut(&(tenant.clone(), name.clone()));
        let own = cell.and_then(|cell| cell.settle(now).cloned());
        self.standing(site, tenant, name, own, now)
    }

    /// Which lives of an event are to be freed is not kept: who has ended one frees it.
    fn standing(
        &mut self,
        site: usize,
        tenant: &Tenant,
        name: &EventName,
        own: Option<Entry>,
        now: Duration,
    ) -> Option<Standing> {
        self.arrive(now);
        let other = self.sites[site].other_entries.get(&(tenant.clone(), name.clone())).cloned();
        Standing::of(own.map(|entry| (entry, Vec::new())), other)
    }

    pub fn all_entries(&mut self, site: usize, now: Duration) -> Vec<Standing> {
        self.arrive(now);
        let of = &self.sites[site];
        let names: BTreeSet<(Tenant, EventName)> = of.entries.keys().chain(of.other_entries.keys()).cloned().collect();
        names.into_iter().filter_map(|(tenant, name)| self.entry(site, &tenant, &name, now)).collect()
    }

    pub fn note(&mut self, site: usize, at: i64, node: i64, note: Note, now: Duration) {
        let token = match &note {
            Note::Published(_, version) => version.0,
            Note::Removed(_) | Note::Entry(..) => u128::from(self.random.draw()) << 64 | u128::from(self.random.draw()),
        };
        let (token, note) = (token.to_be_bytes(), (node, note, now + NOTES_FOR));
        self.sites[site].notes.insert((at, token), note.clone());
        self.send(site, Sent::Note(at, token, note), now);
    }

    pub fn notes(&mut self, site: usize, from: i64, to: i64, now: Duration) -> Vec<(Token, i64, Note)> {
        self.arrive(now);
        let notes = self.sites[site].notes.range((from, [0; 16])..(to, [0; 16]));
        let notes = notes.filter(|(_, (_, _, until))| *until > now);
        notes.map(|((_, token), (node, note, _))| (*token, *node, note.clone())).collect()
    }

    pub fn put_chunk(&mut self, site: usize, chunk: Chunk, bytes: (Bytes, Option<Duration>), now: Duration) {
        self.sites[site].chunks.insert(chunk, bytes.clone());
        self.send(site, Sent::Chunk(chunk, Some(bytes)), now);
    }

    pub fn chunk(&mut self, site: usize, chunk: Chunk, now: Duration) -> Option<Bytes> {
        self.arrive(now);
        let (bytes, until) = self.sites[site].chunks.get(&chunk)?;
        until.is_none_or(|until| until > now).then(|| bytes.clone())
    }

    pub fn delete_chunk(&mut self, site: usize, chunk: Chunk, now: Duration) {
        self.sites[site].chunks.remove(&chunk);
        self.send(site, Sent::Chunk(chunk, None), now);
    }
}
