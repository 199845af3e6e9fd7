//! Finds the records of a bucket that was not sealed. Each head tells how much of the file was durable when it was
//! written: damage before that point is skipped over, what comes after is believed only as an unbroken, verified run.

use std::io;
use std::ops::Range;

use headwater_model::row::Digest;
use twox_hash::XxHash3_128;

use super::broken::{Fault, broken};
use super::bucket::Stored;
use super::format::{BLOCK, Extent, FileHeader, GRAIN, HEAD_BYTES, HOLE_BYTES_MIN, Head, RECORD_MAGIC, Record};
use crate::disk::File;

/// Read at once when looking for the next record past damage, and when verifying a payload.
const PIECE_BYTES: u64 = 256 << 10;

/// What a scan found.
pub(super) struct Scanned {
    pub(super) records: Vec<Stored>,
    /// Where the last whole record ends.
    pub(super) end: u64,
    /// Up to here the heads vouch for the file.
    pub(super) durable: u64,
    /// Where something that was durable can no longer be read.
    pub(super) damage: Vec<Range<u64>>,
}

struct Candidate {
    head: Head,
    record: Record,
    extent: Extent,
    /// Whether it follows on the one before it.
    follows: bool,
}

/// Reads the records of `file`, `length` bytes long.
pub(super) fn scan(file: &dyn File, header: &FileHeader, length: u64) -> io::Result<Scanned> {
    let seed = header.seed();
    let candidates = candidates(file, seed, length)?;
    let durable = candidates.iter().map(|candidate| candidate.head.durable).max().unwrap_or(0);
    let mut scanned = Scanned { records: Vec::new(), end: BLOCK, durable, damage: Vec::new() };
    for candidate in candidates {
        let Candidate { head, record, extent, follows } = candidate;
        // What was damaged before the commit that vouches says nothing against it.
        let begins = extent.offset == durable.next_multiple_of(BLOCK);
        if extent.offset >= durable {
            if !(follows || begins) {
                break;
            }
            match payload(file, (head.payload, head.digest), extent, length)? {
                Payload::Whole => {}
                // Of media that no longer counts, in a bucket that was sealed: what follows it is none the worse.
                Payload::Hole => continue,
                Payload::Wrong => break,
            }
        }
        if !follows {
            scanned.damage.push(scanned.end..extent.offset);
        }
        scanned.end = extent.end;
        scanned.records.push(Stored { record, stamp: head.stamp, digest: head.digest, bucket: header.id, extent });
    }
    if scanned.end < durable {
        scanned.damage.push(scanned.end..durable);
    }
    Ok(scanned)
}

fn candidates(file: &dyn File, seed: u64, length: u64) -> io::Result<Vec<Candidate>> {
    let (mut found, mut at, mut follows) = (Vec::new(), BLOCK, true);
    while at + HEAD_BYTES as u64 <= length {
        // Within a commit records follow each other; the next commit begins on a block.
        let block = at.next_multiple_of(BLOCK);
        let next = match head_at(file, seed, at, length)? {
            None if block != at => head_at(file, seed, block, length)?.map(|found| (block, found)),
            here => here.map(|found| (at, found)),
        };
        if let Some((offset, (head, record))) = next {
            let extent = head.extent(offset);
            at = extent.end;
            found.push(Candidate { head, record, extent, follows });
            follows = true;
            continue;
        }
        follows = false;
        let Some(next) = search(file, seed, at + GRAIN, length)? else { break };
        at = next;
    }
    Ok(found)
}

/// Head and record at `offset`, if there is one that this log wrote for this place.
pub(super) fn head_at(file: &dyn File, seed: u64, offset: u64, length: u64) -> io::Result<Option<(Head, Record)>> {
    if offset + HEAD_BYTES as u64 > length {
        return Ok(None);
    }
    // Nearly every head and meta lies within the first half KiB.
    let mut bytes = vec![0; (length - offset).min(512) as usize];
    file.read_at(&mut bytes, offset)?;
    let Some(head) = Head::decode(&bytes) else { return Ok(None) };
    let whole = HEAD_BYTES as u64 + u64::from(head.meta);
    if offset + whole > length {
        return Ok(None);
    }
    if whole > bytes.len() as u64 {
        bytes.resize(whole as usize, 0);
        file.read_at(&mut bytes, offset)?;
    }
    let meta = &bytes[HEAD_BYTES..whole as usize];
    if !head.holds(seed, offset, meta) {
        return Ok(None);
    }
    Ok(Record::decode(head.kind, meta).ok().map(|record| (head, record)))
}

/// What was recorded at the beginning of a damaged `stretch`, if enough of its head and meta is left to say. Not checked:
/// it may be wrong.
pub(super) fn guess_at(file: &dyn File, stretch: Range<u64>) -> io::Result<Option<Record>> {
    for offset in [stretch.start, stretch.start.next_multiple_of(BLOCK)] {
        let mut bytes = vec![0; stretch.end.saturating_sub(offset).min(BLOCK) as usize];
        file.read_at(&mut bytes, offset)?;
        let Some(head) = Head::decode(&bytes) else { continue };
        let meta = bytes.get(HEAD_BYTES..HEAD_BYTES + head.meta as usize);
        if let Some(record) = meta.and_then(|meta| Record::decode(head.kind, meta).ok()) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The next place from `from` on where a record begins.
fn search(file: &dyn File, seed: u64, from: u64, length: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    while at < length {
        let mut bytes = vec![0; (length - at).min(PIECE_BYTES) as usize];
        file.read_at(&mut bytes, at)?;
        let places = bytes.chunks(GRAIN as usize).enumerate().filter(|(_, place)| place.starts_with(&RECORD_MAGIC));
        for (index, _) in places {
            let place = at + index as u64 * GRAIN;
            if head_at(file, seed, place, length)?.is_some() {
                return Ok(Some(place));
            }
        }
        at += PIECE_BYTES;
    }
    Ok(None)
}

/// What lies where a payload should.
pub(super) enum Payload {
    Whole,
    /// Its whole blocks are zero and should not be: its space was given back.
    Hole,
    Wrong,
}

/// Reads the payload of `size` bytes that lies at `extent`.
pub(super) fn payload(
    file: &dyn File,
    (size, digest): (u64, Digest),
    extent: Extent,
    length: u64,
) -> io::Result<Payload> {
    if size == 0 {
        return Ok(Payload::Whole);
    }
    let end = extent.payload.saturating_add(size);
    if end > length {
        return Ok(Payload::Wrong);
    }
    let (mut at, mut hasher) = (extent.payload, XxHash3_128::new());
    let blocks = end / BLOCK * BLOCK;
    let mut hole = size >= HOLE_BYTES_MIN;
    let mut bytes = vec![0; size.min(PIECE_BYTES) as usize];
    while at < end {
        let piece = &mut bytes[..(end - at).min(PIECE_BYTES) as usize];
        file.read_at(piece, at)?;
        hasher.write(piece);
        let in_blocks = blocks.saturating_sub(at).min(piece.len() as u64) as usize;
        hole = hole && piece[..in_blocks].iter().all(|byte| *byte == 0);
        at += piece.len() as u64;
    }
    Ok(match broken(Fault::UncheckedPayloads) || Digest(hasher.finish_128()) == digest {
        true => Payload::Whole,
        false if hole => Payload::Hole,
        false => Payload::Wrong,
    })
}
