//! Seeded lives of a log on a simulated disk: publishes, removals, entries, failing calls, full disks, expiry, power
//! cuts, and in some of them bits that flip. After each start everything acked is there byte for byte, and what was not
//! acked is whole or absent; what was damaged is refused, never told as right. `flawed` shows that an engine that is
//! broken does not pass. `HEADWATER_SEED=n` replays one seed, `HEADWATER_SEED=n..m` lives through as many as one likes.

mod flawed;
mod rot;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headwater_model::event::{Counters, Event};
use headwater_model::row::{Digest, Keep, Object};
use headwater_model::{EventName, Tenant};

use flawed::Flaw;
use rot::Rot;

use super::super::*;
use crate::conformance::{Heard, body, claim, defective, event, init, loose, segment};
use crate::disk::simulated::{Call, Simulated, SplitMix64};
use crate::stamp::ManualClock;

/// Enough to meet every kind of trouble thousands of times, few enough for half a minute of a debug run on two cores.
const SEEDS: u64 = 2000;
const LIVES: u64 = 4;
const STEPS: u64 = 14;

#[test]
fn whatever_happens_what_was_acked_is_there_and_the_rest_is_whole_or_absent() {
    let seeds = asked_for().unwrap_or(0..SEEDS);
    let met = live_through(seeds.clone());
    println!("{} seeds met {met:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= SEEDS {
        assert!(met.all().iter().all(|times| *times > 100), "some kind of trouble was hardly met: {met:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a seed is replayed without building anew")]
fn asked_for() -> Option<Range<u64>> {
    let told = std::env::var("HEADWATER_SEED").ok()?;
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("HEADWATER_SEED={told} is no seed"));
    Some(match told.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&told)..number(&told) + 1,
    })
}

/// Every seed of `seeds`, on all cores; panics with the first that fails.
fn live_through(seeds: Range<u64>) -> Met {
    let next = AtomicU64::new(seeds.start);
    let live = || {
        let mut met = Met::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return met;
            }
            let naming = Naming { seed, next: &next, end: seeds.end };
            World::new(seed, None).live(&mut met);
            drop(naming);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let mut all = Met::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(live)).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).add_to(&mut all);
        }
    });
    all
}

/// Names the seed when a world panics, and lets the other threads end.
struct Naming<'a> {
    seed: u64,
    next: &'a AtomicU64,
    end: u64,
}

impl Drop for Naming<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.next.store(self.end, Ordering::Relaxed);
            eprintln!("replay with HEADWATER_SEED={} cargo test -p headwater-store --lib log::tests::crash", self.seed);
        }
    }
}

/// How often the tests met what they are for.
#[derive(Debug, Default)]
struct Met {
    acked: u64,
    failed: u64,
    full: u64,
    cuts: u64,
    ghosts: u64,
    expired: u64,
    reclaimed: u64,
    removed: u64,
    early: u64,
    flipped: u64,
    refused: u64,
    deferred: u64,
}

impl Met {
    fn all(&self) -> [u64; 12] {
        let Self { acked, failed, full, cuts, ghosts, expired, reclaimed, removed, early, flipped, refused, deferred } =
            *self;
        [acked, failed, full, cuts, ghosts, expired, reclaimed, removed, early, flipped, refused, deferred]
    }

    fn add_to(&self, sum: &mut Self) {
        sum.acked += self.acked;
        sum.failed += self.failed;
        sum.full += self.full;
        sum.cuts += self.cuts;
        sum.ghosts += self.ghosts;
        sum.expired += self.expired;
        sum.reclaimed += self.reclaimed;
        sum.removed += self.removed;
        sum.early += self.early;
        sum.flipped += self.flipped;
        sum.refused += self.refused;
        sum.deferred += self.deferred;
    }
}

/// What may be true of an object.
#[expect(clippy::large_enum_variant, reason = "a test holds a few dozen")]
#[derive(Clone, Debug, PartialEq)]
enum State {
    Absent,
    Row(Row),
    /// Published and not acked: these bytes under some stamp.
    Attempt(Digest),
}

