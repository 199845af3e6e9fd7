//! The embedded engine: everything in one log of bucket files. What is written once and expires by time is a log, so
//! there is no compactor, and no second database beside it.
//!
//! The way of a publish: [`Log`] puts it on the queue; the [`Committer`] stamps and judges it with all that wait
//! (`plan`), writes and syncs it (`shelf`, `bucket`), tells `index`, live window and listener, and answers. Reads go to
//! the window, the DVR cache, or the disk (`read`). Space comes back by bucket (`reclaim`), by piece (`holes`), and early
//! on a full disk (`room`). `recover` finds everything again at start and misses what `inventory` lists and is not there;
//! of sealed buckets it reads a `summary`, and leaves the rest on the disk (`deferred`) until somebody asks (`load`).
//! [`survey`] shows it all without a start. The bytes are described in `format`.

mod broken;
mod bucket;
mod committer;
mod deferred;
mod format;
mod header;
mod holes;
mod index;
mod inventory;
mod load;
mod look;
mod plan;
mod queue;
mod read;
mod reclaim;
mod recover;
mod room;
mod scan;
mod shelf;
mod stats;
mod summary;
pub mod survey;
#[cfg(test)]
mod tests;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use headwater_model::event::Entry;
use headwater_model::row::{Claim, EventId, Key, Row};
use headwater_model::{Millis, Rendition, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

pub use committer::Committer;
pub use stats::{Commit, Observer, Stats};

use crate::disk::Disk;
use crate::dvr::Dvr;
use crate::slab::Body;
use crate::stamp::{Clock, Stamps};
use crate::window::Window;
use crate::{Caches, Listener, Published, Store, StoreError, Tier, Usage, Volume};
use index::{Expiry, Index};
use plan::Work;
use queue::Queue;
use recover::Troubles;
use stats::Counters;

/// What can be chosen about a log.
#[derive(Clone)]
pub struct Options {
    /// Memory of the live window, in bytes: the bodies published last.
    pub window_bytes: usize,
    /// Memory of the DVR cache, in bytes: what was read back from the disk.
    pub dvr_bytes: u64,
    /// Bytes of the disk that publishes leave free, so that deletions and what has to be carried forward still fit.
    pub reserve_bytes: u64,
    /// Bytes of a file that gives way when the volume is full to the last byte, so that expiry can go on.
    pub ballast_bytes: u64,
    /// A bucket file takes no more records past this many bytes, or a sixteenth of the volume.
    pub bucket_bytes: u64,
    /// For this long after a start nothing is taken from the disk for its age.
    pub expire_after: Duration,
    /// Between two pieces of the space that deleted events and expired buckets give back.
    pub punch_every: Duration,
    /// How long records and media outlive their retention: two segments, whose selection looks at them.
    pub grace: Millis,
    /// Hears of every commit.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_bytes: 512 << 20,
            dvr_bytes: 256 << 20,
            reserve_bytes: 64 << 20,
            // What is carried forward in one piece.
            ballast_bytes: 4 << 20,
            // A thousand files to the TiB, and at most this much to scan for each class after a crash.
            bucket_bytes: 1 << 30,
            // Long enough to see that a clock is wrong, short beside any retention.
            expire_after: Duration::from_secs(15 * 60),
            // A few MiB each time, so that a GiB takes ten seconds or so and no publish waits for more than one of them.
            punch_every: Duration::from_millis(25),
            // Two of the longest segments (contract §3).
            grace: Millis::from_seconds(120),
            observer: None,
        }
    }
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("{place} is in use by another process; stop it or choose another data directory")]
    Locked {
        /// The directory.
        place: String,
    },
    /// A later build wrote a file.
    #[error(
        "{file} has format version {version}, this build reads up to {}; run the newer build, or move the data directory away",
        format::FORMAT_VERSION
    )]
    Later {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
    },
    /// The directory or a file cannot be read.
    #[error("{place} cannot be used: {error}; check that the directory exists and belongs to this user")]
    Unreadable {
        /// What.
        place: String,
        /// Why.
        error: std::io::Error,
    },
    /// The volume takes no writes.
    #[error("{place} is on a read-only volume; look for disk errors in the kernel's log and remount it read-write")]
    ReadOnly {
        /// The directory or file.
        place: String,
    },
    /// The volume is full.
    #[error("{place} is on a volume without any space left; free some, a few MiB will do, and start again")]
    Full {
        /// The directory or file.
        place: String,
    },
}

