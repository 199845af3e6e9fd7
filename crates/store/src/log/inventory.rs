//! The list of the buckets there should be, in a small text file of its own, so that a bucket file that somebody or
//! something took away is missed and named. A line is added when a bucket gets its first record and before one goes; a
//! start writes the file anew. Must never stand in the way of a write: without the list nothing is lost but the alarm.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::format::{file_id, file_name};
use crate::disk::{Disk, File};

/// The name of the list.
pub(crate) const INVENTORY: &str = "inventory";
const FRESH: &str = "inventory.new";
/// A list longer than this is none of ours: a thousand buckets a day make it in a century.
const BYTES_MAX: u64 = 64 << 20;

/// The list, open for more lines.
#[derive(Default)]
pub(crate) struct Inventory {
    file: Option<(Arc<dyn File>, u64)>,
    listed: BTreeSet<u64>,
}

impl Inventory {
    /// Writes the list anew, of `present`.
    pub(crate) fn renew(disk: &dyn Disk, present: impl Iterator<Item = u64>) -> Self {
        let listed: BTreeSet<u64> = present.collect();
        let text: String = listed.iter().map(|id| line('+', *id)).collect();
        let written = (|| {
            let _ = disk.unlink(FRESH);
            let file = disk.create(FRESH)?;
            file.write_at(&mut [IoSlice::new(text.as_bytes())], 0)?;
            file.sync_data()?;
            disk.rename(FRESH, INVENTORY)?;
            disk.sync_dir()?;
            Ok(file)
        })();
        let file = written.inspect_err(complain).ok().map(|file| (file, text.len() as u64));
        Self { file, listed }
    }

    /// A bucket is there from now on.
    pub(crate) fn add(&mut self, id: u64) {
        if self.listed.insert(id) {
            // Without a sync: a bucket that is not on the list after a crash is put there by the next start.
            self.write(&line('+', id), false);
        }
    }

    /// A bucket is about to go.
    pub(crate) fn remove(&mut self, id: u64) {
        if self.listed.remove(&id) {
            self.write(&line('-', id), true);
        }
    }

    fn write(&mut self, line: &str, sync: bool) {
        let Some((file, length)) = &mut self.file else { return };
        let written = file.write_at(&mut [IoSlice::new(line.as_bytes())], *length).and_then(|()| match sync {
            true => file.sync_data(),
            false => Ok(()),
        });
        match written {
            Ok(()) => *length += line.len() as u64,
            Err(error) => {
                complain(&error);
                self.file = None;
            }
        }
    }
}

/// The buckets that `disk` should have as its list says; none if there is no list or none that can be read.
pub(crate) fn listed(disk: &dyn Disk) -> BTreeSet<u64> {
    read(disk).unwrap_or_else(|error| {
        tracing::error!(%error, file = INVENTORY, "the list of buckets cannot be read; a missing one is not noticed");
        BTreeSet::new()
    })
}

fn read(disk: &dyn Disk) -> io::Result<BTreeSet<u64>> {
    let file = match disk.open(INVENTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        file => file?,
    };
    let mut bytes = vec![0; file.length()?.min(BYTES_MAX) as usize];
    file.read_at(&mut bytes, 0)?;
    let mut listed = BTreeSet::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        // A line that was torn, or that somebody changed, says nothing.
        let Some((sign, name)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else { continue };
        match (sign, file_id(name)) {
            ("+", Some(id)) => drop(listed.insert(id)),
            ("-", Some(id)) => drop(listed.remove(&id)),
            _ => {}
        }
    }
    Ok(listed)
}

fn line(sign: char, id: u64) -> String {
    format!("{sign} {}\n", file_name(id))
}

fn complain(error: &io::Error) {
    tracing::warn!(%error, "the list of buckets cannot be written; a missing bucket file would not be noticed");
}
