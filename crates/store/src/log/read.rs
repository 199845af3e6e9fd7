//! Payloads from bucket files, whole and verified: bytes that are not those that were stored never leave. Files are
//! opened for each read, which costs microseconds beside a read of a segment and needs no bound on open files.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use headwater_model::row::Row;

use super::broken::{Fault, broken};
use super::bucket::Stored;
use super::format::{Record, file_name};
use super::{Shared, index};
use crate::disk::Disk;
use crate::slab::Body;
use crate::{StoreError, Tier};

/// Reads and verifies the payload of `stored`; `InvalidData` if the bytes are wrong.
pub(super) fn payload(disk: &dyn Disk, stored: &Stored) -> io::Result<Body> {
    let Record::Row(row) = &stored.record else { return Ok(Body::default()) };
    if row.size == 0 {
        return Ok(Body::default());
    }
    let length = usize::try_from(row.size).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    disk.open(&file_name(stored.bucket))?.read_at(&mut bytes, stored.extent.payload)?;
    let body = Body::from(Bytes::from(bytes));
    if body.digest() != stored.digest && !broken(Fault::UncheckedPayloads) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(body)
}

impl Shared {
    /// The bytes of `row` if they are in memory.
    pub(super) fn hot(&self, row: &Row) -> Option<Body> {
        self.window.get(row.published).or_else(|| self.dvr.get(row.published))
    }

    /// The bytes of `row`: from the live window, else the DVR cache, else the disk.
    pub(super) async fn read(self: &Arc<Self>, row: &Row, range: Range<u64>) -> Result<(Body, Tier), StoreError> {
        if let Some(body) = self.hot(row) {
            return Ok((body.slice(range), Tier::Memory));
        }
        self.have(&row.key).await?;
        if row.size == 0 {
            return self.locate(row).map(|_| (Body::default(), Tier::Store)).ok_or(StoreError::Gone);
        }
        let (body, tier) = self.dvr.get_or_read(row.published, || self.read_from_disk(row)).await?;
        Ok((body.slice(range), tier))
    }

    async fn read_from_disk(self: &Arc<Self>, row: &Row) -> Result<(Body, Tier), StoreError> {
        loop {
            let stored = self.locate(row).ok_or(StoreError::Gone)?;
            let (disk, reading) = (Arc::clone(&self.disk), Arc::clone(&stored));
            let read = tokio::task::spawn_blocking(move || payload(&*disk, &reading)).await;
            let error = match read {
                Ok(Ok(body)) => return Ok((body, Tier::Store)),
                Ok(Err(error)) => error,
                Err(stopped) => io::Error::other(stopped),
            };
            match self.locate(row) {
                None => return Err(StoreError::Gone),
                // Carried forward meanwhile: read again from where it lies now.
                Some(now) if now.bucket != stored.bucket => {}
                Some(_) => return Err(damage(&error, &stored)),
            }
        }
    }

    /// Where the bytes of `row` lie; `None` if they were replaced or removed, or have expired.
    fn locate(&self, row: &Row) -> Option<Arc<Stored>> {
        let expiry = self.expiry();
        let index = self.index.read();
        let stored = index.current(&row.key)?;
        let current = index::row(stored)?;
        // A removed segment keeps its version, and none of its bytes.
        let same = current.version == row.version && current.digest == row.digest;
        (same && expiry.keeps(current)).then(|| Arc::clone(stored))
    }
}

/// Whether a retry would give the same: the bytes are wrong or gone.
pub(super) fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    // A sector that cannot be read is no better.
    matches!(error.kind(), InvalidData | UnexpectedEof | NotFound) || super::recover::is_bad_sector(error)
}

fn damage(error: &io::Error, stored: &Stored) -> StoreError {
    let place = format!("{} at {}", file_name(stored.bucket), stored.extent.payload);
    match error.kind() {
        io::ErrorKind::InvalidData => StoreError::Damaged(format!("{place}: wrong checksum")),
        _ if is_lost(error) => StoreError::Damaged(format!("{place}: {error}")),
        _ => StoreError::Unavailable(format!("{place}: {error}")),
    }
}
