//! One process's way to the cluster, with everything that can go wrong on it: delays, requests and answers that are lost,
//! writes that count after their caller gave up, refusals, a process that is cut off or dead.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use headwater_cassandra::tables::{
    Chunk, Chunks, Copies, Entries, Keeps, Note, Notes, Place, Reach, Records, Source, Standing, Swap, Token, Written,
};
use headwater_model::event::Entry;
use headwater_model::row::{EventId, Object, Row};
use headwater_model::{EventName, Rendition, Tenant, Timestamp};
use headwater_store::{StoreError, Tier};
use parking_lot::Mutex;

use crate::cluster::{Tables, until};
use crate::time::Time;

/// The deadlines of the driver, as the engine sets them.
const RECORD: Duration = Duration::from_millis(666);
const WRITE: Duration = Duration::from_millis(1500);
const READ: Duration = Duration::from_secs(2);
/// A read without an answer is sent again so often, to another node, each time after so long, as the driver does. It does
/// so with writes too; here they stay lost, which is harsher.
const HEDGES: usize = 2;
const HEDGE: Duration = Duration::from_millis(75);
/// Less than the 12 s that there are: they would only make the worlds longer.
const SCAN: Duration = Duration::from_millis(1500);
/// Nanoseconds of a partition of notes.
const BUCKET: i64 = 10_000_000_000;

/// How often calls go wrong, in a thousand, and how slow they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub lost_requests: u64,
    pub lost_answers: u64,
    pub late: u64,
    pub refused: u64,
    /// Longest way of a request or an answer, usually and now and then.
    pub way: Duration,
    pub long_way: Duration,
    /// What is compared and set is set, but nobody is told, nor who asks serially.
    pub is_mute: bool,
}

/// The cluster, for all processes.
pub struct Cluster {
    pub time: Arc<Time>,
    pub tables: Mutex<Tables>,
    pub weather: Mutex<Weather>,
}

/// How a call goes.
enum Fate {
    Fine,
    LostRequest,
    LostAnswer,
    /// It counts this long after its caller gave up.
    Late(Duration),
    Refused,
}

impl Cluster {
    fn fate(&self) -> (Fate, Duration, Duration) {
        let weather = *self.weather.lock();
        let mut tables = self.tables.lock();
        let random = &mut tables.random;
        let mut way = || {
            let most = if random.happens(30) { weather.long_way } else { weather.way };
            Duration::from_nanos(random.below(most.as_nanos() as u64 + 1))
        };
        let ways = (way(), way());
        let drawn = random.below(1000);
        let late = Duration::from_millis(random.below(2000));
        let bounds = [weather.lost_requests, weather.lost_answers, weather.late, weather.refused];
        let mut sum = 0;
        let which = bounds.iter().position(|bound| {
            sum += bound;
            drawn < sum
        });
        let fate = match which {
            Some(0) => Fate::LostRequest,
            Some(1) => Fate::LostAnswer,
            Some(2) => Fate::Late(late),
            Some(_) => Fate::Refused,
            None => Fate::Fine,
        };
        (fate, ways.0, ways.1)
    }
}

/// One process's way to the cluster.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    cluster: Arc<Cluster>,
    /// The datacentre.
    site: usize,
    cut_until: Mutex<Duration>,
    is_dead: AtomicBool,
}

fn unanswered() -> StoreError {
    StoreError::Unavailable("no answer".into())
}

