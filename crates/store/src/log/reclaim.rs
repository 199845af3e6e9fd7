//! Space comes back a bucket at a time: once every row of it has expired, what still stands in it is carried forward,
//! synced in a newer bucket, and the file is unlinked. In small pieces between commits, so that no publish waits long.
//! Must never unlink a bucket that holds the only copy of something that counts.

use std::io;
use std::sync::Arc;

use headwater_model::Timestamp;

use super::broken::{Fault, broken};
use super::bucket::{Bucket, Draft, Stored};
use super::committer::Committer;
use super::format::{Class, Record};
use super::read;
use super::shelf::Origin;
use crate::Notice;
use crate::disk::File;
use crate::slab::Body;

/// Records looked at in one piece of work.
const RECORDS_PER_STEP: usize = 256;
/// Bytes carried forward in one piece of work, beyond its first record.
const BYTES_PER_STEP: u64 = 4 << 20;
/// How long a sealed bucket of standing records is left alone before it is looked at again.
const LOOK_EVERY: i128 = 60 * 1_000_000_000;
/// Standing records move on after this long, so that removals, which are kept while an older bucket is there, go too.
const STANDING_AGE_MAX: i128 = 24 * 3600 * 1_000_000_000;
/// Wait after a failure: a full disk stays full for a while.
const REST: std::time::Duration = std::time::Duration::from_secs(1);

/// Bytes of a removed file that are freed at once: dropping a GiB of page cache takes tens of milliseconds.
const FREE_PER_STEP: u64 = 64 << 20;

/// A file without a name whose space comes back in pieces.
pub(super) struct Freeing {
    file: Arc<dyn File>,
    length: u64,
}

/// A bucket on its way out.
pub(super) struct Reclaim {
    bucket: u64,
    /// Records before this one are dealt with.
    next: usize,
}

impl Committer {
    /// One small piece of housekeeping; whether there may be more to do at once.
    pub fn tend(&mut self) -> bool {
        if self.shared.clock.monotonic() < self.rest_until {
            return false;
        }
        if let Some(freeing) = self.freeing.take() {
            self.free(freeing);
            return true;
        }
        let now = self.shared.stamps.now();
        let done = match self.reclaim.take() {
            Some(reclaim) => self.advance(reclaim),
            None if self.shelf.seal_one(now) => Ok(true),
            None => {
                self.reclaim = self.next_due(now).map(|bucket| Reclaim { bucket, next: 0 });
                Ok(self.reclaim.is_some())
            }
        };
        self.count();
        done.unwrap_or_else(|error| {
            tracing::warn!(%error, "reclaiming a bucket failed; it is tried again");
            self.rest_until = self.shared.clock.monotonic() + REST;
            false
        })
    }

    fn next_due(&mut self, now: Timestamp) -> Option<u64> {
        let closed = |id: &u64| broken(Fault::UnlinksOpen) || !self.shelf.is_open(*id);
        let ids: Vec<u64> = self.shelf.buckets.keys().copied().filter(closed).collect();
        ids.into_iter().find(|id| self.is_due(*id, now))
    }

    fn is_due(&mut self, id: u64, now: Timestamp) -> bool {
        let Some(bucket) = self.shelf.buckets.get_mut(&id) else { return false };
        if bucket.records.is_empty() {
            return true;
        }
        if bucket.header.class != Class::STANDING && bucket.expires > Timestamp::MIN {
            return now > bucket.expires;
        }
        if now.nanos_since(bucket.looked) < LOOK_EVERY {
            return false;
        }
        bucket.looked = now;
        let old = now.nanos_since(bucket.header.created) > STANDING_AGE_MAX;
        old || {
            let index = self.shared.index.read();
            let counts = |stored: &&Arc<Stored>| index.is_current(stored) || stored.record == Record::Mark;
            let live = bucket.records.iter().filter(counts).map(|stored| size(stored));
            live.sum::<u64>() * 2 < bucket.length
        }
    }

