//! Room for what is being published now, when the volume gets full: what would expire next goes before its time, so that
//! a live event never fails for the sake of its own past. Never what is younger than the grace, never standing records.

use std::io::{self, IoSlice};

use headwater_model::Timestamp;

use super::committer::Committer;
use super::format::Class;
use crate::disk::Disk;

/// A volume holds at least this many buckets, or an early expiry would take too much at once.
const BUCKETS_MIN: u64 = 16;
/// No bucket is smaller than this for lack of space.
const BUCKET_BYTES_MIN: u64 = 1 << 20;

/// Bytes of a bucket on a volume of `total` bytes, if `most` were chosen.
pub(super) fn bucket_bytes(most: u64, total: u64) -> u64 {
    most.min((total / BUCKETS_MIN).max(BUCKET_BYTES_MIN.min(most)))
}

/// A file that takes up space until the volume has none left: then it goes, so that expiry, which has to write before
/// it can free anything, never stands still on a volume that somebody filled to the last byte.
#[derive(Default)]
pub(super) struct Ballast {
    is_there: bool,
    /// It could not be written: who tried again each second would say so each second. The next start tries again.
    failed: bool,
}

const BALLAST: &str = "ballast";

impl Ballast {
    pub(super) fn find(disk: &dyn Disk) -> Self {
        Self { is_there: disk.open(BALLAST).is_ok(), failed: false }
    }

    /// Takes up `bytes` again, if they were given up and there is plenty.
    fn restore(&mut self, disk: &dyn Disk, bytes: u64) {
        if self.is_there || self.failed || bytes == 0 {
            return;
        }
        let made = disk.create(BALLAST).and_then(|file| {
            file.write_at(&mut [IoSlice::new(&vec![0; bytes as usize])], 0)?;
            file.sync_data()
        });
        match made {
            Ok(()) => self.is_there = true,
            Err(error) => {
                self.failed = true;
                tracing::warn!(%error, "the file `ballast` could not be written; expiry may stand still on a full disk");
                let _ = disk.unlink(BALLAST);
            }
        }
    }

    /// Gives the space up; whether there was any.
    fn drop(&mut self, disk: &dyn Disk) -> bool {
        let was_there = std::mem::take(&mut self.is_there);
        was_there && disk.unlink(BALLAST).is_ok()
    }
}

impl Committer {
    /// Makes a little room at once, where something failed for lack of it; whether that may help.
    pub(super) fn give_up_ballast(&mut self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::StorageFull && self.ballast.drop(&*self.shared.disk)
    }

    /// Once there is room for it, the ballast is taken on again.
    pub(super) fn restore_ballast(&mut self) {
        if !self.ballast.is_there && !self.is_low() {
            self.ballast.restore(&*self.shared.disk, self.shared.options.ballast_bytes);
        }
    }

    /// Whether publishes will be refused soon if nothing gives way.
    pub(super) fn is_low(&self) -> bool {
        let low = self.shared.options.reserve_bytes.saturating_add(self.shelf.bucket_bytes() / 2);
        self.shared.disk.free_bytes().is_ok_and(|free| free < low)
    }

    /// The bucket that goes before its time, if the volume is nearly full. Where only open buckets are left one of them
    /// is sealed, to be the next.
    pub(super) fn next_early(&mut self) -> Option<u64> {
        if self.freeing.is_some() || !self.is_low() {
            return None;
        }
        let now = self.shared.stamps.now();
        let young = |at: Timestamp| now.nanos_since(at) <= self.shared.options.grace.nanos();
        let media = self.shelf.buckets.values().filter(|bucket| bucket.header.class != Class::STANDING);
        let (open, closed): (Vec<_>, Vec<_>) = media.partition(|bucket| self.shelf.is_open(bucket.header.id));
        let due = closed.into_iter().filter(|bucket| !young(bucket.highest)).min_by_key(|bucket| bucket.expires);
        if let Some(bucket) = due {
            let bytes = bucket.length.saturating_sub(bucket.freed);
            tracing::warn!(
                bucket = bucket.header.file_name(), bytes, expires = ?bucket.expires,
                "the disk is nearly full: media goes before its time; enlarge the volume or shorten dvr_window_s"
            );
            self.shared.counters.expired_early(bytes);
            return Some(bucket.header.id);
        }
        let old = open.into_iter().filter(|bucket| !young(bucket.header.created)).min_by_key(|bucket| bucket.expires);
        let id = old.map(|bucket| bucket.header.id)?;
        self.shelf.seal(id, now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::bucket_bytes;

    #[test]
    fn buckets_are_small_on_small_volumes() {
        assert_eq!(bucket_bytes(1 << 30, 1 << 40), 1 << 30);
        assert_eq!(bucket_bytes(1 << 30, 1 << 30), 1 << 26);
        assert_eq!(bucket_bytes(1 << 30, 0), 1 << 20);
        assert_eq!(bucket_bytes(1000, 0), 1000, "what was chosen is never exceeded");
    }
}
