//! All buckets of a log, and the only way to write to them: a set of drafts becomes durable as a whole or is taken
//! back as a whole. Owned by the committer; nobody else writes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use headwater_model::row::Key;
use headwater_model::{Millis, Timestamp};

use super::bucket::{Bucket, Draft, Stored, is_full};
use super::format::{Class, FileHeader, Record};
use super::inventory::Inventory;
use super::summary;
use crate::disk::{Disk, File};

/// Where drafts come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Somebody waits for them: after a failure they must never count.
    Waiting,
    /// They are durable elsewhere: after a failure a second copy is as good as none.
    Carried,
}

/// The buckets on the disk.
pub(crate) struct Shelf {
    disk: Arc<dyn Disk>,
    pub(crate) buckets: BTreeMap<u64, Bucket>,
    /// The bucket of each class that takes records.
    open: BTreeMap<Class, u64>,
    next_id: u64,
    grace: Millis,
    bytes_max: u64,
    /// Stamps of failed commits that could not be cut off, still to be declared void.
    voids: Vec<(Timestamp, Timestamp, u64)>,
    pub(crate) inventory: Inventory,
}

impl Shelf {
    pub(crate) fn new(disk: Arc<dyn Disk>, grace: Millis, bytes_max: u64, first_id: u64) -> Self {
        let (buckets, open, voids, inventory) = Default::default();
        Self { disk, buckets, open, next_id: first_id, grace, bytes_max, voids, inventory }
    }

    /// Where they lie.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Bytes after which a bucket is sealed.
    pub(crate) fn bucket_bytes(&self) -> u64 {
        self.bytes_max
    }

    /// The highest bucket that can hold anything written up to now.
    pub(crate) fn horizon(&self) -> u64 {
        self.next_id - 1
    }

    /// Whether a bucket up to `horizon`, other than `except`, is there.
    pub(crate) fn reaches(&self, horizon: u64, except: u64) -> bool {
        self.buckets.keys().find(|id| **id != except).is_some_and(|oldest| *oldest <= horizon)
    }

    /// Makes `drafts` durable, with one write and one sync for each bucket touched. On an error none of them is
    /// there, or none will count after a restart, and the buckets in doubt take no more records.
    pub(crate) fn append(&mut self, drafts: &[Draft], from: Origin, now: Timestamp) -> io::Result<Vec<Arc<Stored>>> {
        let voids = self.void_drafts(now);
        let mut groups = BTreeMap::<Class, Vec<(usize, &Draft)>>::new();
        let shared = drafts.iter().find_map(|draft| media_class(draft, now)).unwrap_or(Class::STANDING);
        for (index, draft) in voids.iter().chain(drafts).enumerate() {
            groups.entry(media_class(draft, now).unwrap_or(shared)).or_default().push((index, draft));
        }
        let mut touched = Vec::new();
        let written = self.write(&groups, &mut touched, now);
        let mut placed = match written {
            Ok(placed) => placed,
            Err((failed, error)) => {
                let stamps = drafts.iter().map(|draft| draft.stamp).filter(|_| from == Origin::Waiting);
                self.take_back(&touched, failed, stamps.clone().min().zip(stamps.max()));
                return Err(error);
            }
        };
        for id in touched {
            let Some(bucket) = self.buckets.get_mut(&id) else { continue };
            let of_bucket = placed.iter().map(|(_, stored)| stored).filter(|stored| stored.bucket == id);
            if from == Origin::Carried {
                let carried = of_bucket.clone().filter_map(|stored| summary::plain(&stored.record));
                bucket.replaces.extend(carried.map(|row| row.key.clone()));
            }
            bucket.settle(of_bucket.cloned(), self.grace);
            self.inventory.add(id);
        }
        self.voids.clear();
        placed.sort_unstable_by_key(|(index, _)| *index);
        Ok(placed.into_iter().skip(voids.len()).map(|(_, stored)| stored).collect())
    }

    /// Writes and syncs; the bucket that failed with the error. Every bucket written to is in `touched`.
    #[expect(clippy::type_complexity, reason = "the parts are named by the one caller")]
    fn write(
        &mut self,
        groups: &BTreeMap<Class, Vec<(usize, &Draft)>>,
        touched: &mut Vec<u64>,
        now: Timestamp,
    ) -> Result<Vec<(usize, Arc<Stored>)>, (Option<u64>, io::Error)> {
        let mut placed = Vec::new();
        for (class, group) in groups {
            let id = self.open_bucket(*class, now).map_err(|error| (None, error))?;
            touched.push(id);
            let Some(bucket) = self.buckets.get_mut(&id) else { continue };
            let drafts: Vec<&Draft> = group.iter().map(|(_, draft)| *draft).collect();
            let extents = bucket.append(&drafts).map_err(|error| (Some(id), error))?;
            for ((index, draft), extent) in group.iter().zip(extents) {
                let (record, stamp, digest) = (draft.record.clone(), draft.stamp, draft.digest);
                placed.push((*index, Arc::new(Stored { record, stamp, digest, bucket: id, extent })));
            }
        }
        let mut fresh = None;
        for id in &*touched {
            let Some(bucket) = self.buckets.get_mut(id) else { continue };
            bucket.sync().map_err(|error| (Some(*id), error))?;
            fresh = fresh.or(bucket.is_fresh().then_some(*id));
        }
        if fresh.is_some() {
            self.disk.sync_dir().map_err(|error| (fresh, error))?;
        }
        Ok(placed)
    }

