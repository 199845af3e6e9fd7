//! From files back to an index. Sealed buckets are read by their summary, or by their footer where what they hold hangs
//! together with what others hold; the rest is scanned, cut at the last whole record, and sealed. Then all records are folded in stamp order, as they were when they were written. Must never
//! cut off anything that was acked: what a head vouches for as durable is skipped where damaged, never cut.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::sync::Arc;

use headwater_model::Timestamp;
use headwater_model::row::Row;

use super::bucket::{Bucket, Stored};
use super::deferred::Deferred;
use super::format::{FILE_HEADER_BYTES, FileHeader, Record, file_id, file_name};
use super::header::{COPY_OFFSET, Legible};
use super::holes::Holes;
use super::index::Index;
use super::inventory::{self, Inventory};
use super::look::{self, Footer, look};
use super::room;
use super::scan::Scanned;
use super::shelf::Shelf;
use super::summary::Summary;
use super::{OpenError, Options};
use crate::disk::{Disk, File};

/// What lies on the disk.
pub(super) struct Recovered {
    pub(super) shelf: Shelf,
    pub(super) index: Index,
    pub(super) holes: Holes,
    pub(super) troubles: Troubles,
}

/// More buckets than this are never missing at the end of the list: as many as a year has minutes.
const NUMBERS_LOST_MAX: u64 = 525_600;

/// What a start found amiss, in bucket files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Troubles {
    pub(super) missing: u64,
    pub(super) damaged: u64,
}

/// Reads every bucket of `disk`.
pub(super) fn recover(disk: &Arc<dyn Disk>, options: &Options) -> Result<Recovered, OpenError> {
    let unreadable = |error: io::Error| OpenError::failed(disk.place(), error);
    let ids: BTreeSet<u64> = disk.list().map_err(unreadable)?.iter().filter_map(|name| file_id(name)).collect();
    let listed = inventory::listed(&**disk);
    let mut troubles = Troubles::default();
    for id in listed.difference(&ids) {
        troubles.missing += 1;
        tracing::error!(
            file = file_name(*id),
            "a bucket file is missing, and what was in it; bring it back from a backup while the server is stopped"
        );
    }
    // A line of the list that was damaged must not use up the numbers.
    let highest = ids.last().copied().unwrap_or(0);
    let listed = listed.into_iter().filter(|id| id.saturating_sub(highest) < NUMBERS_LOST_MAX);
    let next_id = ids.iter().copied().chain(listed).max().unwrap_or(0) + 1;
    let bucket_bytes = room::bucket_bytes(options.bucket_bytes, disk.total_bytes().map_err(unreadable)?);
    let mut shelf = Shelf::new(Arc::clone(disk), options.grace, bucket_bytes, next_id);
    let mut deferred = Deferred::default();
    for id in &ids {
        if let Some(summary) = take_in(&mut shelf, &mut troubles, *id, options, Reading::Brief)? {
            deferred.add(*id, Arc::new(summary));
        }
    }
    for id in needed(&shelf, &deferred) {
        deferred.take(id);
        take_in(&mut shelf, &mut troubles, id, options, Reading::Whole)?;
    }
    disk.sync_dir().map_err(unreadable)?;
    shelf.inventory = Inventory::renew(&**disk, shelf.buckets.keys().copied());
    let voids = drop_voids(&mut shelf);
    let mut index = fold(&mut shelf);
    index.deferred.voids = voids;
    for (id, bucket) in shelf.buckets.iter().filter(|(_, bucket)| bucket.is_deferred) {
        debug_assert!(bucket.sealed);
        deferred.get(*id).into_iter().for_each(|summary| index.defer(*id, Arc::clone(summary)));
    }
    let holes = holes(&shelf, &index);
    Ok(Recovered { shelf, index, holes, troubles })
}

/// How much of a sealed bucket is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Brief,
    Whole,
}

