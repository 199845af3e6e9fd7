//! Space of media that no longer counts, in buckets that it shares with media that does: an event was deleted, or a
//! candidate replaced. Its payloads are punched out of the sealed buckets, a few at a time; heads and footers stay. Must
//! never touch a bucket without a footer: a scan of it would take the zeros for a torn write.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::bucket::Stored;
use super::format::{BLOCK, HOLE_BYTES_MIN, file_name, payload_bytes};
use super::shelf::Shelf;
use crate::disk::Disk;

/// Bytes given back in one piece of work: a file system takes a quarter of a millisecond for a MiB.
const BYTES_PER_STEP: u64 = 2 << 20;
/// Payloads in one piece of work, however small they are.
const PLACES_PER_STEP: usize = 64;

/// What is still to be given back, by bucket.
#[derive(Default)]
pub(crate) struct Holes {
    waiting: BTreeMap<u64, Vec<Range<u64>>>,
}

impl Holes {
    /// The payload of `stored` is not needed any more.
    pub(crate) fn add(&mut self, stored: &Stored) {
        let (from, length) = (stored.extent.payload, payload_bytes(&stored.record));
        // Only whole blocks give space back.
        let place = from.next_multiple_of(BLOCK)..(from + length) / BLOCK * BLOCK;
        if length >= HOLE_BYTES_MIN {
            self.waiting.entry(stored.bucket).or_default().push(place);
        }
    }

    /// Gives one piece of space back; whether there was any.
    ///
    /// # Errors
    /// Those of the disk; the piece is tried again.
    pub(crate) fn punch(&mut self, disk: &dyn Disk, shelf: &mut Shelf) -> io::Result<bool> {
        self.waiting.retain(|bucket, _| shelf.buckets.contains_key(bucket));
        let sealed = |id: &u64| shelf.buckets.get(id).is_some_and(|bucket| bucket.sealed);
        let Some(id) = self.waiting.keys().copied().find(sealed) else { return Ok(false) };
        let Some(places) = self.waiting.get_mut(&id) else { return Ok(false) };
        let file = disk.open_to_repair(&file_name(id))?;
        let mut freed = 0;
        for _ in 0..PLACES_PER_STEP {
            let Some(place) = places.last().filter(|_| freed < BYTES_PER_STEP) else { break };
            let length = place.end - place.start;
            match file.punch(place.start, length) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    tracing::warn!("the file system cannot free parts of files; space comes back bucket by bucket");
                    self.waiting.clear();
                    return Ok(false);
                }
                done => done?,
            }
            places.pop();
            freed += length;
        }
        if places.is_empty() {
            self.waiting.remove(&id);
        }
        if let Some(bucket) = shelf.buckets.get_mut(&id) {
            bucket.freed += freed;
        }
        Ok(true)
    }
}