impl Link {
    pub fn new(cluster: &Arc<Cluster>, site: usize) -> Self {
        let (cut_until, is_dead) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Inner { cluster: Arc::clone(cluster), site, cut_until, is_dead }))
    }

    /// The process hears nothing from the cluster for `span`, nor it from the process.
    pub fn cut(&self, span: Duration) {
        *self.0.cut_until.lock() = self.0.cluster.time.now() + span;
    }

    /// The process is gone: what it waits for never comes, what it has sent still counts.
    pub fn kill(&self) {
        self.0.is_dead.store(true, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        *self.0.cut_until.lock() > self.0.cluster.time.now()
    }

    fn is_mute(&self) -> bool {
        self.0.cluster.weather.lock().is_mute
    }

    async fn alive(&self) {
        if self.0.is_dead.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    }

    /// A call that changes or reads the tables at one moment by `effect`, and by `then` before its answer comes, if it
    /// ever does.
    async fn call<T: Send + 'static>(
        &self,
        deadline: Duration,
        effect: impl FnOnce(&mut Tables, Duration) -> T + Send + 'static,
        then: impl FnOnce(&mut Tables, Duration) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.alive().await;
        let cluster = &self.0.cluster;
        let drawn = || {
            let (fate, there, back) = cluster.fate();
            (if self.is_cut() { Fate::LostRequest } else { fate }, there, back)
        };
        let (mut fate, mut there, mut back) = drawn();
        for _ in 0..HEDGES {
            if deadline != READ || matches!(fate, Fate::Fine | Fate::Refused) {
                break;
            }
            cluster.time.sleep(HEDGE).await;
            (fate, there, back) = drawn();
        }
        let answer = match fate {
            Fate::Refused => {
                cluster.time.sleep(there).await;
                Err(unanswered())
            }
            Fate::LostRequest => {
                cluster.time.sleep(deadline).await;
                Err(unanswered())
            }
            Fate::LostAnswer => {
                cluster.time.sleep(there).await;
                self.apply(effect);
                self.then_perhaps(then);
                cluster.time.sleep(deadline.saturating_sub(there)).await;
                Err(unanswered())
            }
            Fate::Late(late) => {
                let link = self.clone();
                tokio::spawn(async move {
                    link.0.cluster.time.sleep(deadline + late).await;
                    link.apply(effect);
                    link.then_perhaps(then);
                });
                cluster.time.sleep(deadline).await;
                Err(unanswered())
            }
            Fate::Fine => {
                cluster.time.sleep(there).await;
                let answer = self.apply(effect);
                cluster.time.sleep(back).await;
                self.apply(then);
                if self.is_cut() {
                    cluster.time.sleep(deadline.saturating_sub(there + back)).await;
                    Err(unanswered())
                } else {
                    Ok(answer)
                }
            }
        };
        self.alive().await;
        answer
    }

    fn apply<T>(&self, effect: impl FnOnce(&mut Tables, Duration) -> T) -> T {
        let now = self.0.cluster.time.now();
        effect(&mut self.0.cluster.tables.lock(), now)
    }

    fn then_perhaps(&self, then: impl FnOnce(&mut Tables, Duration)) {
        if self.0.cluster.tables.lock().random.happens(500) {
            self.apply(then);
        }
    }

    async fn plain<T: Send + 'static>(
        &self,
        deadline: Duration,
        effect: impl FnOnce(&mut Tables, Duration) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(deadline, effect, |_, _| ()).await
    }

    async fn listed_rows(&self, event: EventId) -> Result<Vec<Row>, StoreError> {
        let site = self.0.site;
        let copies = self.plain(READ, move |tables, now| tables.all_rows(site, true, now)).await?;
        let mut rows: Vec<Row> = copies.iter().filter_map(Copies::counts).collect();
        rows.retain(|row| row.key.event == event && row.has_come());
        rows.sort_by_key(|row| (number(row), row.key.pipeline.clone()));
        Ok(rows)
    }
}

fn number(row: &Row) -> u64 {
    match row.key.object {
        Object::Segment { number, .. } => number,
        Object::Init { .. } | Object::Loose { .. } => 0,
    }
}

#[async_trait]
impl Records for Link {
    async fn swap(
        &self,
        place: &Place,
        before: Option<&Row>,
        next: Option<&Row>,
        ttl_s: i32,
    ) -> Result<Swap, StoreError> {
        let (place, before, next) = (place.clone(), before.cloned(), next.cloned());
        let (same, site) = (place.clone(), self.0.site);
        let decide = move |tables: &mut Tables, now| {
            tables.swap(site, &place, before.as_ref(), (next.as_ref(), until(ttl_s, now)), now)
        };
        if self.is_mute() {
            self.apply(decide);
            self.0.cluster.time.sleep(RECORD).await;
            return Err(unanswered());
        }
        self.call(RECORD, decide, move |tables, now| tables.commit(site, &same, now)).await
    }

    async fn row(&self, place: &Place) -> Result<Copies, StoreError> {
        let (place, site) = (place.clone(), self.0.site);
        self.plain(READ, move |tables, now| tables.row(site, &place, now)).await
    }

    async fn row_serial(&self, place: &Place) -> Result<Copies, StoreError> {
        if self.is_mute() {
            self.0.cluster.time.sleep(READ).await;
            return Err(unanswered());
        }
        let (place, site) = (place.clone(), self.0.site);
        self.plain(READ, move |tables, now| tables.row_serial(site, &place, now)).await
    }

    async fn rows(
        &self,
        event: EventId,
        _: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
        keeps: Keeps<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = self.listed_rows(event).await?.into_iter();
        Ok(rows.filter(|row| numbers.contains(&number(row)) && keeps(row)).take(limit).collect())
    }

    async fn scan(&self, reach: Reach, see: &mut (dyn FnMut(bool, Row) + Send)) -> Result<(), StoreError> {
        let site = self.0.site;
        let read = move |tables: &mut Tables, now| {
            let reaches = reach == Reach::Here || tables.bring(site, now);
            reaches.then(|| tables.all_rows(site, false, now))
        };
        for Copies { own, other } in self.plain(SCAN, read).await?.ok_or_else(unanswered)? {
            own.into_iter().for_each(|row| see(true, row));
            other.into_iter().for_each(|row| see(false, row));
        }
        Ok(())
    }

    async fn list_row(&self, place: &Place, _: i32) -> Result<(), StoreError> {
        let (place, site) = (place.clone(), self.0.site);
        self.plain(WRITE, move |tables, now| tables.list(site, &place, now)).await
    }

    async fn list_block(&self, _: &Place, _: i32) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list_shelf(&self, _: &Place) -> Result<(), StoreError> {
        Ok(())
    }

