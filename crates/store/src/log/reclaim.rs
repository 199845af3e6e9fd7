//! Space comes back a bucket at a time: once every row of it has expired, or before that where `room` says so, what still
//! stands in it is carried forward, synced in a newer bucket, and the file is unlinked. In small pieces between commits,
//! so that no publish waits long.
//! Must never unlink a bucket that holds the only copy of something that counts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::Timestamp;
use headwater_model::row::Keep;

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
const REST: Duration = Duration::from_secs(1);
/// How long the thread waits for work before it looks for buckets to seal or reclaim.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// Bytes of a removed file that are freed at once: dropping 64 MiB of page cache and extents takes 20 ms, for which
/// every publish would wait.
const FREE_PER_STEP: u64 = 4 << 20;

/// A file without a name whose space comes back in pieces.
pub(super) struct Freeing {
    file: Arc<dyn File>,
    length: u64,
}

/// A bucket on its way out.
pub(super) struct Reclaim {
    bucket: u64,
    /// Whether it goes before its time: its media is dropped though it has not expired.
    early: bool,
    /// Records before this one are dealt with.
    next: usize,
}

impl Committer {
    /// One small piece of housekeeping; whether there may be more to do at once.
    pub fn tend(&mut self) -> bool {
        if self.shared.clock.monotonic() < self.rest_until {
            return false;
        }
        if self.freeing.is_some() && self.may_punch() {
            self.freeing.take().into_iter().for_each(|freeing| self.free(freeing));
            self.punch_from = self.shared.clock.monotonic() + self.shared.options.punch_every;
            return true;
        }
        let now = self.shared.stamps.now();
        self.note_loaded();
        let done = match self.reclaim.take() {
            Some(reclaim) => self.advance(reclaim),
            None if self.shelf.seal_one(now) => Ok(true),
            None => self.load_wanted().and_then(|loaded| if loaded { Ok(true) } else { self.next(now) }),
        };
        self.count();
        if done.as_ref().is_err_and(|error| self.give_up_ballast(error)) {
            return true;
        }
        done.unwrap_or_else(|error| {
            tracing::warn!(%error, "reclaiming a bucket failed; it is tried again");
            self.rest_until = self.shared.clock.monotonic() + REST;
            false
        })
    }

    /// What to do next: whole buckets whose time is over, holes in others, and what has to make room.
    fn next(&mut self, now: Timestamp) -> io::Result<bool> {
        let start = |bucket, early| Reclaim { bucket, early, next: 0 };
        // One file at a time: who lets go of another frees the rest of it at once.
        let may_expire = self.freeing.is_none() && self.shared.clock.monotonic() >= self.expire_from;
        if let Some(bucket) = may_expire.then(|| self.next_due(now)).flatten() {
            self.reclaim = Some(start(bucket, false));
            return Ok(true);
        }
        if self.may_punch() {
            self.punching = self.holes.punch(&*self.shared.disk, &mut self.shelf)?;
            self.punch_from = self.shared.clock.monotonic() + self.shared.options.punch_every;
            if self.punching {
                return Ok(true);
            }
        }
        self.restore_ballast();
        self.reclaim = self.next_early().map(|bucket| start(bucket, true));
        Ok(self.reclaim.is_some())
    }

    /// Space is given back a piece now and then: each takes part in the next sync, which somebody waits for.
    fn may_punch(&self) -> bool {
        self.shared.clock.monotonic() >= self.punch_from || self.is_low()
    }

    /// How long to wait for work before there may be housekeeping again.
    pub(super) fn pause(&self) -> Duration {
        if self.punching || self.freeing.is_some() {
            self.shared.options.punch_every.min(TEND_EVERY)
        } else {
            TEND_EVERY
        }
    }

    fn next_due(&mut self, now: Timestamp) -> Option<u64> {
        let closed = |id: &u64| broken(Fault::UnlinksOpen) || !self.shelf.is_open(*id);
        let ids: Vec<u64> = self.shelf.buckets.keys().copied().filter(closed).collect();
        ids.into_iter().find(|id| self.is_due(*id, now))
    }

