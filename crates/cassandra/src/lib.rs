//! The store engine on Apache Cassandra, for more than one process. Records are compared and set by lightweight
//! transactions, media lies in chunks that a record commits, memcached may stand in front of the chunks, and every
//! process hears of the others' commits within a second. Nobody else knows Cassandra or memcached.
//!
//! The way of a publish: `publish` stages through `chunks`, notes what is coming (`changes`), sets the record (`rows`);
//! `announce` tells index, live window and listener. Consistency and deadlines are chosen in `session`; `hedge` says when a
//! second node is asked too, `silence` which one is asked last. `fence` makes choices hold on every node; `copies` says
//! which of two datacentres' records counts. `load` reads all of them at start, `rounds` again when something may have been
//! missed, both by `ring`. `survey` checks and repairs what lies in the cluster; `tables` is all that the engine asks of it.

mod announce;
mod changes;
mod chunks;
mod copies;
mod engine;
mod entries;
mod error;
mod events;
mod fence;
mod hedge;
mod index;
mod load;
pub mod memcached;
mod migrate;
mod options;
mod place;
mod publish;
mod ring;
mod rounds;
mod rows;
mod schema;
mod session;
mod silence;
mod statements;
pub mod survey;
pub mod tables;
mod tend;
mod version;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use headwater_model::event::Entry;
use headwater_model::row::{Claim, EventId, Keep, Key, Row};
use headwater_model::{Pipeline, Region, Rendition, Timestamp};
use headwater_store::stamp::Clock;
use headwater_store::{Body, Caches, Listener, Notice, Published, Shared, Store, StoreError, Tier, Usage};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

pub use engine::Parts;
pub use error::OpenError;
pub use options::{ChunkSize, Login, Options, PUBLISH_BUDGET};
pub use schema::{Schema, Unlike, init};

use changes::Note;
use engine::Engine;
use fence::Hold;

/// The engine on Cassandra. Any number of processes may open the same keyspaces.
///
/// Beyond the guarantees of [`Store`]: what one process was told is durable, every process of the datacentre can list
/// and read at once, and its listener hears of it within a second; only what stands at a start is what this process knows.
/// The watermark is that of this process: what another one commits is told when it is seen, with its own stamp.
pub struct Cassandra {
    engine: Arc<Engine>,
    /// They end with it.
    _tasks: JoinSet<()>,
}

impl Cassandra {
    /// Connects to the cluster, makes the schema if there is none, reads what is recorded, and begins to look for what
    /// other processes record. Needs a tokio runtime, which has to outlive it.
    ///
    /// # Errors
    /// [`OpenError`], with what to do.
    pub async fn open(
        options: Options,
        clock: Arc<dyn Clock>,
        listener: Arc<dyn Listener>,
    ) -> Result<Arc<Self>, OpenError> {
        Self::tend(Engine::open(options, clock, listener).await?).await
    }

    /// As [`Cassandra::open`], on a cluster that is none of Cassandra's: a simulated one.
    ///
    /// # Errors
    /// [`OpenError`] if what is recorded cannot be read.
    pub async fn over(
        parts: Parts,
        options: Options,
        clock: Arc<dyn Clock>,
        listener: Arc<dyn Listener>,
    ) -> Result<Arc<Self>, OpenError> {
        Self::tend(Engine::over(parts, options, clock, listener).await?).await
    }

    async fn tend(engine: Engine) -> Result<Arc<Self>, OpenError> {
        let engine = Arc::new(engine);
        for of in load::entries(&*engine.cluster).await? {
            of.ended.iter().for_each(|id| engine.free_later(of.clone(), *id));
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(tend::run(Arc::downgrade(&engine)));
        tasks.spawn(rounds::run(Arc::downgrade(&engine)));
        Ok(Arc::new(Self { engine, _tasks: tasks }))
    }

    /// How often memcached was asked since the start; nothing without one.
    #[must_use]
    pub fn memcached(&self) -> memcached::Stats {
        self.engine.cached.read()
    }

    /// Does `work` on a task of its own, which ends although its caller goes away.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopped = |_| Err(StoreError::Unavailable("the engine has stopped".into()));
        tokio::spawn(work).await.unwrap_or_else(stopped)
    }
}

#[async_trait]
impl Store for Cassandra {
    async fn publish(&self, claim: Claim, body: Body) -> Result<Published, StoreError> {
        self.apart(Arc::clone(&self.engine).publish(claim, body)).await
    }