/// Puts one file on the shelf; its summary, if it was read by that.
fn take_in(
    shelf: &mut Shelf,
    troubles: &mut Troubles,
    id: u64,
    options: &Options,
    reading: Reading,
) -> Result<Option<Summary>, OpenError> {
    let disk = Arc::clone(shelf.disk());
    let found = bucket(&*disk, id, options, reading).or_else(|error| bad_sector(id, error));
    let found = found.map_err(|error| OpenError::failed(format!("{}/{}", disk.place(), file_name(id)), error))?;
    shelf.buckets.remove(&id);
    match found {
        Found::Bucket(bucket) => drop(shelf.buckets.insert(id, *bucket)),
        Found::Brief(bucket, summary) => {
            shelf.buckets.insert(id, *bucket);
            return Ok(Some(summary));
        }
        Found::Damaged(bucket) => {
            troubles.damaged += 1;
            bucket.into_iter().for_each(|bucket| drop(shelf.buckets.insert(id, *bucket)));
        }
        Found::Nothing => {}
        Found::Later(version) => return Err(OpenError::Later { file: file_name(id), version }),
    }
    Ok(None)
}

/// The deferred buckets that cannot stay so, because another one may have a record of the same object: one of the two
/// has replaced the other's, or removed it. What is known of that is each bucket's own list, and the records of those
/// that have none.
fn needed(shelf: &Shelf, deferred: &Deferred) -> BTreeSet<u64> {
    let mut needed = BTreeSet::new();
    for (id, bucket) in &shelf.buckets {
        let summary = deferred.get(*id);
        for key in summary.into_iter().flat_map(|summary| &summary.contested) {
            needed.insert(*id);
            needed.extend(deferred.with_key(key));
        }
        for stored in &bucket.records {
            match &stored.record {
                Record::Row(Row { key, .. }) | Record::Removal { key, .. } => needed.extend(deferred.with_key(key)),
                Record::Entry { .. } | Record::Void { .. } | Record::Mark => {}
            }
        }
    }
    needed
}

/// What became of a file.
enum Found {
    Bucket(Box<Bucket>),
    /// Known by its summary.
    Brief(Box<Bucket>, Summary),
    /// Left as it is, with what can be read of it.
    Damaged(Option<Box<Bucket>>),
    /// Nothing was in it, and it was removed.
    Nothing,
    Later(u32),
}

/// One file that cannot be read must not keep the others from being served.
fn bad_sector(id: u64, error: io::Error) -> io::Result<Found> {
    if !is_bad_sector(&error) {
        return Err(error);
    }
    tracing::error!(file = file_name(id), %error, "the disk cannot read this bucket; it is left alone");
    Ok(Found::Damaged(None))
}

/// Whether the disk itself failed to read: a retry gives the same.
pub(super) fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

fn bucket(disk: &dyn Disk, id: u64, options: &Options, reading: Reading) -> io::Result<Found> {
    let name = file_name(id);
    let file = disk.open_to_repair(&name)?;
    mend(&*file, id)?;
    if reading == Reading::Brief
        && let Some((bucket, summary)) = look::look_briefly(&*file, id, options.grace)?
    {
        return Ok(Found::Brief(Box::new(bucket), summary));
    }
    match look(&*file, id, options.grace)? {
        look::Found::Sealed(bucket) => Ok(Found::Bucket(bucket)),
        look::Found::Scanned(header, scanned, footer) => {
            if let Footer::Damaged(_) = footer {
                tracing::error!(file = name, "the footer is damaged; the file is scanned");
            }
            by_scan(disk, &file, header, scanned, options)
        }
        look::Found::Blank => {
            disk.unlink(&name)?;
            Ok(Found::Nothing)
        }
        // The first sync makes header and records durable together: without a header nothing in it was acked, unless
        // the disk damaged it. Deleting is not for us to decide.
        look::Found::NoHeader => {
            tracing::error!(file = name, "not a bucket, or its header is damaged; it is left alone");
            Ok(Found::Damaged(None))
        }
        look::Found::Later(version) => Ok(Found::Later(version)),
    }
}

/// Writes a damaged header anew, while what it was made good from is still there. As good without: the next start does
/// the same.
fn mend(file: &dyn File, id: u64) -> io::Result<()> {
    let (mut block, legible) = look::first_block(file, id)?;
    let Ok(Legible::Mended(header)) = legible else { return Ok(()) };
    let bytes = header.encode();
    for at in [0, COPY_OFFSET] {
        block[at..at + FILE_HEADER_BYTES].copy_from_slice(&bytes);
    }
    tracing::error!(file = header.file_name(), "the header was damaged and is written anew");
    let written = file.write_at(&mut [IoSlice::new(&block)], 0).and_then(|()| file.sync_data());
    if let Err(error) = written {
        tracing::warn!(file = header.file_name(), %error, "the header could not be written anew");
    }
    Ok(())
}

