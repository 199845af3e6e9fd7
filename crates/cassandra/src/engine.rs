//! What the parts of the engine share, and the small things that most of them need.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use headwater_model::row::{Keep, Row};
use headwater_model::{Millis, Timestamp};
use headwater_store::dvr::Dvr;
use headwater_store::stamp::{Clock, Stamps};
use headwater_store::window::Window;
use headwater_store::{Body, Listener, StoreError, Tier};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::announce::{Announcer, is_removed, slot};
use crate::changes::{Note, Watch};
use crate::chunks::{self, Chunks};
use crate::index::keeps;
use crate::load::{Loaded, load};
use crate::options::{ARRIVAL_LOOK, Options, READ_BUDGET, RECORDS_IN_FLIGHT};
use crate::place::Place;
use crate::rounds::Spells;
use crate::session::Cluster;
use crate::tables::{Reach, Tables};
use crate::{OpenError, memcached, version};

/// Locks that commits of this process take turns by: enough that two renditions seldom share one.
const STRIPES: usize = 1024;
/// Blocks remembered as listed. Forgetting them costs writing them again.
const LISTED_MAX: usize = 100_000;
/// The listing of a block outlives its first record by this, so that later ones seldom have to write it again.
const LISTED_EXTRA_S: i64 = 86_400;
/// Cassandra's longest time to live, in seconds: 20 years.
const TTL_MAX_S: i64 = 630_720_000;

/// A source of 128 bits of chance.
pub(crate) type Chance = Arc<dyn Fn() -> u128 + Send + Sync>;

/// What an engine runs on.
pub struct Parts {
    /// Records, entries, listings, notes.
    pub tables: Arc<dyn Tables>,
    /// Media.
    pub chunks: Box<dyn Chunks>,
    /// What no two calls give alike, in any process: tokens are made of it.
    pub chance: Arc<dyn Fn() -> u128 + Send + Sync>,
}

/// The engine behind its handle.
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) cluster: Arc<dyn Tables>,
    pub(crate) chunks: Box<dyn Chunks>,
    /// How often memcached was asked.
    pub(crate) cached: Arc<memcached::Counters>,
    /// Requests that another node of Cassandra was asked for too.
    pub(crate) hedges: Arc<AtomicU64>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) dvr: Dvr,
    /// Commits of one candidate take turns within a process: Paxos would let them fail in turns.
    stripes: Vec<tokio::sync::Mutex<()>>,
    /// Places for records that are being compared and set.
    pub(crate) recording: Semaphore,
    /// Blocks that are listed, until when, in seconds since the epoch.
    listed: Mutex<HashMap<(i64, String, i64), i64>>,
    /// Follows the notes of others.
    pub(crate) watch: tokio::sync::Mutex<Watch>,
    /// When the reading of the records began, on the monotonic clock.
    pub(crate) opened: Duration,
    /// Whose records those were.
    pub(crate) loaded: Reach,
    /// Spells in which commits of others may have been missed.
    pub(crate) spells: Spells,
    /// When the commits of others were last seen, in nanoseconds of the monotonic clock.
    pub(crate) looked: AtomicU64,
    /// Own changes whose outcome is unknown, for the next look.
    pub(crate) unknown: Mutex<Vec<Note>>,
    /// This process among the others.
    pub(crate) node: i64,
    /// Where tokens come from.
    pub(crate) chance: Chance,
}

