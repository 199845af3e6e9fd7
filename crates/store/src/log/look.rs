//! One bucket file as it lies on the disk: told by its footer, or found by a scan. Shared by the start, which repairs what
//! it finds, and by surveys, which change nothing. Must never write.

use std::io;
use std::sync::Arc;

use headwater_model::Millis;

use super::bucket::{Bucket, Stored};
use super::format::{self, BLOCK, FileHeader, NoHeader, TRAILER_BYTES, Trailer};
use super::header::Legible;
use super::scan::{Scanned, scan};
use super::summary::Summary;
use crate::disk::File;

/// What a bucket file is.
pub(super) enum Found {
    /// Its footer tells of everything in it.
    Sealed(Box<Bucket>),
    /// It has no footer, or a damaged one: this is what a scan finds.
    Scanned(FileHeader, Scanned, Footer),
    /// Nothing was ever written, or a crash came before the first sync.
    Blank,
    /// Something else is there, or its header is damaged.
    NoHeader,
    /// A build that knows this format version wrote it.
    Later(u32),
}

/// Why a bucket is not told by its footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Footer {
    /// There is none.
    None,
    /// There is one at this offset, and it is not what was written.
    Damaged(u64),
}

/// Reads the file of the bucket `id`.
///
/// # Errors
/// Those of the disk.
pub(super) fn look(file: &dyn File, id: u64, grace: Millis) -> io::Result<Found> {
    let length = file.length()?;
    let header = match first_block(file, id)?.1 {
        Ok(Legible::Whole(header) | Legible::Mended(header)) => header,
        Err(NoHeader::Later(version)) => return Ok(Found::Later(version)),
        Err(NoHeader::Blank) if length <= BLOCK => return Ok(Found::Blank),
        _ => return Ok(Found::NoHeader),
    };
    match by_footer(file, &header, length, grace)? {
        Ok(bucket) => Ok(Found::Sealed(Box::new(bucket))),
        Err(footer) => {
            let scanned = scan(file, &header, length)?;
            let footer = if footer == Footer::None { without_trailer(file, &scanned, length)? } else { footer };
            Ok(Found::Scanned(header, scanned, footer))
        }
    }
}

/// The first block of the file of bucket `id`, and the header that it is.
///
/// # Errors
/// Those of the disk.
pub(super) fn first_block(file: &dyn File, id: u64) -> io::Result<([u8; BLOCK as usize], Result<Legible, NoHeader>)> {
    let mut block = [0; BLOCK as usize];
    let there = file.length()?.min(BLOCK) as usize;
    file.read_at(&mut block[..there], 0)?;
    let legible = FileHeader::decode_block(&block, id);
    Ok((block, legible))
}

/// The last bytes of a sealed file of `length` bytes.
fn trailer(file: &dyn File, length: u64) -> io::Result<Option<Trailer>> {
    let Some(at) = length.checked_sub(TRAILER_BYTES as u64).filter(|at| *at >= BLOCK) else { return Ok(None) };
    let mut bytes = [0; TRAILER_BYTES];
    file.read_at(&mut bytes, at)?;
    Ok(Trailer::decode(&bytes).filter(|trailer| trailer.footer.checked_add(trailer.length) == Some(at)))
}

/// Where the summary of a sealed file ends, if it has one.
///
/// # Errors
/// Those of the disk.
pub(super) fn summary_end(file: &dyn File) -> io::Result<Option<u64>> {
    let Some(trailer) = trailer(file, file.length()?)? else { return Ok(None) };
    let mut bytes = [0; TRAILER_BYTES];
    file.read_at(&mut bytes, trailer.footer.saturating_sub(TRAILER_BYTES as u64))?;
    Ok(Trailer::decode_of_summary(&bytes).map(|_| trailer.footer))
}

/// The file of the bucket `id` by its summary, whose records in full are those of the bucket; `None` if it has none that
/// holds, and [`look`] has to tell.
///
/// # Errors
/// Those of the disk.
pub(super) fn look_briefly(file: &dyn File, id: u64, grace: Millis) -> io::Result<Option<(Bucket, Summary)>> {
    let Ok(Legible::Whole(header) | Legible::Mended(header)) = first_block(file, id)?.1 else { return Ok(None) };
    let length = file.length()?;
    let Some(trailer) = trailer(file, length)? else { return Ok(None) };
    let Some((summary, records)) = summary(file, &header, trailer.footer)? else { return Ok(None) };
    let mut bucket = Bucket::found(header, summary.length);
    records.into_iter().for_each(|stored| bucket.note(Arc::new(stored), grace));
    bucket.expires = bucket.expires.max(summary.expires);
    bucket.highest = bucket.highest.max(summary.highest).max(trailer.sealed);
    bucket.freed = length.saturating_sub(file.allocated()?);
    (bucket.sealed, bucket.is_deferred) = (true, true);
    Ok(Some((bucket, summary)))
}

