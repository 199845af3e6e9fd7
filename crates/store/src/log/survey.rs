//! What lies in a data directory, seen without changing anything, whether or not a server runs on it: for the commands
//! that check it and say what it holds. The same reading and the same fold as at a start, so that what counts here is
//! what counts there. Must never write, create or lock anything.

mod aside;
mod check;
mod holdings;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use headwater_model::event::Entry;
use headwater_model::row::EventId;
use headwater_model::{EventName, Tenant, Timestamp};
use serde::Serialize;

use super::Options;
use super::bucket::{Bucket, Stored};
use super::format::{Class, FORMAT_VERSION, FileHeader, Record, file_id, file_name};
use super::index::{Expiry, Index};
use super::inventory;
use super::look::{self, Footer, look};
use super::recover::{drop_voids, fold};
use super::scan::Scanned;
use super::shelf::Shelf;
use crate::disk::{Disk, File};
use aside::Aside;

pub use check::check;
pub use holdings::{Amount, Discounted, EventUse, Holdings, RetentionUse, holdings};
pub use report::{Damage, Later, Report, Subject, Torn, What};

/// Hears how far a survey is, and holds it back.
pub trait Pace: Sync {
    /// Payloads are about to be read: this many files, this many bytes.
    fn begin(&self, files: u64, bytes: u64);
    /// So many bytes were read from the directory; returns when more may be.
    fn read(&self, bytes: u64);
    /// So many of the bytes that were announced are dealt with, read or not.
    fn done(&self, bytes: u64);
}

/// Why there is nothing to tell of a directory.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// It is none of ours.
    #[error(
        "{place} holds no buckets (files named like 0000000000000001.hwl): nothing has been stored in it, or it is not a \
         data directory; say which one is with --data DIR or HEADWATER_DATA"
    )]
    NoData {
        /// The directory.
        place: String,
    },
    /// A later build wrote a file.
    #[error(
        "{file} has format version {version}, this build reads up to {FORMAT_VERSION}; run the newer build's command"
    )]
    Later {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
    },
    /// The directory or a file cannot be read.
    #[error("{place} cannot be read: {error}; run this as the user that the server runs as")]
    Unreadable {
        /// What.
        place: String,
        /// Why.
        error: io::Error,
    },
}

/// Whether a record is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is what the server goes by.
    Counts,
    /// Its time is over; it goes with its bucket.
    Expired,
    /// A later record took its place, or it was removed.
    Superseded,
    /// Its event was deleted.
    Deleted,
}

/// What became of a bucket file, beside its records.
struct Surveyed {
    header: FileHeader,
    /// Bytes of the file when it was looked at.
    length: u64,
    /// Bytes that it takes on the volume.
    allocated: u64,
    /// `None` for a file that its footer tells of.
    scanned: Option<Leftover>,
}

/// What a scan found beside the records.
struct Leftover {
    /// Where there were records and none can be read.
    damage: Vec<Range<u64>>,
    footer: Footer,
    /// Where the last whole record ends.
    end: u64,
}

/// A file that tells nothing of its records.
enum Closed {
    Blank,
    NoHeader,
    Later(u32),
    /// The system refuses to read it.
    Unreadable(io::Error),
}

/// What lies in a directory.
struct Survey {
    online: bool,
    now: Timestamp,
    /// Never appended to.
    shelf: Shelf,
    index: Index,
    files: BTreeMap<u64, Surveyed>,
    closed: BTreeMap<u64, Closed>,
    /// Buckets that the list of buckets has and the directory has not.
    missing: Vec<u64>,
    /// How many files went while they were being read.
    vanished: u64,
    names: HashMap<EventId, (Tenant, EventName)>,
}

impl Survey {
    /// Looks at every bucket of `disk`: footers, and scans of those without.
    ///
    /// # Errors
    /// [`SurveyError`], with what to do.
    fn take(disk: &Arc<dyn Disk>, now: Timestamp, pace: &dyn Pace) -> Result<Self, SurveyError> {
        let unreadable = |error| SurveyError::Unreadable { place: disk.place(), error };
        let online = disk.in_use().map_err(unreadable)?;
        let ids: BTreeSet<u64> = disk.list().map_err(unreadable)?.iter().filter_map(|name| file_id(name)).collect();
        let missing = missing(&**disk, &ids);
        if ids.is_empty() && missing.is_empty() {
            return Err(SurveyError::NoData { place: disk.place() });
        }
        let Options { grace, bucket_bytes, .. } = Options::default();
        let next_id = ids.iter().max().map_or(1, |id| id + 1);
        let mut survey = Self {
            online,
            now,
            shelf: Shelf::new(Arc::clone(disk), grace, bucket_bytes, next_id),
            index: Index::default(),
            files: BTreeMap::new(),
            closed: BTreeMap::new(),
            missing,
            vanished: 0,
            names: HashMap::new(),
        };
        for id in ids {
            survey.look_at(&**disk, id, pace)?;
        }
        survey.note_names();
        drop(drop_voids(&mut survey.shelf));
        survey.index = fold(&mut survey.shelf);
        Ok(survey)
    }