    fn is_due(&mut self, id: u64, now: Timestamp) -> bool {
        let expiry = self.expiry();
        let Some(bucket) = self.shelf.buckets.get_mut(&id) else { return false };
        if bucket.records.is_empty() && !bucket.is_deferred {
            return true;
        }
        if bucket.header.class != Class::STANDING && bucket.expires > Timestamp::MIN {
            return expiry.now > bucket.expires;
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
        let Reclaim { bucket: id, early, next } = reclaim;
        if self.shelf.buckets.get(&id).is_some_and(|bucket| bucket.is_deferred) {
            self.load(id)?;
            // What came to light may keep it longer.
            self.reclaim = early.then_some(reclaim);
            return Ok(true);
        }
        let piece = self.shelf.buckets.get(&id).map(|bucket| piece(bucket, next)).unwrap_or_default();
        if piece.is_empty() {
            // The bucket stays in place, and is found again, if one of these fails.
            self.settle_replaced(id)?;
            self.shelf.mark_before_discarding(id, self.shared.stamps.now())?;
            // What has expired was forgotten piece by piece.
            let going = self.shelf.buckets.get(&id).filter(|_| early);
            let records = going.map(|bucket| bucket.records.clone()).unwrap_or_default();
            let file = self.shelf.discard(id)?;
            self.forget(&records);
            self.freeing = file.and_then(|file| Some(Freeing { length: file.length().ok()?, file }));
            let oldest = self.shelf.buckets.keys().next().copied().unwrap_or(u64::MAX);
            self.shared.index.write().forget_ended(oldest);
            return Ok(true);
        }
        let count = piece.len();
        self.carry_or_forget(id, early, &piece)?;
        self.reclaim = Some(Reclaim { bucket: id, early, next: next + count });
        Ok(true)
    }

    /// Sees to it that no row which a record of the bucket replaced is back after a restart, though the bucket goes
    /// before its time or the clock is set back: its object is removed, or what has replaced it since stays as long as
    /// this bucket would have.
    fn settle_replaced(&mut self, id: u64) -> io::Result<()> {
        let Some(bucket) = self.shelf.buckets.get(&id) else { return Ok(()) };
        let expires = bucket.expires;
        let index = self.shared.index.read();
        let (mut removals, mut hidden, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for key in bucket.replaces.iter().filter(|key| !index.is_ended(key.event)) {
            match index.current(key) {
                Some(stored) if stored.bucket != id => later.push((stored.bucket, key.clone())),
                current => {
                    hidden.extend(current.cloned());
                    let record = Record::Removal { key: key.clone(), horizon: self.shelf.horizon() };
                    removals.push(Draft::bare(record, self.shared.stamps.next()));
                }
            }
        }
        drop(index);
        let now = self.shared.stamps.now();
        let done =
            if removals.is_empty() { Ok(()) } else { self.shelf.append(&removals, Origin::Carried, now).map(drop) };
        self.shared.stamps.settle();
        done?;
        self.forget(&hidden);
        later.into_iter().for_each(|(bucket, key)| self.shelf.stands_for(bucket, key, expires));
        Ok(())
    }

    /// Cuts off a piece; when the last handle closes, the system frees the rest.
    fn free(&mut self, freeing: Freeing) {
        let Freeing { file, length } = freeing;
        let left = length.saturating_sub(FREE_PER_STEP);
        if left > 0 && file.truncate(left).is_ok() {
            self.freeing = Some(Freeing { file, length: left });
        }
    }

    fn carry_or_forget(&mut self, id: u64, early: bool, piece: &[Arc<Stored>]) -> io::Result<()> {
        let (needed, rest): (Vec<_>, Vec<_>) = piece.iter().partition(|stored| self.is_needed(id, early, stored));
        let (mut sources, mut drafts, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for stored in needed {
            match self.copy(stored) {
                Ok(draft) => {
                    sources.push(stored);
                    drafts.push(draft);
                }
                Err(error) if read::is_lost(&error) => {
                    tracing::error!(file = super::format::file_name(id), %error, "a record that stands is damaged and goes");
                    lost.push(stored);
                }
                Err(error) => return Err(error),
            }
        }
        let now = self.shared.stamps.now();
        let carried = if drafts.is_empty() { Vec::new() } else { self.shelf.append(&drafts, Origin::Carried, now)? };
        let now = self.expiry().now;
        let mut index = self.shared.index.write();
        sources.iter().zip(&carried).for_each(|(from, to)| index.relocate(from, to, now));
        drop(index);
        // What goes before its time is there until the file is gone: a deletion of it meanwhile is no less of one.
        if !early {
            self.forget(rest.into_iter().chain(lost));
        }
        Ok(())
    }

    fn forget<'a>(&self, records: impl IntoIterator<Item = &'a Arc<Stored>>) {
        let mut index = self.shared.index.write();
        let removed = records.into_iter().filter_map(|stored| index.forget(stored)).map(Notice::Removed);
        let removed: Vec<Notice> = removed.collect();
        drop(index);
        self.announce(&removed);
    }

    /// Whether `stored`, in the bucket `id` that goes, still counts.
    fn is_needed(&self, id: u64, early: bool, stored: &Stored) -> bool {
        let current = self.shared.index.read().is_current(stored) && !broken(Fault::ForgetsStanding);
        match &stored.record {
            Record::Row(row) if early => current && row.keep == Keep::Standing,
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
