//! The one writer of a log. A step takes a batch, makes it durable, tells the index, the live window and the listener,
//! moves the watermark, and only then answers. Synchronous and without a clock of its own, so that a thread can drive
//! it in production and a test by hand. Must never hold a lock during I/O, and never answer before the sync.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use super::holes::Holes;
use super::index::Expiry;
use super::plan::{Plan, View, Work};
use super::queue::Gathered;
use super::reclaim::{Freeing, Reclaim};
use super::recover::Recovered;
use super::room::Ballast;
use super::shelf::{Origin, Shelf};
use super::stats::Commit;
use crate::{Listener, Notice, StoreError};

/// Drives a log: in a thread of its own, or by hand where a test wants every step.
pub struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) shelf: Shelf,
    pub(super) reclaim: Option<Reclaim>,
    pub(super) freeing: Option<Freeing>,
    pub(super) holes: Holes,
    pub(super) ballast: Ballast,
    /// No tending before this moment of the monotonic clock: the last attempt failed.
    pub(super) rest_until: Duration,
    /// Nothing expires before this moment of the monotonic clock, so that a wall clock that is wrong can be set right.
    pub(super) expire_from: Duration,
    /// Whether there were holes to make when it was last looked.
    pub(super) punching: bool,
    /// No hole is made before this moment of the monotonic clock.
    pub(super) punch_from: Duration,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, listener: Arc<dyn Listener>, recovered: Recovered) -> Self {
        let Recovered { shelf, holes, .. } = recovered;
        let (reclaim, freeing, rest_until, punch_from) = (None, None, Duration::ZERO, Duration::ZERO);
        let expire_from = shared.clock.monotonic() + shared.options.expire_after;
        let ballast = Ballast::find(&*shared.disk);
        let committer = Self {
            shared,
            listener,
            shelf,
            reclaim,
            freeing,
            holes,
            ballast,
            rest_until,
            expire_from,
            punch_from,
            punching: false,
        };
        committer.count();
        committer
    }

    /// Commits what waits until the log is closed and nothing is left.
    pub(super) fn run(mut self) {
        let mut wait = self.pause();
        while let Gathered::Batch(batch) = self.shared.queue.gather(wait) {
            if !batch.is_empty() {
                self.step(batch);
            }
            wait = if self.tend() { Duration::ZERO } else { self.pause() };
        }
        self.finish();
    }

    /// Commits one batch of what waits, for who drives by hand; how many pieces it had.
    pub fn step_once(&mut self) -> usize {
        match self.shared.queue.gather(Duration::ZERO) {
            Gathered::Batch(batch) if !batch.is_empty() => {
                let pieces = batch.len();
                self.step(batch);
                pieces
            }
            _ => 0,
        }
    }

    /// Seals what is open, so that the next start reads footers.
    pub fn finish(&mut self) {
        let now = self.shared.stamps.now();
        self.shelf.seal_all(now);
    }

    fn step(&mut self, batch: Vec<Work>) {
        let pieces = batch.len();
        let started = self.shared.clock.monotonic();
        let plan = self.draw(batch);
        let bytes: u64 = plan.drafts.iter().map(|draft| draft.payload.len()).sum();
        let failure = if plan.drafts.is_empty() { None } else { self.commit(&plan) };
        self.shared.stamps.settle();
        // Who found the watermark held down by this batch, whatever became of it, is told to look again.
        self.listener.settled();
        let failed = failure.is_some();
        plan.replies.into_iter().for_each(|reply| reply.send(failure.as_ref()));
        let took = self.shared.clock.monotonic().saturating_sub(started);
        self.count();
        self.shared.observe(&Commit { pieces, bytes, took, failed });
    }

    fn draw(&self, batch: Vec<Work>) -> Plan {
        let free = self.shared.disk.free_bytes().unwrap_or(u64::MAX);
        let index = self.shared.index.read();
        let view = View {
            index: &index,
            stamps: &self.shared.stamps,
            expiry: self.expiry(),
            horizon: self.shelf.horizon(),
            room: free.saturating_sub(self.shared.options.reserve_bytes),
        };
        Plan::draw(batch, &view)
    }

    /// Makes the drafts durable and tells everyone but those who wait.
    fn commit(&mut self, plan: &Plan) -> Option<StoreError> {
        let now = self.shared.stamps.now();
        let stored = match self.shelf.append(&plan.drafts, Origin::Waiting, now) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, records = plan.drafts.len(), "a commit failed and was taken back");
                return Some(store_error(&error));
            }
        };
        let mut pushed_out = Vec::with_capacity(stored.len());
        let now = self.expiry().now;
        let mut index = self.shared.index.write();
        stored.iter().for_each(|stored| pushed_out.push(index.apply(stored, now)));
        drop(index);
        for (stored, pushed_out) in stored.iter().zip(pushed_out) {
            pushed_out.records().for_each(|gone| self.holes.add(gone));
            if let Some(before) = &pushed_out.row {
                self.shelf.outlive(stored, before);
                self.shared.window.remove(before.stamp);
            }
        }
        for (stored, draft) in stored.iter().zip(&plan.drafts) {
            if super::index::row(stored).is_some() {
                self.shared.window.insert(stored.stamp, draft.payload.clone());
            }
        }
        self.announce(&plan.notices());
        None
    }

    pub(super) fn announce(&self, notices: &[Notice]) {
        if !notices.is_empty() {
            self.listener.announce(notices);
        }
    }

    pub(super) fn expiry(&self) -> Expiry {
        self.shared.expiry()
    }

    /// Publishes the numbers that only the committer knows.
    pub(super) fn count(&self) {
        let counters = &self.shared.counters;
        counters.disk_bytes.store(self.shelf.bytes(), Ordering::Relaxed);
        counters.buckets.store(self.shelf.buckets.len() as u64, Ordering::Relaxed);
    }
}

impl Drop for Committer {
    /// A committer that ends, by a panic of its listener too, leaves nobody waiting.
    fn drop(&mut self) {
        self.shared.queue.abandon();
    }
}

/// What a failed write means to who asked for it.
pub(super) fn store_error(error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full(error.to_string()),
        std::io::ErrorKind::ReadOnlyFilesystem => StoreError::Unavailable(format!(
            "the data volume is read-only ({error}); look for disk errors in the kernel's log and remount it read-write"
        )),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