    fn look_at(&mut self, disk: &dyn Disk, id: u64, pace: &dyn Pace) -> Result<(), SurveyError> {
        let place = || format!("{}/{}", disk.place(), file_name(id));
        let file = match disk.open(&file_name(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.vanished += 1;
                return Ok(());
            }
            file => file.map_err(|error| SurveyError::Unreadable { place: place(), error })?,
        };
        let sizes = file.length().and_then(|length| Ok((length, file.allocated()?)));
        let (length, allocated) = sizes.map_err(|error| SurveyError::Unreadable { place: place(), error })?;
        match read(&Aside::by_piece(file, pace), id) {
            Ok((bucket, scanned)) => {
                self.files.insert(id, Surveyed { header: bucket.header.clone(), length, allocated, scanned });
                self.shelf.buckets.insert(id, bucket);
            }
            Err(closed) => {
                self.closed.insert(id, closed);
            }
        }
        Ok(())
    }

    /// Every life of an event that any record tells the name of, those that are over too.
    fn note_names(&mut self) {
        let mut names = HashMap::new();
        for stored in self.shelf.buckets.values().flat_map(|bucket| &bucket.records) {
            let Record::Entry { entry, ended, .. } = &stored.record else { continue };
            let (tenant, name) = entry.names();
            let alive = entry.alive().map(|event| event.id);
            for id in alive.into_iter().chain(*ended) {
                names.insert(id, (tenant.clone(), name.clone()));
            }
        }
        self.names = names;
    }

    fn expiry(&self) -> Expiry {
        Expiry { now: self.now, grace: Options::default().grace }
    }

    /// Whether `stored` is needed: what the server would answer with, or go by after a start.
    fn standing(&self, stored: &Stored) -> Standing {
        let counts_if = |needed| if needed { Standing::Counts } else { Standing::Superseded };
        let reaches = |horizon| self.shelf.reaches(horizon, stored.bucket);
        match &stored.record {
            Record::Row(row) if self.index.is_ended(row.key.event) => Standing::Deleted,
            Record::Row(_) if !self.index.is_current(stored) => Standing::Superseded,
            Record::Row(row) if !self.expiry().keeps(row) => Standing::Expired,
            Record::Row(_) => Standing::Counts,
            Record::Entry { ended, horizon, .. } => {
                counts_if(self.index.is_current(stored) || (ended.is_some() && reaches(*horizon)))
            }
            Record::Removal { horizon, .. } | Record::Void { horizon, .. } => counts_if(reaches(*horizon)),
            Record::Mark => Standing::Superseded,
        }
    }

    /// TENANT/EVENT of a life, if any record tells it.
    fn event_name(&self, id: EventId) -> Option<String> {
        self.names.get(&id).map(|(tenant, name)| format!("{tenant}/{name}"))
    }

    /// The events that are alive.
    fn alive(&self) -> Vec<(EventId, Tenant, EventName)> {
        let alive = |entry: Entry| entry.alive().map(|event| (event.id, event.tenant.clone(), event.name.clone()));
        self.index.entries().into_iter().filter_map(alive).collect()
    }
}

/// What a directory comes to when every record in it is read.
#[cfg(test)]
pub(super) fn whole_index(disk: &Arc<dyn Disk>) -> Result<Index, SurveyError> {
    struct Unpaced;
    impl Pace for Unpaced {
        fn begin(&self, _: u64, _: u64) {}
        fn read(&self, _: u64) {}
        fn done(&self, _: u64) {}
    }
    Survey::take(disk, Timestamp::MIN, &Unpaced).map(|survey| survey.index)
}

/// Seconds that a class keeps its rows for at most; `None` for what is kept until it is replaced.
fn retention_seconds(class: Class) -> Option<u64> {
    (class != Class::STANDING).then(|| 1u64.checked_shl(class.0.into()).unwrap_or(u64::MAX))
}

/// Buckets that should be there and are not. A server may have made or removed some since `present` was listed: it puts a
/// bucket on the list when it is there, and takes it off before it goes.
fn missing(disk: &dyn Disk, present: &BTreeSet<u64>) -> Vec<u64> {
    let is_there = |id: u64| disk.open(&file_name(id)).is_ok();
    let mut missing: Vec<u64> = inventory::listed(disk).difference(present).copied().collect();
    missing.retain(|id| !is_there(*id));
    if !missing.is_empty() {
        let listed = inventory::listed(disk);
        missing.retain(|id| listed.contains(id));
    }
    missing
}

/// What lies in a bucket file.
fn read(file: &dyn File, id: u64) -> Result<(Bucket, Option<Leftover>), Closed> {
    let grace = Options::default().grace;
    match look(file, id, grace).map_err(Closed::Unreadable)? {
        look::Found::Sealed(bucket) => Ok((*bucket, None)),
        look::Found::Scanned(header, scanned, footer) => {
            let Scanned { records, end, damage, .. } = scanned;
            let mut bucket = Bucket::found(header, end);
            records.into_iter().for_each(|stored| bucket.note(Arc::new(stored), grace));
            Ok((bucket, Some(Leftover { damage, footer, end })))
        }
        look::Found::Blank => Err(Closed::Blank),
        look::Found::NoHeader => Err(Closed::NoHeader),
        look::Found::Later(version) => Err(Closed::Later(version)),
    }
}