/// The bucket as a scan finds it; its torn tail is cut off and a footer written.
fn by_scan(
    disk: &dyn Disk,
    file: &Arc<dyn File>,
    header: FileHeader,
    scanned: Scanned,
    options: &Options,
) -> io::Result<Found> {
    let length = file.length()?;
    let (name, is_damaged) = (header.file_name(), !scanned.damage.is_empty());
    if scanned.records.is_empty() && !is_damaged {
        disk.unlink(&name)?;
        return Ok(Found::Nothing);
    }
    let mut bucket = Bucket::found(header, scanned.end);
    for stored in scanned.records {
        bucket.note(Arc::new(stored), options.grace);
    }
    if is_damaged {
        tracing::error!(file = name, "records are damaged; what can be read of the file is kept as it is");
    } else {
        if scanned.end < length {
            tracing::warn!(
                file = name,
                from = length,
                to = scanned.end,
                "a torn tail was cut off at the last whole record"
            );
        }
        file.truncate(scanned.end)?;
    }
    rewrite(&**file, scanned.durable, scanned.end)?;
    file.sync_data()?;
    if is_damaged {
        return Ok(Found::Damaged(Some(Box::new(bucket))));
    }
    // A full disk may refuse the footer: the bucket is complete without it.
    match bucket.write_footer(&**file, Timestamp::MIN, Vec::new()) {
        Ok(()) => bucket.sealed = true,
        Err(error) => tracing::warn!(file = name, %error, "no footer could be written; the next start scans again"),
    }
    Ok(Found::Bucket(Box::new(bucket)))
}

/// Writes `from..to` over itself. What a killed process wrote and did not sync may be in the page cache only, and counts
/// as clean there if a sync had failed: only a new write makes sure that the next sync reaches it.
fn rewrite(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let mut bytes = vec![0; (to - at).min(1 << 20) as usize];
        let end = at + bytes.len() as u64;
        let there = file.length()?.saturating_sub(at).min(bytes.len() as u64);
        file.read_at(&mut bytes[..there as usize], at)?;
        file.write_at(&mut [IoSlice::new(&bytes)], at)?;
        at = end;
    }
    Ok(())
}

/// What no longer counts and may still take space.
fn holes(shelf: &Shelf, index: &Index) -> Holes {
    let mut holes = Holes::default();
    let records = shelf.buckets.values().flat_map(|bucket| &bucket.records);
    records.filter(|stored| !index.is_current(stored)).for_each(|stored| holes.add(stored));
    holes
}

/// Drops what was written by commits that failed; their stamps.
pub(super) fn drop_voids(shelf: &mut Shelf) -> Vec<(Timestamp, Timestamp)> {
    let all = shelf.buckets.values().flat_map(|bucket| &bucket.records);
    let voids: Vec<(Timestamp, Timestamp)> = all
        .filter_map(|stored| match &stored.record {
            Record::Void { from, to, .. } => Some((*from, *to)),
            _ => None,
        })
        .collect();
    if voids.is_empty() {
        return voids;
    }
    let is_void = |stored: &Arc<Stored>| {
        let stamp = stored.stamp;
        !matches!(stored.record, Record::Void { .. } | Record::Mark)
            && voids.iter().any(|(from, to)| *from <= stamp && stamp <= *to)
    };
    for bucket in shelf.buckets.values_mut() {
        bucket.records.retain(|stored| !is_void(stored));
    }
    voids
}

/// Applies all records in stamp order. Of two copies of one record, the one carried forward counts.
pub(super) fn fold(shelf: &mut Shelf) -> Index {
    let counts = |stored: &&Arc<Stored>| !matches!(stored.record, Record::Void { .. } | Record::Mark);
    let all = shelf.buckets.values().flat_map(|bucket| &bucket.records);
    let mut all: Vec<Arc<Stored>> = all.filter(counts).cloned().collect();
    all.sort_by_key(|stored| (stored.stamp, stored.bucket, stored.extent.offset));
    let mut index = Index::default();
    for stored in &all {
        if let Some(before) = index.apply(stored, Timestamp::MIN).row
            && before.stamp != stored.stamp
        {
            shelf.outlive(stored, &before);
        }
    }
    let oldest = shelf.buckets.keys().next().copied().unwrap_or(u64::MAX);
    index.forget_ended(oldest);
    index
}