impl OpenError {
    /// What `error` at `place` means to who starts a store.
    #[must_use]
    pub fn failed(place: String, error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::WouldBlock => Self::Locked { place },
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { place },
            std::io::ErrorKind::StorageFull => Self::Full { place },
            _ => Self::Unreadable { place, error },
        }
    }
}

/// What the log, its committer and its readers share.
struct Shared {
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    stamps: Stamps,
    index: RwLock<Index>,
    window: Window,
    dvr: Dvr,
    /// Held by who loads a deferred bucket.
    loading: Mutex<()>,
    queue: Queue,
    counters: Counters,
    troubles: Troubles,
    /// Held until the last user of the directory is gone.
    _lock: Box<dyn Send + Sync>,
}

impl Shared {
    fn observe(&self, commit: &Commit) {
        if let Some(observer) = &self.options.observer {
            observer.committed(commit);
        }
    }

    /// Retention goes by the wall clock, and by no more of it than has passed since the start: a clock that was set
    /// back brings back what is still there, one that was set forward takes nothing.
    fn expiry(&self) -> Expiry {
        Expiry { now: self.stamps.now().min(self.clock.wall()), grace: self.options.grace }
    }
}

/// The embedded engine. Dropping it finishes what waits and stops the committer.
pub struct Log {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Opens the log on `disk` and starts its committer.
    ///
    /// # Errors
    /// [`OpenError`], with what to do.
    pub fn open(
        options: Options,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        listener: Arc<dyn Listener>,
    ) -> Result<Arc<Self>, OpenError> {
        let place = disk.place();
        let (log, committer) = Self::open_by_hand(options, clock, disk, listener)?;
        let thread = std::thread::Builder::new().name("log-committer".into()).spawn(move || committer.run());
        *log.thread.lock() = Some(thread.map_err(|error| OpenError::failed(place, error))?);
        Ok(log)
    }

    /// Opens the log without a thread: whoever holds the [`Committer`] drives it. For tests and simulations.
    ///
    /// # Errors
    /// [`OpenError`], with what to do.
    pub fn open_by_hand(
        options: Options,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        listener: Arc<dyn Listener>,
    ) -> Result<(Arc<Self>, Committer), OpenError> {
        let place = disk.place();
        let lock = disk.lock().map_err(|error| OpenError::failed(place, error))?;
        let mut recovered = recover::recover(&disk, &options)?;
        let shared = Arc::new(Shared {
            stamps: Stamps::new(Arc::clone(&clock), recovered.shelf.highest()),
            index: RwLock::new(std::mem::take(&mut recovered.index)),
            window: Window::new(options.window_bytes),
            dvr: Dvr::new(options.dvr_bytes),
            loading: Mutex::default(),
            queue: Queue::default(),
            counters: Counters::default(),
            troubles: recovered.troubles,
            options,
            disk,
            clock,
            _lock: lock,
        });
        let committer = Committer::new(Arc::clone(&shared), listener, recovered);
        Ok((Arc::new(Self { shared, thread: Mutex::default() }), committer))
    }

    /// Finishes what waits, seals the buckets and stops the committer. Reads go on; writes are refused from here on.
    /// Blocks until it is done.
    pub fn close(&self) {
        self.shared.queue.close();
        if let Some(thread) = self.thread.lock().take() {
            // A committer that panicked has nothing left to finish.
            let _ = thread.join();
        }
    }