    /// Undoes a failed commit.
    fn take_back(&mut self, touched: &[u64], failed: Option<u64>, stamps: Option<(Timestamp, Timestamp)>) {
        let mut doubtful = false;
        for id in touched {
            let Some(bucket) = self.buckets.get_mut(id) else { continue };
            let cut = bucket.roll_back();
            if bucket.is_fresh() {
                self.close(*id);
                doubtful |= self.discard(*id).is_err();
            } else if cut.is_err() || failed == Some(*id) {
                doubtful |= cut.is_err();
                self.close(*id);
            }
        }
        if let Some((from, to)) = stamps.filter(|_| doubtful) {
            tracing::warn!(?from, ?to, "a failed commit could not be cut off; it will be declared void");
            self.voids.push((from, to, self.horizon()));
        }
    }

    /// Takes the bucket out of use without a footer: the next start scans it.
    fn close(&mut self, id: u64) {
        if let Some(bucket) = self.buckets.get_mut(&id) {
            bucket.file = None;
            self.open.remove(&bucket.header.class);
        }
    }

    fn open_bucket(&mut self, class: Class, now: Timestamp) -> io::Result<u64> {
        if let Some(id) = self.open.get(&class) {
            return Ok(*id);
        }
        let header = FileHeader { id: self.next_id, class, created: now };
        // A number is spent even if the file cannot be made: the name of a half-made one must not come back.
        self.next_id += 1;
        let bucket = Bucket::create(&*self.disk, header)?;
        let id = bucket.header.id;
        self.buckets.insert(id, bucket);
        self.open.insert(class, id);
        Ok(id)
    }

    fn void_drafts(&self, now: Timestamp) -> Vec<Draft> {
        let void = |&(from, to, horizon): &_| Draft::bare(Record::Void { from, to, horizon }, now);
        self.voids.iter().map(void).collect()
    }

    /// Seals one bucket that has had its time or its size; whether there was one.
    pub(crate) fn seal_one(&mut self, now: Timestamp) -> bool {
        let full = |id: &u64| self.buckets.get(id).is_some_and(|bucket| is_full(bucket, self.bytes_max, now));
        let Some(id) = self.open.values().copied().find(full) else { return false };
        self.seal(id, now);
        true
    }

    /// Seals every open bucket.
    pub(crate) fn seal_all(&mut self, now: Timestamp) {
        for id in self.open.values().copied().collect::<Vec<_>>() {
            self.seal(id, now);
        }
    }

    pub(crate) fn seal(&mut self, id: u64, now: Timestamp) {
        let Some(bucket) = self.buckets.get_mut(&id) else { return };
        self.open.remove(&bucket.header.class);
        if let Err(error) = bucket.seal(now) {
            tracing::warn!(bucket = bucket.header.file_name(), %error, "no footer could be written; the next start scans");
        }
    }

    /// Makes sure that once bucket `id` is gone a restart still begins after its stamps, and after the moment that let
    /// it expire: what was decided because a moment had passed stays decided, whatever the wall clock shows by then.
    pub(crate) fn mark_before_discarding(&mut self, id: u64, now: Timestamp) -> io::Result<()> {
        let Some(going) = self.buckets.get(&id) else { return Ok(()) };
        let others = self.buckets.values().filter(|bucket| bucket.header.id != id);
        let kept = others.map(|bucket| bucket.highest).fold(Timestamp::MIN, Timestamp::max);
        if kept < going.highest || kept < going.expires {
            self.append(&[Draft::bare(Record::Mark, now)], Origin::Carried, now)?;
        }
        Ok(())
    }

    /// Removes a bucket and its name for good; the file, whose space is still to be freed.
    pub(crate) fn discard(&mut self, id: u64) -> io::Result<Option<Arc<dyn File>>> {
        let name = super::format::file_name(id);
        self.inventory.remove(id);
        let file = self.disk.open_to_repair(&name).ok();
        match self.disk.unlink(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.disk.sync_dir()?;
        self.buckets.remove(&id);
        Ok(file)
    }

    /// Keeps the bucket of `by` for as long as the row that it replaced: else the old row would be back once
    /// its successor is gone.
    pub(crate) fn outlive(&mut self, by: &Stored, replaced: &Stored) {
        let Some(bucket) = self.buckets.get_mut(&by.bucket) else { return };
        match replaced.expires(self.grace) {
            Some(expires) => bucket.expires = bucket.expires.max(expires),
            None if by.expires(self.grace).is_none() => return,
            None => {}
        }
        if let Record::Row(row) = &replaced.record
            && replaced.bucket != by.bucket
        {
            bucket.replaces.insert(row.key.clone());
        }
    }

    /// `bucket` has the record of `key` that hides older ones until `expires`.
    pub(crate) fn stands_for(&mut self, bucket: u64, key: Key, expires: Timestamp) {
        if let Some(bucket) = self.buckets.get_mut(&bucket) {
            bucket.expires = bucket.expires.max(expires);
            bucket.replaces.insert(key);
        }
    }

    /// Whether the bucket takes records.
    pub(crate) fn is_open(&self, id: u64) -> bool {
        self.open.values().any(|open| *open == id)
    }

    /// The highest stamp that is durable.
    pub(crate) fn highest(&self) -> Timestamp {
        self.buckets.values().map(|bucket| bucket.highest).fold(Timestamp::MIN, Timestamp::max)
    }

    /// Bytes of records on the disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.buckets.values().map(|bucket| bucket.length.saturating_sub(bucket.freed)).sum()
    }
}

/// The class of media; standing records ride along with the media of their batch, which spares a sync.
fn media_class(draft: &Draft, now: Timestamp) -> Option<Class> {
    match &draft.record {
        Record::Row(row) => Some(Class::of(row.keep, now)).filter(|class| *class != Class::STANDING),
        _ => None,
    }
}
