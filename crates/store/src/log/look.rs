//! One bucket file as it lies on the disk: told by its footer, or found by a scan. Shared by the start, which repairs what
//! it finds, and by surveys, which change nothing. Must never write.

use std::io;
use std::sync::Arc;

use headwater_model::Millis;

use super::bucket::{Bucket, Stored};
use super::format::{self, BLOCK, FileHeader, NoHeader, TRAILER_BYTES, Trailer};
use super::header::Legible;
use super::scan::{Scanned, scan};
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

/// The bucket as its footer tells.
fn by_footer(file: &dyn File, header: &FileHeader, length: u64, grace: Millis) -> io::Result<Result<Bucket, Footer>> {
    let Some(at) = length.checked_sub(TRAILER_BYTES as u64).filter(|at| *at >= BLOCK) else {
        return Ok(Err(Footer::None));
    };
    let mut bytes = [0; TRAILER_BYTES];
    file.read_at(&mut bytes, at)?;
    let Some(trailer) = Trailer::decode(&bytes) else { return Ok(Err(Footer::None)) };
    if trailer.footer.checked_add(trailer.length) != Some(at) {
        return Ok(Err(Footer::None));
    }
    let damaged = Ok(Err(Footer::Damaged(trailer.footer)));
    let mut footer = vec![0; trailer.length as usize];
    file.read_at(&mut footer, trailer.footer)?;
    if !trailer.holds(&footer, header.seed()) {
        return damaged;
    }
    let mut bucket = Bucket::found(header.clone(), trailer.footer);
    let mut from = &footer[..];
    while !from.is_empty() {
        let Ok((record, stamp, digest, extent)) = format::decode_item(&mut from) else { return damaged };
        bucket.note(Arc::new(Stored { record, stamp, digest, bucket: header.id, extent }), grace);
    }
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
    let (mut from, mut items) = (&footer[..], 0);
    while !from.is_empty() {
        if format::decode_item(&mut from).is_err() {
            return Ok(Footer::None);
        }
        items += 1;
    }
    Ok(if items > 0 && items >= scanned.records.len() { Footer::Damaged(at) } else { Footer::None })
}

/// More than any bucket's footer has: a torn tail of this size is a torn commit.
const FOOTER_BYTES_MAX: u64 = 256 << 20;