#[derive(Debug)]
struct Truth {
    acked: State,
    maybe: Vec<State>,
    /// What was seen to expire may be back, or not, after a start at which the wall clock was set back.
    expired: Option<Row>,
}

struct World {
    random: SplitMix64,
    disk: Arc<Simulated>,
    clock: Arc<ManualClock>,
    heard: Arc<Heard>,
    flaw: Option<Flaw>,
    rot: Rot,
    /// Whether reads go the whole way, over the runtime's threads, which most of the time would be theirs.
    whole_way: bool,
    objects: BTreeMap<Key, Truth>,
    bodies: HashMap<Digest, Body>,
    entries: BTreeMap<EventName, (Option<Entry>, Vec<Entry>)>,
    next_event: u64,
    /// The highest stamp that was acked.
    stamp: Timestamp,
    /// Whether the disk was ever full in this life.
    tight: bool,
    wall: i64,
}

enum Asked {
    Publish(Claim, Body),
    Remove(Key),
    Entry(Entry, u64),
}

#[expect(clippy::large_enum_variant, reason = "a test holds a few")]
enum Answered {
    Publish(Result<Published, StoreError>),
    Remove(Result<(), StoreError>),
    Entry(Result<(), StoreError>),
}

fn options() -> Options {
    Options {
        window_bytes: 8 << 10,
        dvr_bytes: 1 << 20,
        reserve_bytes: 8 << 10,
        ballast_bytes: 12 << 10,
        bucket_bytes: 24 << 10,
        expire_after: Duration::ZERO,
        punch_every: Duration::ZERO,
        grace: Millis::from_seconds(10),
        observer: None,
    }
}

