//! From files back to an index. Sealed buckets are read by their footer; the others are scanned, cut at the last whole
//! record, and sealed. Then all records are folded in stamp order, as they were when they were written. Must never
//! cut off anything that was acked: what a head vouches for as durable is skipped where damaged, never cut.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use headwater_model::Timestamp;

use super::bucket::{Bucket, Stored};
use super::format::{
    self, BLOCK, FILE_HEADER_BYTES, FileHeader, NoHeader, Record, TRAILER_BYTES, Trailer, file_id, file_name,
};
use super::header::{COPY_OFFSET, Legible};
use super::index::Index;
use super::scan::scan;
use super::shelf::Shelf;
use super::{OpenError, Options};
use crate::disk::{Disk, File};

/// What lies on the disk.
pub(super) struct Recovered {
    pub(super) shelf: Shelf,
    pub(super) index: Index,
}

/// Reads every bucket of `disk`.
pub(super) fn recover(disk: &Arc<dyn Disk>, options: &Options) -> Result<Recovered, OpenError> {
    let unreadable = |error: io::Error| OpenError::Unreadable { place: disk.place(), error };
    let ids: Vec<u64> = disk.list().map_err(unreadable)?.iter().filter_map(|name| file_id(name)).collect();
    let next_id = ids.iter().max().map_or(1, |id| id + 1);
    let mut shelf = Shelf::new(Arc::clone(disk), options.grace, options.bucket_bytes, next_id);
    for id in ids {
        let unreadable =
            |error: io::Error| OpenError::Unreadable { place: format!("{}/{}", disk.place(), file_name(id)), error };
        let Some(bucket) = bucket(&**disk, id, options).map_err(unreadable)?.into_bucket(id)? else {
            continue;
        };
        shelf.buckets.insert(id, bucket);
    }
    disk.sync_dir().map_err(unreadable)?;
    drop_voids(&mut shelf);
    let index = fold(&mut shelf);
    Ok(Recovered { shelf, index })
}

/// What became of a file.
enum Found {
    Bucket(Box<Bucket>),
    /// Nothing was in it, or it is left alone.
    Nothing,
    Later(u32),
}

impl Found {
    fn into_bucket(self, id: u64) -> Result<Option<Bucket>, OpenError> {
        match self {
            Self::Bucket(bucket) => Ok(Some(*bucket)),
            Self::Nothing => Ok(None),
            Self::Later(version) => Err(OpenError::Later { file: file_name(id), version }),
        }
    }
}

fn bucket(disk: &dyn Disk, id: u64, options: &Options) -> io::Result<Found> {
    let file = disk.open(&file_name(id))?;
    let length = file.length()?;
    let mut first = [0; BLOCK as usize];
    file.read_at(&mut first[..length.min(BLOCK) as usize], 0)?;
    let header = match FileHeader::decode_block(&first, id) {
        Ok(Legible::Whole(header)) => header,
        Ok(Legible::Mended(header)) => {
            mend(&*file, &header, first);
            header
        }
        Err(NoHeader::Later(version)) => return Ok(Found::Later(version)),
        Err(NoHeader::Blank) if length <= BLOCK => {
            disk.unlink(&file_name(id))?;
            return Ok(Found::Nothing);
        }
        // The first sync makes header and records durable together: without a header nothing in it was acked, unless
        // the disk damaged it. Deleting is not for us to decide.
        Err(_) => {
            tracing::error!(file = file_name(id), "not a bucket, or its header is damaged; it is left alone");
            return Ok(Found::Nothing);
        }
    };
    if let Some(bucket) = by_footer(&*file, &header, length, options)? {
        return Ok(Found::Bucket(Box::new(bucket)));
    }
    by_scan(disk, &file, header, length, options)
}

/// Writes a damaged header anew, while what it was made good from is still there. As good without: the next start does
/// the same.
fn mend(file: &dyn File, header: &FileHeader, mut first: [u8; BLOCK as usize]) {
    let bytes = header.encode();
    for at in [0, COPY_OFFSET] {
        first[at..at + FILE_HEADER_BYTES].copy_from_slice(&bytes);
    }
    tracing::error!(file = header.file_name(), "the header was damaged and is written anew");
    let written = file.write_at(&mut [IoSlice::new(&first)], 0).and_then(|()| file.sync_data());
    if let Err(error) = written {
        tracing::warn!(file = header.file_name(), %error, "the header could not be written anew");
    }
}