impl Engine {
    /// Connects and reads what is recorded.
    pub(crate) async fn open(
        options: Options,
        clock: Arc<dyn Clock>,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, OpenError> {
        let cluster = Arc::new(Cluster::connect(&options).await?);
        let cached = Arc::<memcached::Counters>::default();
        let chunks: Box<dyn Chunks> = match &options.memcached {
            None => Box::new(Arc::clone(&cluster)),
            Some(options) => {
                Box::new(memcached::Cached::new(Arc::clone(&cluster), options, &clock, Arc::clone(&cached))?)
            }
        };
        let hedges = Arc::clone(&cluster.hedges);
        let parts = Parts { tables: cluster, chunks, chance: Arc::new(version::chance) };
        let engine = Self::over(parts, options, clock, listener).await?;
        Ok(Self { cached, hedges, ..engine })
    }

    /// On what was connected to; reads what is recorded.
    pub(crate) async fn over(
        Parts { tables: cluster, chunks, chance }: Parts,
        options: Options,
        clock: Arc<dyn Clock>,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, OpenError> {
        // What is committed while the records are read is noted from here on.
        let opened = clock.monotonic();
        let watch = Watch::new(options.publish_budget, options.replication.len() > 1, opened, clock.wall());
        let Loaded { index, highest, reach } = load(&*cluster, &options, &*clock).await?;
        let window = Window::new(options.window_bytes);
        let announcer = Announcer::new(Stamps::new(Arc::clone(&clock), highest), index, window, listener);
        Ok(Self {
            chunks,
            cached: Arc::default(),
            hedges: Arc::default(),
            cluster,
            clock,
            announcer: Arc::new(announcer),
            dvr: Dvr::new(options.dvr_bytes),
            stripes: (0..STRIPES).map(|_| tokio::sync::Mutex::default()).collect(),
            recording: Semaphore::new(RECORDS_IN_FLIGHT),
            listed: Mutex::default(),
            watch: tokio::sync::Mutex::new(watch),
            opened,
            loaded: reach,
            spells: Spells::default(),
            looked: AtomicU64::new(opened.as_nanos() as u64),
            unknown: Mutex::default(),
            node: (chance() as u64).cast_signed(),
            chance,
            options,
        })
    }

    /// The turn of whoever commits at `place`.
    pub(crate) fn stripe(&self, place: &Place) -> &tokio::sync::Mutex<()> {
        &self.stripes[place.stripe(STRIPES)]
    }

    /// What `future` comes to within `span`.
    pub(crate) async fn within<T>(&self, span: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = self.clock.sleep(span) => None,
        }
    }

    /// Whether a record is still to be told of.
    pub(crate) fn keeps(&self, row: &Row) -> bool {
        keeps(row, self.options.grace, self.announcer.stamps.now())
    }

    /// How long what is kept so lives in the cluster, in seconds; 0 for ever.
    pub(crate) fn ttl_s(&self, keep: Keep) -> i32 {
        ttl_s(keep, self.options.grace, self.clock.wall())
    }

    /// Makes sure that listings will find what is recorded at `place` and kept for `ttl_s`.
    pub(crate) async fn list(&self, place: &Place, ttl_s: i32) -> Result<(), StoreError> {
        let now = (self.clock.wall().nanos() / 1_000_000_000) as i64;
        let until = if ttl_s == 0 { i64::MAX } else { now + i64::from(ttl_s) };
        let entry = (place.event, place.shelf.clone(), place.block);
        if self.listed.lock().get(&entry).is_some_and(|listed| *listed >= until) {
            return self.cluster.list_row(place, ttl_s).await;
        }
        let listed_s = listed_s(ttl_s);
        tokio::try_join!(
            self.cluster.list_shelf(place),
            self.cluster.list_block(place, listed_s),
            self.cluster.list_row(place, ttl_s),
        )?;
        let mut listed = self.listed.lock();
        if listed.len() >= LISTED_MAX {
            listed.clear();
        }
        listed.insert(entry, if ttl_s == 0 { i64::MAX } else { now + i64::from(listed_s) });
        Ok(())
    }

    /// The bytes of `row` if they are in memory.
    pub(crate) fn hot(&self, row: &Row) -> Option<Body> {
        let window = self.announcer.window.get(slot(row));
        window.or_else(|| self.dvr.get(slot(row)).filter(|_| !self.announcer.index.read().is_superseded(row)))
    }

    /// The bytes of `row`: from the live window, else the DVR cache, else its chunks.
    pub(crate) async fn read(&self, row: &Row) -> Result<(Body, Tier), StoreError> {
        if let Some(body) = self.hot(row) {
            return Ok((body, Tier::Memory));
        }
        if self.announcer.index.read().is_superseded(row) || !self.keeps(row) {
            return Err(StoreError::Gone);
        }
        if row.size == 0 {
            return Ok((Body::default(), Tier::Store));
        }
        // Of many who want it one reads; the next one begins anew where that failed, and nobody waits for all of them.
        let read = self.within(2 * READ_BUDGET, self.dvr.get_or_read(slot(row), || self.fetch(row))).await;
        read.unwrap_or_else(|| Err(StoreError::Unavailable("reading a segment took too long; retry".into())))
    }

    async fn fetch(&self, row: &Row) -> Result<(Body, Tier), StoreError> {
        let started = self.clock.monotonic();
        loop {
            if let Some(found) = chunks::fetch(&*self.chunks, row).await? {
                return Ok(found);
            }
            // A datacentre that died whole has lost what was not on its disks yet, and the other one has it.
            if let Ok(Some(found)) = chunks::fetch_far(&*self.chunks, row).await {
                tracing::debug!(key = ?row.key, "chunks were missing here and came from the other datacentre");
                return Ok(found);
            }
            let stands = self.cluster.row(&Place::of(&row.key)).await?;
            let there = |stands: &Option<Row>| stands.as_ref().is_some_and(|one| one.is_same(row) && !is_removed(one));
            if there(&stands.own) {
                return Err(StoreError::Damaged(format!("{:?}: a chunk is missing", row.key)));
            }
            if !there(&stands.other) {
                return Err(StoreError::Gone);
            }
            // Its record has come here before it.
            if self.clock.monotonic() + ARRIVAL_LOOK >= started + READ_BUDGET {
                let what = format!("{:?}: a chunk has not come from the other datacentre yet", row.key);
                return Err(StoreError::Unavailable(format!("{what}; retry, and if it lasts, repair the nodes here")));
            }
            self.clock.sleep(ARRIVAL_LOOK).await;
        }
    }
}

/// How long what is kept so lives in the cluster from `wall` on, in seconds; 0 for ever.
pub(crate) fn ttl_s(keep: Keep, grace: Millis, wall: Timestamp) -> i32 {
    let Keep::Until(until) = keep else { return 0 };
    let left = until.nanos() - wall.nanos() + i128::from(grace.0) * 1_000_000;
    (left / 1_000_000_000 + 1).clamp(1, i128::from(TTL_MAX_S)) as i32
}

/// How long a block of the listing lives if its first record lives for `ttl_s` seconds; 0 for ever.
pub(crate) fn listed_s(ttl_s: i32) -> i32 {
    if ttl_s == 0 { 0 } else { (i64::from(ttl_s) + LISTED_EXTRA_S).min(TTL_MAX_S) as i32 }
}