impl World {
    fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let mut random = SplitMix64(seed ^ 0xC0FF_EE00);
        Self {
            disk: Simulated::new(random.draw()),
            random,
            clock: Arc::default(),
            heard: Arc::default(),
            flaw,
            rot: Rot::new(seed % 4 == 3),
            whole_way: seed.is_multiple_of(8) && flaw.is_none(),
            objects: BTreeMap::new(),
            bodies: HashMap::new(),
            entries: BTreeMap::new(),
            next_event: 1,
            stamp: Timestamp::MIN,
            tight: false,
            wall: 1_000_000,
        }
    }

    fn live(&mut self, met: &mut Met) {
        for _ in 0..LIVES {
            let (mut log, mut committer) = self.open();
            self.check_after_start(&log, met);
            let is_lazy = self.random.happens(500);
            if is_lazy {
                // What is there is known, and now the log has to find it when it is needed.
                self.disk.kill();
                drop((log, committer));
                (log, committer) = self.start();
                met.deferred += log.shared.index.read().deferred_row_count();
                self.check_against_a_whole_fold(&log);
            }
            for _ in 0..self.random.below(STEPS) {
                self.trouble();
                self.rot_while_running(&log, met);
                self.step(&log, &mut committer, met);
                self.clock.advance(Duration::from_millis(self.random.below(12_000)));
                let before = log.stats().buckets;
                for _ in 0..self.random.below(8) {
                    committer.tend();
                }
                met.reclaimed += before.saturating_sub(log.stats().buckets);
                self.note_early(&log, met);
                if self.disk.is_off() {
                    break;
                }
                self.check_running(&log, met, is_lazy);
            }
            if is_lazy && !self.disk.is_off() {
                self.check_running(&log, met, false);
            }
            met.cuts += u64::from(self.disk.is_off());
            self.end(log, committer);
            self.rot_while_off(met);
        }
        let (log, _committer) = self.open();
        self.check_after_start(&log, met);
    }

    fn open(&mut self) -> (Arc<Log>, Committer) {
        // The wall clock may have been set back or forth while nobody looked.
        self.wall += self.random.below(40) as i64 - 10;
        self.clock = Arc::new(ManualClock::at(Timestamp::from_seconds(self.wall)));
        self.start()
    }

    fn start(&mut self) -> (Arc<Log>, Committer) {
        self.heard = Arc::default();
        let disk = flawed::disk(self.flaw, Arc::clone(&self.disk));
        let opened = Log::open_by_hand(options(), self.clock.clone(), disk, self.heard.clone());
        let (log, committer) = opened.unwrap();
        if self.rot.is_rotten {
            // The record with the highest stamp may be what was damaged.
            self.stamp = Timestamp::MIN;
        }
        assert!(log.stamp() > self.stamp, "stamps begin after every durable one");
        (log, committer)
    }

    fn end(&mut self, log: Arc<Log>, mut committer: Committer) {
        match self.random.below(4) {
            _ if self.disk.is_off() => self.disk.crash(),
            0 => committer.finish(),
            1 => self.disk.kill(),
            _ => self.disk.crash(),
        }
        drop((log, committer));
        self.disk.set_capacity(u64::MAX);
        self.disk.fail_often(0);
        self.disk.kill();
    }

    fn trouble(&mut self) {
        let calls = [Call::Write, Call::Sync, Call::Truncate, Call::Create, Call::Unlink, Call::SyncDir];
        match self.random.below(12) {
            0 => self.disk.cut_power_in(1 + self.random.below(8)),
            1 => {
                let call = calls[self.random.below(6) as usize];
                self.disk.fail_next(call, 1 + self.random.below(3) as u32);
            }
            2 => self.disk.fail_often(self.random.below(200)),
            3 => {
                self.tight = true;
                self.disk.set_capacity(self.random.below(100_000));
            }
            4 | 5 => {
                self.disk.set_capacity(u64::MAX);
                self.disk.fail_often(0);
            }
            _ => {}
        }
    }

    fn ask(&mut self, now: Timestamp) -> Asked {
        let event_of = |entry: &Option<Entry>| entry.as_ref().and_then(Entry::alive).map(|event| event.id);
        let living: Vec<_> = self.entries.values().filter_map(|(entry, _)| event_of(entry)).collect();
        if living.is_empty() || self.random.happens(100) {
            return self.ask_entry();
        }
        let pipeline = ["a", "b"][self.random.below(2) as usize];
        let number = self.random.below(12);
        let mut key = match self.random.below(10) {
            0 => init("v", pipeline),
            1 | 2 => loose("m.mpd", pipeline),
            _ => segment("v", number, pipeline),
        };
        key.event = living[self.random.below(living.len() as u64) as usize];
        let often = if matches!(key.object, Object::Segment { .. }) { 60 } else { 200 };
        if self.random.happens(often) {
            return Asked::Remove(key);
        }
        let length = [0, 10, 700, 4096, 5000, 9000][self.random.below(6) as usize];
        let body = remembered(self.random.below(100), length);
        self.bodies.insert(body.digest(), body.clone());
        let mut claim = claim(key, &body, now);
        if matches!(claim.key.object, Object::Segment { .. }) {
            claim.keep = Keep::Until(now.offset_nanos(i128::from(1 + self.random.below(150)) * 1_000_000_000));
        }
        if self.random.happens(400) {
            claim = defective(claim);
        }
        Asked::Publish(claim, body)
    }

    fn ask_entry(&mut self) -> Asked {
        let name = EventName::new(["x", "y"][self.random.below(2) as usize]).unwrap();
        let stands = self.entries.get(&name).and_then(|(entry, _)| entry.clone());
        let counters = stands.as_ref().map_or(Counters::default(), Entry::counters);
        let next = Counters { rev: counters.rev + 1, ..counters };
        let entry = match stands.as_ref().and_then(Entry::alive) {
            Some(alive) if self.random.happens(500) => Entry::Alive(Box::new(Event { rev: next.rev, ..alive.clone() })),
            Some(_) => Entry::Gone { tenant: Tenant::new("live").unwrap(), name, counters: next },
            None => {
                self.next_event += 1;
                Entry::Alive(Box::new(event(EventId(self.next_event), name.as_str(), counters)))
            }
        };
        Asked::Entry(entry, counters.rev)
    }

    /// Lets a few publishers ask at once, commits, and takes note of the answers.
    fn step(&mut self, log: &Arc<Log>, committer: &mut Committer, met: &mut Met) {
        let asked: Vec<Asked> = (0..1 + self.random.below(6)).map(|_| self.ask(log.stamp())).collect();
        let mut waiting: Vec<_> = asked
            .iter()
            .map(|asked| {
                let log = Arc::clone(log);
                let asked = asked.clone();
                Box::pin(async move {
                    match asked {
                        Asked::Publish(claim, body) => Answered::Publish(log.publish(claim, body).await),
                        Asked::Remove(key) => Answered::Remove(log.remove(key).await),
                        Asked::Entry(entry, expected) => Answered::Entry(log.write_entry(entry, expected).await),
                    }
                })
            })
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        let mut early = Vec::new();
        for future in &mut waiting {
            // It waits in the queue, or it could not load what it has to be judged by.
            let before = log.shared.queue.len();
            early.push(block_on(std::future::poll_fn(|context| match future.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if log.shared.queue.len() > before => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })));
        }
        committer.step_once();
        let answers = waiting.iter_mut().zip(early).map(|(future, early)| match early {
            Some(answer) => answer,
            None => match future.as_mut().poll(&mut context) {
                Poll::Ready(answer) => answer,
                Poll::Pending => panic!("not answered"),
            },
        });
        let answers: Vec<Answered> = answers.collect();
        let durable = answers.iter().any(|answer| matches!(answer, Answered::Publish(Ok(Published::Stored(_)))));
        if durable {
            self.forget_attempts();
        }
        for (asked, answer) in asked.into_iter().zip(answers) {
            self.note(asked, answer, met);
        }
    }

    /// After a commit that succeeded nothing of one that failed before may ever show.
    fn forget_attempts(&mut self) {
        self.objects.values_mut().for_each(|truth| truth.maybe.clear());
        self.entries.values_mut().for_each(|(_, maybe)| maybe.clear());
    }

    fn note(&mut self, asked: Asked, answer: Answered, met: &mut Met) {
        let (key, state, attempt) = match (asked, answer) {
            (Asked::Entry(entry, _), Answered::Entry(answer)) => return self.note_entry(entry, answer),
            (Asked::Remove(key), Answered::Remove(answer)) => {
                let state = self.without(&key);
                met.removed += u64::from(matches!(state, State::Row(_)));
                (key, answer.map(|()| state.clone()), state)
            }
            (Asked::Publish(claim, _), Answered::Publish(answer)) => {
                met.full += u64::from(matches!(answer, Err(StoreError::Full(_))));
                let attempt = State::Attempt(claim.digest);
                match answer {
                    Ok(Published::Stored(row)) => {
                        assert!(row.published > self.stamp, "stamps grow");
                        self.stamp = row.published;
                        (claim.key, Ok(State::Row(row)), attempt)
                    }
                    Ok(Published::Same(row) | Published::Final(row)) => {
                        let acked = self.objects.get(&claim.key).map(|truth| truth.acked.clone());
                        let same = acked == Some(State::Row(row));
                        assert!(same || self.rot.is_rotten, "an answer tells of the row that stands, not {acked:?}");
                        return;
                    }
                    Ok(Published::Exists(row)) => panic!("nobody asked to create {row:?}"),
                    Err(StoreError::Gone) => return,
                    Err(error) => (claim.key, Err(error), attempt),
                }
            }
            _ => unreachable!("answers come in the order of the questions"),
        };
        self.rot.told(&key, state.as_ref().unwrap_or(&attempt));
        let truth = self.objects.entry(key).or_insert(Truth { acked: State::Absent, maybe: vec![], expired: None });
        match state {
            Ok(state) => {
                met.acked += 1;
                truth.acked = state;
            }
            Err(_) => {
                met.failed += 1;
                truth.maybe.push(attempt);
            }
        }
    }

    /// What a removal leaves of an object.
    fn without(&self, key: &Key) -> State {
        match self.objects.get(key).map(|truth| &truth.acked) {
            Some(State::Row(row)) if matches!(key.object, Object::Segment { .. }) => {
                State::Row(row.removed(Body::default().digest()))
            }
            _ => State::Absent,
        }
    }

    fn note_entry(&mut self, entry: Entry, answer: Result<(), StoreError>) {
        self.rot.entries.push(entry.clone());
        let (stands, maybe) = self.entries.entry(entry.names().1.clone()).or_default();
        match answer {
            Ok(()) => {
                let id = |entry: &Entry| entry.alive().map(|event| event.id);
                let ended = stands.as_ref().and_then(id).filter(|ended| id(&entry) != Some(*ended));
                *stands = Some(entry);
                if let Some(ended) = ended {
                    // Kept, since damage to the entry may bring its rows back.
                    let of_ended = self.objects.iter_mut().filter(|(key, _)| key.event == ended);
                    of_ended.for_each(|(_, truth)| (truth.acked, truth.expired) = (State::Absent, None));
                    self.objects.retain(|key, _| key.event != ended || self.rot.happens);
                }
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(_) => maybe.push(entry),
        }
    }

    /// On a full disk media goes before its time, and the listener is told.
    fn note_early(&mut self, log: &Arc<Log>, met: &mut Met) {
        let gone = self.heard.removed();
        for (key, truth) in &mut self.objects {
            let early = matches!(key.object, Object::Segment { .. }) && gone.contains(key);
            // What was told of was loaded before: there is nothing to be asked of a disk that may be off.
            if !early || log.shared.index.read().current(key).is_some() {
                continue;
            }
            if let State::Row(row) = std::mem::replace(&mut truth.acked, State::Absent) {
                met.early += 1;
                truth.expired = Some(row);
            }
        }
    }

    /// What is in memory or on the disk only comes to what it comes to when all of it is read at once.
    fn check_against_a_whole_fold(&mut self, log: &Arc<Log>) {
        let disk: Arc<dyn Disk> = self.disk.clone();
        if self.rot.is_rotten || self.disk.is_off() {
            return;
        }
        let Ok(whole) = survey::whole_index(&disk) else { return };
        let index = log.shared.index.read();
        let stamp = |stored: &Arc<bucket::Stored>| stored.stamp;
        for key in self.objects.keys().filter(|key| index.deferred.with_key(key).next().is_none()) {
            assert_eq!(index.current(key).map(stamp), whole.current(key).map(stamp), "{key:?}");
        }
        let rows = index.row_count() + index.deferred_row_count() as usize;
        assert_eq!(rows, whole.row_count(), "none is counted twice");
    }

    /// In a running store a failure shows nowhere. Of a `lazy` life one object is looked at, and the rest left alone.
    fn check_running(&mut self, log: &Arc<Log>, met: &mut Met, is_lazy: bool) {
        let now = log.stamp();
        let mut objects = std::mem::take(&mut self.objects);
        let read = self.random.below(objects.len().max(1) as u64) as usize;
        for (index, (key, truth)) in objects.iter_mut().enumerate() {
            expire(truth, log.shared.expiry().now, met);
            if is_lazy && index != read && !self.rot.may_be_lost(key, truth) {
                continue;
            }
            let actual = actual(log, key);
            if actual != truth.acked && self.rot.may_be_lost(key, truth) && actual == State::Absent {
                truth.acked = State::Absent;
            }
            assert_eq!(actual, truth.acked, "{key:?}");
            if let State::Row(row) = &actual
                && (index == read || self.rot.spoiled.contains(&row.published))
            {
                self.check_bytes(log, row, met);
            }
        }
        self.objects = objects;
        assert!(log.settled() >= now, "the watermark moves after failures too");
        self.check_usage(log);
    }

    /// What is read of a row is what was published, or is refused where a bit was flipped.
    fn check_bytes(&self, log: &Arc<Log>, row: &Row, met: &mut Met) {
        if row.size == 0 || row.is_removed() {
            return;
        }
        match self.read(log, row) {
            Ok(read) => assert!(read.to_bytes() == self.bodies[&row.digest].to_bytes(), "other bytes: {row:?}"),
            Err(StoreError::Damaged(_)) if self.rot.may_be_spoiled(row) => met.refused += 1,
            // The file went before its time, and the disk could not make that durable yet.
            Err(StoreError::Gone) if self.tight => {}
            Err(StoreError::Damaged(what)) if self.tight && what.contains("not found") => {}
            Err(error) => panic!("{error}: {row:?}"),
        }
    }

    fn read(&self, log: &Arc<Log>, row: &Row) -> Result<Body, StoreError> {
        if self.whole_way {
            return block_on(log.read(row, 0..row.size)).map(|(body, _)| body);
        }
        if let Some(body) = log.shared.hot(row) {
            return Ok(body);
        }
        let stored = log.shared.index.read().current(&row.key).cloned().ok_or(StoreError::Gone)?;
        read::payload(&*log.shared.disk, &stored).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => StoreError::Damaged(error.to_string()),
            std::io::ErrorKind::NotFound => StoreError::Gone,
            _ => StoreError::Unavailable(error.to_string()),
        })
    }

    /// What is counted as it comes and goes is what one would count.
    fn check_usage(&self, log: &Arc<Log>) {
        if self.rot.is_rotten {
            return;
        }
        let second = |at: Timestamp| at.nanos().div_euclid(1_000_000_000);
        let (now, mut counted) = (log.shared.expiry().now, crate::Usage::default());
        for truth in self.objects.values() {
            let State::Row(row) = &truth.acked else { continue };
            let lasts = !matches!(row.keep, Keep::Until(until) if second(until) < second(now));
            let is_segment = matches!(row.key.object, Object::Segment { .. });
            if lasts && !(is_segment && row.is_removed()) {
                counted += crate::Usage { objects: 1, bytes: row.size };
            }
        }
        let events: Vec<EventId> = (0..=self.next_event).map(EventId).collect();
        assert_eq!(log.usage(&events), counted);
    }

    fn check_after_start(&mut self, log: &Arc<Log>, met: &mut Met) {
        let now = log.shared.expiry().now;
        let entries = at_once(log.entries()).unwrap();
        for (name, (stands, maybe)) in &mut self.entries {
            let actual = entries.iter().find(|entry| entry.names().1 == name).cloned();
            if actual != *stands {
                let allowed = if self.rot.is_rotten { &self.rot.entries } else { &*maybe };
                let explained = actual.as_ref().map_or(self.rot.is_rotten, |entry| allowed.contains(entry));
                assert!(explained, "{actual:?} instead of {stands:?}");
                met.ghosts += 1;
            }
            *stands = actual;
            maybe.clear();
        }
        let living: Vec<EventId> = entries.iter().filter_map(|entry| entry.alive().map(|event| event.id)).collect();
        let mut objects = std::mem::take(&mut self.objects);
        for (key, truth) in &mut objects {
            expire(truth, now, met);
            let actual = actual(log, key);
            let is_segment = matches!(key.object, Object::Segment { .. });
            if self.tight && is_segment && actual == State::Absent && may_go_early(truth, log.stamp()) {
                truth.acked = State::Absent;
            }
            if self.rot.touches(key) {
                assert!(self.rot.explains(key, &actual), "{key:?}: nobody was told of {actual:?}");
            } else if !living.contains(&key.event) {
                assert_eq!(actual, State::Absent, "a row outlived its event: {key:?}");
            } else if actual != truth.acked && !is_back(truth, &actual) {
                assert!(may_be(truth, &actual), "{key:?}: {actual:?} is none of {truth:?}");
                met.ghosts += 1;
            }
            if let State::Row(row) = &actual
                && !row.is_removed()
            {
                self.check_bytes(log, row, met);
                self.stamp = self.stamp.max(row.published);
            }
            let expired = truth.expired.take().filter(|_| actual == State::Absent);
            *truth = Truth { acked: actual, maybe: vec![], expired };
        }
        self.tight = false;
        self.objects = objects;
        self.check_usage(log);
        assert!(log.stamp() > self.stamp, "stamps begin after every durable one");
    }
}

