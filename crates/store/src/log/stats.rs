//! Numbers of a log, for the status page and the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a log holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of records on the disk.
    pub disk_bytes: u64,
    /// Bytes that can still be written to the disk.
    pub free_bytes: u64,
    /// Bytes of memory of the live window.
    pub window_bytes: u64,
    /// Bytes of memory of the DVR cache.
    pub dvr_bytes: u64,
    /// Bucket files.
    pub buckets: u64,
    /// Buckets that went before their time since the start, because the volume was nearly full.
    pub early_buckets: u64,
    /// Bytes of them.
    pub early_bytes: u64,
    /// Bucket files that were missed at the last start or since: somebody took them away.
    pub missing_buckets: u64,
    /// Bucket files that were found damaged at the last start or since.
    pub damaged_buckets: u64,
    /// Current rows.
    pub rows: u64,
    /// Those of them that are in memory: of the others a start has read only which numbers there are.
    pub rows_in_memory: u64,
    /// Writes that wait for the committer.
    pub waiting: u64,
}

/// One commit, as told to an [`Observer`].
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Pieces of work answered: publishes, removals and entries.
    pub pieces: usize,
    /// Bytes of media written.
    pub bytes: u64,
    /// From taking up the batch to its answers: nearly all of it is the write and the sync.
    pub took: Duration,
    /// Whether it failed.
    pub failed: bool,
}

/// Hears of every commit, on the committer's thread, after the answers. Must return quickly.
pub trait Observer: Send + Sync {
    /// A commit is over.
    fn committed(&self, commit: &Commit);
}

/// What only the committer can count.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) disk_bytes: AtomicU64,
    pub(super) buckets: AtomicU64,
    /// Bucket files that were found to be missing, and damaged, since the start.
    pub(super) missing: AtomicU64,
    pub(super) damaged: AtomicU64,
    early_buckets: AtomicU64,
    early_bytes: AtomicU64,
}

impl Counters {
    /// A bucket of `bytes` goes before its time.
    pub(super) fn expired_early(&self, bytes: u64) {
        self.early_buckets.fetch_add(1, Ordering::Relaxed);
        self.early_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Buckets and bytes that went before their time.
    pub(super) fn early(&self) -> (u64, u64) {
        (self.early_buckets.load(Ordering::Relaxed), self.early_bytes.load(Ordering::Relaxed))
    }
}