    async fn listed(
        &self,
        event: EventId,
        shelf: &str,
        block: i64,
        _: RangeInclusive<i64>,
    ) -> Result<Vec<Place>, StoreError> {
        let (site, shelf) = (self.0.site, shelf.to_owned());
        let is_of = move |place: &Place| of(place, event) && place.shelf == shelf && place.block == block;
        self.plain(READ, move |tables, now| tables.listed(site, now, is_of)).await
    }

    async fn shelves(&self, event: EventId) -> Result<Vec<String>, StoreError> {
        let site = self.0.site;
        let places = self.plain(READ, move |tables, now| tables.listed(site, now, |place| of(place, event))).await?;
        Ok(BTreeSet::from_iter(places.into_iter().map(|place| place.shelf)).into_iter().collect())
    }

    async fn all_blocks(&self, event: EventId, shelf: &str) -> Result<Vec<i64>, StoreError> {
        let (site, shelf) = (self.0.site, shelf.to_owned());
        let is_of = move |place: &Place| of(place, event) && place.shelf == shelf;
        let places = self.plain(READ, move |tables, now| tables.listed(site, now, is_of)).await?;
        Ok(BTreeSet::from_iter(places.into_iter().map(|place| place.block)).into_iter().collect())
    }

    async fn erase_row(&self, place: &Place) -> Result<(), StoreError> {
        let place = place.clone();
        self.plain(WRITE, move |tables, _| tables.erase(&place)).await
    }

    // What is listed and not recorded does no harm.

    async fn delete_listing(&self, _: i64, _: &str, _: i64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete_blocks(&self, _: i64, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete_shelves(&self, _: i64) -> Result<(), StoreError> {
        Ok(())
    }
}

fn of(place: &Place, event: EventId) -> bool {
    place.event == event.0.cast_signed()
}

#[async_trait]
impl Entries for Link {
    async fn entry(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError> {
        let (tenant, name, site) = (tenant.clone(), name.clone(), self.0.site);
        self.plain(READ, move |tables, now| tables.entry(site, &tenant, &name, now)).await
    }

    async fn entry_serial(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError> {
        let (tenant, name, site) = (tenant.clone(), name.clone(), self.0.site);
        self.plain(READ, move |tables, now| tables.entry_serial(site, &tenant, &name, now)).await
    }

    async fn entries(&self, reach: Reach) -> Result<Vec<Standing>, StoreError> {
        let site = self.0.site;
        let read = move |tables: &mut Tables, now| {
            let reaches = reach == Reach::Here || tables.bring(site, now);
            reaches.then(|| tables.all_entries(site, now))
        };
        self.plain(SCAN, read).await?.ok_or_else(unanswered)
    }

    async fn swap_entry(&self, entry: &Entry, _: &[EventId], expected: u64) -> Result<Written, StoreError> {
        let (entry, same, site) = (entry.clone(), entry.clone(), self.0.site);
        let decide = move |tables: &mut Tables, now| tables.swap_entry(site, &entry, expected, now);
        self.call(RECORD, decide, move |tables, now| tables.commit_entry(site, &same, now)).await
    }

    async fn mark_freed(&self, _: &Standing, _: EventId) -> Result<bool, StoreError> {
        Ok(true)
    }
}

#[async_trait]
impl Notes for Link {
    async fn note(&self, note: &Note, node: i64, wall: Timestamp) -> Result<(), StoreError> {
        let (note, at, site) = (note.clone(), wall.nanos() as i64, self.0.site);
        self.plain(WRITE, move |tables, now| tables.note(site, at, node, note, now)).await
    }

    async fn notes(&self, bucket: i64, from: i64) -> Result<Vec<(Token, i64, Note)>, StoreError> {
        let (from, to) = (from.max(bucket * BUCKET), (bucket + 1) * BUCKET);
        let site = self.0.site;
        let read =
            move |tables: &mut Tables, now| if from < to { tables.notes(site, from, to, now) } else { Vec::new() };
        self.plain(READ, read).await
    }

    fn others_up(&self) -> Option<usize> {
        self.0.cluster.tables.lock().others_up(self.0.cluster.time.now())
    }
}

#[async_trait]
impl Chunks for Link {
    async fn put(&self, chunk: Chunk, bytes: Bytes, ttl_s: i32) -> Result<(), StoreError> {
        let site = self.0.site;
        self.plain(WRITE, move |tables, now| tables.put_chunk(site, chunk, (bytes, until(ttl_s, now)), now)).await
    }

    async fn get(&self, chunk: Chunk, _: usize, from: Source) -> Result<Option<(Bytes, Tier)>, StoreError> {
        let site = self.0.site;
        let read = move |tables: &mut Tables, now| {
            let reaches = from != Source::Both || tables.bring(site, now);
            reaches.then(|| tables.chunk(site, chunk, now))
        };
        let bytes = self.plain(READ, read).await?.ok_or_else(unanswered)?;
        Ok(bytes.map(|bytes| (bytes, Tier::Store)))
    }

    async fn delete(&self, chunk: Chunk) -> Result<(), StoreError> {
        let site = self.0.site;
        self.plain(WRITE, move |tables, now| tables.delete_chunk(site, chunk, now)).await
    }
}