impl Clone for Asked {
    fn clone(&self) -> Self {
        match self {
            Self::Publish(claim, body) => Self::Publish(claim.clone(), body.clone()),
            Self::Remove(key) => Self::Remove(key.clone()),
            Self::Entry(entry, expected) => Self::Entry(entry.clone(), *expected),
        }
    }
}

fn expire(truth: &mut Truth, now: Timestamp, met: &mut Met) {
    let State::Row(row) = &truth.acked else { return };
    if !(Expiry { now, grace: options().grace }).keeps(row) {
        truth.expired = Some(row.clone());
        truth.acked = State::Absent;
        met.expired += 1;
    }
}

/// Whether a power cut may have come between the removal of a bucket, before its time on a full disk, and anybody's
/// hearing of it.
fn may_go_early(truth: &Truth, now: Timestamp) -> bool {
    matches!(&truth.acked, State::Row(row) if now > row.published + options().grace)
}

fn is_back(truth: &Truth, actual: &State) -> bool {
    truth.acked == State::Absent && matches!(actual, State::Row(row) if truth.expired.as_ref() == Some(row))
}

fn is_sound(state: &State) -> bool {
    matches!(state, State::Row(row) if row.sound.is_some())
}

fn is_removal(state: &State) -> bool {
    matches!(state, State::Absent) || matches!(state, State::Row(row) if row.is_removed())
}