    async fn remove(&self, key: Key) -> Result<(), StoreError> {
        self.apart(Arc::clone(&self.engine).remove(key)).await
    }

    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        if self.engine.announcer.is_ended(event) {
            return Ok(Vec::new());
        }
        self.engine.cluster.rows(event, rendition, numbers, limit, &|row| self.engine.keeps(row)).await
    }

    async fn standing(&self, event: EventId, recent: usize) -> Result<Vec<Row>, StoreError> {
        if self.engine.announcer.is_ended(event) {
            return Ok(Vec::new());
        }
        let announcer = &self.engine.announcer;
        Ok(announcer.index.read().standing(event, recent, announcer.stamps.now()))
    }

    async fn read(&self, row: &Row, range: Range<u64>) -> Result<(Body, Tier), StoreError> {
        let (body, tier) = self.engine.read(row).await?;
        Ok((body.slice(range), tier))
    }

    fn hot(&self, row: &Row) -> Option<Body> {
        self.engine.hot(row)
    }

    fn caches(&self) -> Caches {
        let (window, dvr) = (&self.engine.announcer.window, &self.engine.dvr);
        let (bytes, memcached) = (window.bytes() as u64 + dvr.bytes(), self.memcached());
        let (window, dvr) = (window.lookups(), dvr.lookups());
        Caches {
            bytes,
            window_hits: window.0,
            window_misses: window.1,
            dvr_hits: dvr.0,
            dvr_misses: dvr.1,
            memcached_hits: memcached.own_hits + memcached.other_hits,
            memcached_misses: memcached.misses,
            memcached_failures: memcached.failures,
        }
    }

    fn usage(&self, events: &[EventId]) -> Usage {
        let announcer = &self.engine.announcer;
        announcer.index.read().usage(events, announcer.stamps.now())
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        Ok(load::entries(&*self.engine.cluster).await?.into_iter().map(|standing| standing.entry).collect())
    }

    async fn write_entry(&self, entry: Entry, expected: u64) -> Result<(), StoreError> {
        self.apart(Arc::clone(&self.engine).write_entry(entry, expected)).await
    }

    fn settled(&self) -> Timestamp {
        self.engine.announcer.stamps.settled()
    }

    fn arrive(&self, tell: &mut dyn FnMut(Timestamp)) {
        self.engine.announcer.stamps.arrive(tell);
    }

    fn shared(&self) -> Option<&dyn Shared> {
        Some(self)
    }

    fn stamp(&self) -> Timestamp {
        self.engine.announcer.stamps.now()
    }
}

#[async_trait]
impl Shared for Cassandra {
    async fn pass_over(&self, key: Key, by: &Pipeline, keep: Keep, region: Region) -> Result<bool, StoreError> {
        let (engine, by) = (Arc::clone(&self.engine), by.clone());
        self.apart(async move { engine.pass_over(&key, &by, keep, &region).await }).await
    }

    async fn hold_to(&self, row: &Row) -> Result<bool, StoreError> {
        // Nothing is to be done for what was recorded here, which is most.
        if self.engine.hold(row) == Hold::Firm {
            return Ok(true);
        }
        let (engine, row) = (Arc::clone(&self.engine), row.clone());
        self.apart(async move { engine.hold_to(&row).await }).await
    }

    fn is_current(&self) -> bool {
        let looked = Duration::from_nanos(self.engine.looked.load(Ordering::Acquire));
        self.engine.clock.monotonic() <= looked + options::CURRENT_FOR
    }

    fn commits(&self) -> broadcast::Receiver<Notice> {
        self.engine.announcer.fresh.subscribe()
    }

    fn hedges(&self) -> u64 {
        self.engine.hedges.load(Ordering::Relaxed)
    }

    async fn hear(&self, notice: Notice) {
        let note = match notice {
            Notice::Published(row) => Note::Published(row.key, row.version),
            Notice::Removed(key) => Note::Removed(key),
            Notice::Entry(entry) => {
                let (tenant, name) = entry.names();
                Note::Entry(tenant.clone(), name.clone(), entry.counters().rev)
            }
        };
        // If it is not there yet, or the cluster does not answer, the next look at the notes will find it.
        changes::look_at(&*self.engine.cluster, &self.engine.announcer, &note).await;
    }
}