    /// What the log holds now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let (early_buckets, early_bytes) = shared.counters.early();
        let index = shared.index.read();
        let (rows_in_memory, deferred) = (index.row_count() as u64, index.deferred_row_count());
        drop(index);
        Stats {
            missing_buckets: shared.troubles.missing + shared.counters.missing.load(Ordering::Relaxed),
            damaged_buckets: shared.troubles.damaged + shared.counters.damaged.load(Ordering::Relaxed),
            early_buckets,
            early_bytes,
            disk_bytes: shared.counters.disk_bytes.load(Ordering::Relaxed),
            free_bytes: shared.disk.free_bytes().unwrap_or(0),
            window_bytes: shared.window.bytes() as u64,
            dvr_bytes: shared.dvr.bytes(),
            buckets: shared.counters.buckets.load(Ordering::Relaxed),
            rows: rows_in_memory + deferred,
            rows_in_memory,
            waiting: shared.queue.len() as u64,
        }
    }

    /// Has the record of `key` in memory, if there is one, for the committer to judge by.
    async fn have(&self, key: &Key) -> Result<(), StoreError> {
        self.shared.have(key).await.map_err(|error| match error {
            StoreError::Damaged(what) => {
                StoreError::Unavailable(format!("{what}; what is stored there cannot be told"))
            }
            other => other,
        })
    }

    async fn ask<T>(&self, work: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Work) -> Result<T, StoreError> {
        let (answer, reply) = oneshot::channel();
        self.shared.queue.push(work(answer))?;
        reply.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the log has stopped".into())))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Store for Log {
    async fn publish(&self, claim: Claim, body: Body) -> Result<Published, StoreError> {
        self.have(&claim.key).await?;
        self.ask(|answer| Work::Publish { claim, body, answer }).await
    }

    async fn remove(&self, key: Key) -> Result<(), StoreError> {
        self.have(&key).await?;
        self.ask(|answer| Work::Remove { key, answer }).await
    }

    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let expiry = self.shared.expiry();
        let ask = |index: &Index| match index.deferred.with_numbers(event, rendition, &numbers) {
            Some(bucket) => Err(bucket),
            None => Ok(index.rows(event, rendition, numbers.clone(), limit, |row| expiry.keeps(row))),
        };
        self.shared.when_loaded(ask).await
    }

    async fn standing(&self, event: EventId, recent: usize) -> Result<Vec<Row>, StoreError> {
        // Also what has expired and is still there: a clock that is wrong at a start must not make a node forget it.
        let ask = |index: &Index| match index.lacks_newest(event, recent) {
            Some(bucket) => Err(bucket),
            None => Ok(index.standing(event, recent)),
        };
        self.shared.when_loaded(ask).await
    }

    async fn read(&self, row: &Row, range: Range<u64>) -> Result<(Body, Tier), StoreError> {
        self.shared.read(row, range).await
    }

    fn hot(&self, row: &Row) -> Option<Body> {
        self.shared.hot(row)
    }

    fn caches(&self) -> Caches {
        let (window, dvr) = (&self.shared.window, &self.shared.dvr);
        let ((window_hits, window_misses), (dvr_hits, dvr_misses)) = (window.lookups(), dvr.lookups());
        let bytes = window.bytes() as u64 + dvr.bytes();
        Caches { bytes, window_hits, window_misses, dvr_hits, dvr_misses, ..Caches::default() }
    }

    fn volume(&self) -> Option<Volume> {
        let stats = self.stats();
        Some(Volume {
            used_bytes: stats.disk_bytes,
            free_bytes: stats.free_bytes,
            early_bytes: stats.early_bytes,
            missing_files: stats.missing_buckets,
            damaged_files: stats.damaged_buckets,
        })
    }

    fn usage(&self, events: &[EventId]) -> Usage {
        self.shared.index.read().usage(events, self.shared.expiry().now)
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        Ok(self.shared.index.read().entries())
    }

    async fn write_entry(&self, entry: Entry, expected: u64) -> Result<(), StoreError> {
        self.ask(|answer| Work::Entry { entry, expected, answer }).await
    }

    fn settled(&self) -> Timestamp {
        self.shared.stamps.settled()
    }

    fn arrive(&self, tell: &mut dyn FnMut(Timestamp)) {
        self.shared.stamps.arrive(tell);
    }

    fn stamp(&self) -> Timestamp {
        self.shared.stamps.now()
    }
}