/// The bucket as its footer tells; `None` if it has none or a damaged one.
fn by_footer(file: &dyn File, header: &FileHeader, length: u64, options: &Options) -> io::Result<Option<Bucket>> {
    let Some(at) = length.checked_sub(TRAILER_BYTES as u64).filter(|at| *at >= BLOCK) else { return Ok(None) };
    let mut bytes = [0; TRAILER_BYTES];
    file.read_at(&mut bytes, at)?;
    let Some(trailer) = Trailer::decode(&bytes) else { return Ok(None) };
    if trailer.footer.checked_add(trailer.length) != Some(at) {
        return Ok(None);
    }
    let mut footer = vec![0; trailer.length as usize];
    file.read_at(&mut footer, trailer.footer)?;
    if !trailer.holds(&footer, header.seed()) {
        tracing::error!(file = header.file_name(), "the footer is damaged; the file is scanned");
        return Ok(None);
    }
    let mut bucket = Bucket::found(header.clone(), trailer.footer);
    let mut from = &footer[..];
    while !from.is_empty() {
        let Ok((record, stamp, digest, extent)) = format::decode_item(&mut from) else { return Ok(None) };
        bucket.note(Arc::new(Stored { record, stamp, digest, bucket: header.id, extent }), options.grace);
    }
    bucket.highest = bucket.highest.max(trailer.sealed);
    Ok(Some(bucket))
}

/// The bucket as a scan finds it; its torn tail is cut off and a footer written.
fn by_scan(
    disk: &dyn Disk,
    file: &Arc<dyn File>,
    header: FileHeader,
    length: u64,
    options: &Options,
) -> io::Result<Found> {
    let scanned = scan(&**file, &header, length)?;
    let name = header.file_name();
    if scanned.records.is_empty() && !scanned.damaged {
        disk.unlink(&name)?;
        return Ok(Found::Nothing);
    }
    let mut bucket = Bucket::found(header, scanned.end);
    for stored in scanned.records {
        bucket.note(Arc::new(stored), options.grace);
    }
    if scanned.damaged {
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
    if scanned.damaged {
        return Ok(Found::Bucket(Box::new(bucket)));
    }
    // A full disk may refuse the footer: the bucket is complete without it.
    if let Err(error) = bucket.write_footer(&**file, Timestamp::MIN) {
        tracing::warn!(file = name, %error, "no footer could be written; the next start scans again");
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

/// Drops what was written by commits that failed.
fn drop_voids(shelf: &mut Shelf) {
    let all = shelf.buckets.values().flat_map(|bucket| &bucket.records);
    let voids: Vec<(Timestamp, Timestamp)> = all
        .filter_map(|stored| match &stored.record {
            Record::Void { from, to, .. } => Some((*from, *to)),
            _ => None,
        })
        .collect();
    if voids.is_empty() {
        return;
    }
    let is_void = |stored: &Arc<Stored>| {
        let stamp = stored.stamp;
        !matches!(stored.record, Record::Void { .. } | Record::Mark)
            && voids.iter().any(|(from, to)| *from <= stamp && stamp <= *to)
    };
    for bucket in shelf.buckets.values_mut() {
        bucket.records.retain(|stored| !is_void(stored));
    }
}

/// Applies all records in stamp order. Of two copies of one record, the one carried forward counts.
fn fold(shelf: &mut Shelf) -> Index {
    let mut by_stamp = BTreeMap::new();
    for bucket in shelf.buckets.values() {
        for stored in
            bucket.records.iter().filter(|stored| !matches!(stored.record, Record::Void { .. } | Record::Mark))
        {
            by_stamp.insert(stored.stamp, Arc::clone(stored));
        }
    }
    let mut index = Index::default();
    for stored in by_stamp.values() {
        if let Some(before) = index.apply(stored).row {
            shelf.outlive(stored.bucket, &before);
        }
    }
    let oldest = shelf.buckets.keys().next().copied().unwrap_or(u64::MAX);
    index.forget_ended(oldest);
    index
}