/// Whether an attempt that was not acked explains what is there.
fn may_be(truth: &Truth, actual: &State) -> bool {
    let tried = |state: &State| match (state, actual) {
        // Nor was the removal acked that came after it in the same commit.
        (State::Attempt(_), State::Row(row)) if row.is_removed() => truth.maybe.iter().any(is_removal),
        (State::Attempt(digest), State::Row(row)) => row.digest == *digest,
        (state, actual) => state == actual,
    };
    // A removal that was not acked may have made room for what was asked for after it.
    let removed = truth.maybe.iter().any(|state| matches!(state, State::Row(row) if row.is_removed()));
    let allowed = match (&truth.acked, actual) {
        (State::Row(was), State::Row(is)) if matches!(was.key.object, Object::Segment { .. }) => {
            (was.sound.is_none() || removed) && is.first == was.first
        }
        (State::Row(was), State::Absent) => {
            removed || was.sound.is_none() || !matches!(was.key.object, Object::Segment { .. })
        }
        _ => true,
    };
    // What is left where neither an upload nor the removal of it was acked.
    let attempted = truth.maybe.iter().any(|state| matches!(state, State::Attempt(_)));
    let unacked_removal = removed || truth.maybe.contains(&State::Absent);
    let undone = matches!(actual, State::Row(row) if row.is_removed()) && attempted && unacked_removal;
    // An attempt that was stored and expired unseen leaves nothing.
    let vanished = *actual == State::Absent && attempted;
    allowed && (truth.maybe.iter().any(tried) || undone || (vanished && (removed || !is_sound(&truth.acked))))
}

fn actual(log: &Arc<Log>, key: &Key) -> State {
    let rows = match &key.object {
        Object::Segment { rendition, number } => block_on(log.rows(key.event, rendition, *number..=*number, 9)),
        _ => at_once(log.standing(key.event, 0)),
    };
    rows.unwrap().into_iter().find(|row| row.key == *key).map_or(State::Absent, State::Row)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// The output of what never waits: everything but a read of the disk.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// A body, made once on each thread.
fn remembered(seed: u64, length: usize) -> Body {
    thread_local! {
        static BODIES: RefCell<HashMap<(u64, usize), Body>> = RefCell::default();
    }
    BODIES.with_borrow_mut(|bodies| bodies.entry((seed, length)).or_insert_with(|| body(seed, length)).clone())
}