    /// Deals with the next records of a bucket, or removes it when all are dealt with.
    fn advance(&mut self, reclaim: Reclaim) -> io::Result<bool> {
        let Reclaim { bucket: id, next } = reclaim;
        let piece = self.shelf.buckets.get(&id).map(|bucket| piece(bucket, next)).unwrap_or_default();
        if piece.is_empty() {
            // The bucket stays in place, and is found again, if one of these fails.
            self.shelf.mark_before_discarding(id, self.shared.stamps.now())?;
            let file = self.shelf.discard(id)?;
            self.freeing = file.and_then(|file| Some(Freeing { length: file.length().ok()?, file }));
            let oldest = self.shelf.buckets.keys().next().copied().unwrap_or(u64::MAX);
            self.shared.index.write().forget_ended(oldest);
            return Ok(true);
        }
        let count = piece.len();
        self.carry_or_forget(id, &piece)?;
        self.reclaim = Some(Reclaim { bucket: id, next: next + count });
        Ok(true)
    }

    /// Cuts off a piece; when the last handle closes, the system frees the rest.
    fn free(&mut self, freeing: Freeing) {
        let Freeing { file, length } = freeing;
        let left = length.saturating_sub(FREE_PER_STEP);
        if left > 0 && file.truncate(left).is_ok() {
            self.freeing = Some(Freeing { file, length: left });
        }
    }

    fn carry_or_forget(&mut self, id: u64, piece: &[Arc<Stored>]) -> io::Result<()> {
        let (needed, rest): (Vec<_>, Vec<_>) = piece.iter().partition(|stored| self.is_needed(id, stored));
        let (mut sources, mut drafts, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for stored in needed {
            match self.copy(stored) {
                Ok(draft) => {
                    sources.push(stored);
                    drafts.push(draft);
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => lost.push(stored),
                Err(error) => return Err(error),
            }
        }
        let now = self.shared.stamps.now();
        let carried = if drafts.is_empty() { Vec::new() } else { self.shelf.append(&drafts, Origin::Carried, now)? };
        let mut index = self.shared.index.write();
        sources.iter().zip(&carried).for_each(|(from, to)| index.relocate(from, to));
        let removed: Vec<Notice> =
            rest.into_iter().chain(lost).filter_map(|stored| index.forget(stored)).map(Notice::Removed).collect();
        drop(index);
        self.announce(&removed);
        Ok(())
    }

    /// Whether `stored`, in the bucket `id` that goes, still counts.
    fn is_needed(&self, id: u64, stored: &Stored) -> bool {
        let current = self.shared.index.read().is_current(stored) && !broken(Fault::ForgetsStanding);
        match &stored.record {
            Record::Row(row) => current && self.expiry().keeps(row),
            Record::Removal { horizon, .. } | Record::Void { horizon, .. } => self.shelf.reaches(*horizon, id),
            Record::Mark => false,
            Record::Entry { ended, horizon, .. } => current || (ended.is_some() && self.shelf.reaches(*horizon, id)),
        }
    }

    fn copy(&self, stored: &Stored) -> io::Result<Draft> {
        let payload = match &stored.record {
            Record::Row(_) => read::payload(&*self.shared.disk, stored)?,
            _ => Body::default(),
        };
        Ok(Draft { record: stored.record.clone(), stamp: stored.stamp, digest: stored.digest, payload })
    }
}

fn piece(bucket: &Bucket, next: usize) -> Vec<Arc<Stored>> {
    let mut bytes = 0;
    let within = |stored: &&Arc<Stored>| {
        let first = bytes == 0;
        bytes += size(stored);
        first || bytes <= BYTES_PER_STEP
    };
    // Rows that expired cost no reading, but to count them too keeps this simple and the pieces small.
    bucket.records.iter().skip(next).take(RECORDS_PER_STEP).take_while(within).cloned().collect()
}

fn size(stored: &Stored) -> u64 {
    stored.extent.end - stored.extent.offset
}