/// The summary that ends where the footer begins.
fn summary(file: &dyn File, header: &FileHeader, footer: u64) -> io::Result<Option<(Summary, Vec<Stored>)>> {
    // Nearly every summary is shorter than this.
    let from = footer.saturating_sub(4 * BLOCK).max(BLOCK);
    let mut bytes = vec![0; footer.saturating_sub(from) as usize];
    file.read_at(&mut bytes, from)?;
    let Some(end) = bytes.last_chunk().and_then(Trailer::decode_of_summary) else { return Ok(None) };
    let whole = end.length.checked_add(TRAILER_BYTES as u64);
    if end.footer < BLOCK || whole.and_then(|whole| end.footer.checked_add(whole)) != Some(footer) {
        return Ok(None);
    }
    if end.footer < from {
        bytes = vec![0; (footer - end.footer) as usize];
        file.read_at(&mut bytes, end.footer)?;
    }
    let summary = &bytes[bytes.len() - TRAILER_BYTES - end.length as usize..bytes.len() - TRAILER_BYTES];
    if !end.holds(summary, header.seed()) {
        return Ok(None);
    }
    let mut from = summary;
    let Ok(summary) = Summary::decode(&mut from) else { return Ok(None) };
    Ok(items(from, header.id).map(|records| (summary, records)))
}

/// The records that the items in `bytes` tell of.
fn items(bytes: &[u8], bucket: u64) -> Option<Vec<Stored>> {
    let (mut from, mut all) = (bytes, Vec::new());
    while !from.is_empty() {
        let (record, stamp, digest, extent) = format::decode_item(&mut from).ok()?;
        all.push(Stored { record, stamp, digest, bucket, extent });
    }
    Some(all)
}

/// The bucket as its footer tells.
fn by_footer(file: &dyn File, header: &FileHeader, length: u64, grace: Millis) -> io::Result<Result<Bucket, Footer>> {
    let Some(trailer) = trailer(file, length)? else { return Ok(Err(Footer::None)) };
    let damaged = Ok(Err(Footer::Damaged(trailer.footer)));
    let mut footer = vec![0; trailer.length as usize];
    file.read_at(&mut footer, trailer.footer)?;
    if !trailer.holds(&footer, header.seed()) {
        return damaged;
    }
    let Some(records) = items(&footer, header.id) else { return damaged };
    let end = records.iter().map(|stored| stored.extent.end).max().unwrap_or(BLOCK);
    // A summary lies between records and footer, or nothing does.
    if end.next_multiple_of(BLOCK) != trailer.footer && summary(file, header, trailer.footer)?.is_none() {
        return damaged;
    }
    let mut bucket = Bucket::found(header.clone(), end);
    records.into_iter().for_each(|stored| bucket.note(Arc::new(stored), grace));
    bucket.highest = bucket.highest.max(trailer.sealed);
    bucket.sealed = true;
    Ok(Ok(bucket))
}

/// What lies behind the records of a file without a trailer: a footer whose trailer is damaged has an item for each of
/// them and ends where the trailer should begin; anything else is none.
fn without_trailer(file: &dyn File, scanned: &Scanned, length: u64) -> io::Result<Footer> {
    let at = scanned.end.next_multiple_of(BLOCK);
    let Some(bytes) = length.checked_sub(at + TRAILER_BYTES as u64).filter(|bytes| *bytes <= FOOTER_BYTES_MAX) else {
        return Ok(Footer::None);
    };
    let mut footer = vec![0; bytes as usize];
    file.read_at(&mut footer, at)?;
    // A summary in front of it begins with its length.
    let summary = footer.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    let behind = summary.checked_add(TRAILER_BYTES as u64).and_then(|from| footer.get(usize::try_from(from).ok()?..));
    let items = [Some(&footer[..]), behind].into_iter().flatten().find_map(|bytes| items(bytes, 0)).unwrap_or_default();
    let is_footer = !items.is_empty() && items.len() >= scanned.records.len();
    Ok(if is_footer { Footer::Damaged(at) } else { Footer::None })
}

/// More than any bucket's footer has: a torn tail of this size is a torn commit.
const FOOTER_BYTES_MAX: u64 = 256 << 20;
