//! One bucket file while it takes records and after: append, sync, roll back, seal. Must never sync again after a
//! failed sync, and never append behind bytes whose fate is unknown: who sees an error here seals or drops the bucket.

use std::collections::HashSet;
use std::io::{self, IoSlice};
use std::sync::Arc;

use headwater_model::row::{Digest, Keep, Key};
use headwater_model::{Millis, Timestamp};

use super::format::{self, BLOCK, Class, Extent, Facts, FileHeader, GRAIN, Head, Record, Trailer};
use super::summary::Summary;
use crate::disk::{Disk, File};
use crate::slab::Body;

static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// A record that is to be written.
pub(crate) struct Draft {
    pub(crate) record: Record,
    pub(crate) stamp: Timestamp,
    pub(crate) digest: Digest,
    pub(crate) payload: Body,
}

impl Draft {
    /// A record without a payload.
    pub(crate) fn bare(record: Record, stamp: Timestamp) -> Self {
        Self { record, stamp, digest: Digest(0), payload: Body::default() }
    }
}

/// A record that is durable.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    pub(crate) stamp: Timestamp,
    pub(crate) digest: Digest,
    pub(crate) bucket: u64,
    pub(crate) extent: Extent,
}

impl Stored {
    /// When the record and its media may go; `None` if it is kept until it is replaced.
    pub(crate) fn expires(&self, grace: Millis) -> Option<Timestamp> {
        match &self.record {
            Record::Row(row) => expires(row.keep, grace),
            _ => None,
        }
    }
}

/// When a row kept as `keep` says may go: records outlive their media, because the selection of the next two segments
/// looks at them.
pub(crate) fn expires(keep: Keep, grace: Millis) -> Option<Timestamp> {
    match keep {
        Keep::Standing => None,
        Keep::Until(until) => Some(until + grace),
    }
}

/// A bucket file and what lies in it.
pub(crate) struct Bucket {
    pub(crate) header: FileHeader,
    /// Open while the bucket takes records.
    pub(crate) file: Option<Arc<dyn File>>,
    /// Durable bytes of records; 0 before the first commit.
    pub(crate) length: u64,
    /// Where the append in progress ends.
    written: u64,
    /// Whether a footer tells of all that lies in it: then no scan needs its payloads, and parts of it may be freed.
    pub(crate) sealed: bool,
    /// Bytes of it whose space was given back.
    pub(crate) freed: u64,
    /// Whether the records of its segments are on the disk only: `records` has the others.
    pub(crate) is_deferred: bool,
    /// Objects of which it has a record that took the place of one in another bucket.
    pub(crate) replaces: HashSet<Key>,
    /// Everything durable in it, in the order of the file.
    pub(crate) records: Vec<Arc<Stored>>,
    /// No row in it, and none that one of it replaced, is kept past this.
    pub(crate) expires: Timestamp,
    /// The highest stamp that is durable in it.
    pub(crate) highest: Timestamp,
    /// When it was last looked at for reclaiming.
    pub(crate) looked: Timestamp,
}

impl Bucket {
    /// A new file for records of `header.class`; its name is not durable yet.
    pub(crate) fn create(disk: &dyn Disk, header: FileHeader) -> io::Result<Self> {
        let file = disk.create(&header.file_name())?;
        let (looked, highest) = (header.created, Timestamp::MIN);
        Ok(Self {
            header,
            highest,
            file: Some(file),
            length: 0,
            written: 0,
            sealed: false,
            freed: 0,
            is_deferred: false,
            replaces: HashSet::new(),
            records: vec![],
            expires: Timestamp::MIN,
            looked,
        })
    }

    /// A bucket found at start.
    pub(crate) fn found(header: FileHeader, length: u64) -> Self {
        let (looked, highest) = (header.created, header.created);
        Self {
            header,
            highest,
            file: None,
            length,
            written: length,
            sealed: false,
            freed: 0,
            is_deferred: false,
            replaces: HashSet::new(),
            records: vec![],
            expires: Timestamp::MIN,
            looked,
        }
    }

    /// Whether the name has still to be made durable.
    pub(crate) fn is_fresh(&self) -> bool {
        self.length == 0
    }

    /// Writes `drafts` behind what is durable, in one vectored write. Not durable before [`Bucket::sync`].
    pub(crate) fn append(&mut self, drafts: &[&Draft]) -> io::Result<Vec<Extent>> {
        let start = self.length.next_multiple_of(BLOCK).max(BLOCK);
        let seed = self.header.seed();
        let (mut heads, mut pieces, mut extents) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = start;
        for draft in drafts {
            let facts =
                Facts { payload: draft.payload.len(), durable: self.length, stamp: draft.stamp, digest: draft.digest };
            let from = heads.len();
            let head = Head::encode(&draft.record, &facts, seed, at, &mut heads);
            let extent = head.extent(at);
            pieces.push((from..heads.len(), extent));
            at = extent.end;
            extents.push(extent);
        }
        let first = self.header.encode_block();
        let mut slices = Vec::with_capacity(4 * drafts.len() + 2);
        if self.is_fresh() {
            slices.push(IoSlice::new(&first));
        }
        for ((range, extent), draft) in pieces.into_iter().zip(drafts) {
            let head = range.len() as u64;
            slices.push(IoSlice::new(&heads[range]));
            slices.push(zeros(extent.payload - extent.offset - head));
            slices.extend(draft.payload.chunks().iter().map(|chunk| IoSlice::new(chunk)));
            slices.push(zeros(extent.end - extent.payload - draft.payload.len()));
        }
        let offset = if self.is_fresh() { 0 } else { start };
        self.written = at;
        self.file()?.write_at(&mut slices, offset)?;
        Ok(extents)
    }

    /// Makes the append in progress durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    /// Counts the append in progress as durable.
    pub(crate) fn settle(&mut self, stored: impl Iterator<Item = Arc<Stored>>, grace: Millis) {
        self.length = self.written;
        for stored in stored {
            self.note(stored, grace);
        }
    }

    /// Takes a durable record into account.
    pub(crate) fn note(&mut self, stored: Arc<Stored>, grace: Millis) {
        if let Some(expires) = stored.expires(grace) {
            self.expires = self.expires.max(expires);
        }
        self.highest = self.highest.max(stored.stamp);
        self.records.push(stored);
    }

    /// Cuts off what is not durable.
    pub(crate) fn roll_back(&mut self) -> io::Result<()> {
        self.written = self.length;
        let file = self.file()?;
        file.truncate(self.length)?;
        file.sync_data()
    }

    /// Takes no more records from here on; a footer spares the next start a scan. Without one the bucket is as good,
    /// only slower to open, so that an error here is no loss.
    pub(crate) fn seal(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        self.write_footer(&*file, now, self.summary(now))?;
        self.sealed = true;
        Ok(())
    }

    /// The bytes of its summary, where it has one.
    fn summary(&self, now: Timestamp) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some((summary, in_full)) = Summary::of(self) {
            summary.encode(&in_full, &mut bytes);
            let offset = self.length.next_multiple_of(BLOCK);
            bytes.extend(Trailer::of(&bytes, offset, now, self.header.seed()).encode_of_summary());
        }
        bytes
    }

    /// Writes the footer behind the records. Without a `summary` it is read as a whole at each start: a bucket that was
    /// found by a scan has none, because what it holds may be void.
    pub(crate) fn write_footer(&self, file: &dyn File, now: Timestamp, summary: Vec<u8>) -> io::Result<()> {
        let mut sorted: Vec<&Arc<Stored>> = self.records.iter().collect();
        sorted.sort_by(|one, other| order(one).cmp(&order(other)));
        let mut footer = Vec::new();
        for stored in sorted {
            format::encode_item(&stored.record, stored.stamp, stored.digest, stored.extent, &mut footer);
        }
        let start = self.length.next_multiple_of(BLOCK);
        let offset = start + summary.len() as u64;
        let trailer = Trailer::of(&footer, offset, now, self.header.seed()).encode();
        file.write_at(&mut [IoSlice::new(&summary), IoSlice::new(&footer)], start)?;
        if !summary.is_empty() {
            // A start that goes by the summary does not look at the footer: the trailer vouches for it.
            file.sync_data()?;
        }
        file.write_at(&mut [IoSlice::new(&trailer)], offset + footer.len() as u64)?;
        file.sync_data()
    }

    fn file(&self) -> io::Result<&Arc<dyn File>> {
        self.file.as_ref().ok_or_else(|| io::Error::other("the bucket is sealed"))
    }
}

/// By object, then age: a rendition's segments lie together.
fn order(stored: &Stored) -> (u8, Option<&headwater_model::Key>, Timestamp) {
    match &stored.record {
        Record::Row(row) => (0, Some(&row.key), stored.stamp),
        Record::Removal { key, .. } => (1, Some(key), stored.stamp),
        Record::Entry { .. } | Record::Void { .. } | Record::Mark => (2, None, stored.stamp),
    }
}

fn zeros(length: u64) -> IoSlice<'static> {
    debug_assert!(length <= BLOCK.max(GRAIN));
    IoSlice::new(&ZEROS[..length as usize])
}

/// Whether a bucket has taken all it should: by size, or because its time span is over.
pub(crate) fn is_full(bucket: &Bucket, bytes_max: u64, now: Timestamp) -> bool {
    let class: Class = bucket.header.class;
    bucket.length >= bytes_max || now.nanos_since(bucket.header.created) > class.span_nanos()
}
