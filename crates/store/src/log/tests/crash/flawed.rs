//! Engines that are broken on purpose. Each has to be caught by the schedules that a healthy one passes: a test that
//! cannot fail proves nothing.

use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::super::broken::{Breaking, Fault};
use super::*;
use crate::disk::File;

/// A broken engine has to be caught within so many seeds.
const CAUGHT_WITHIN: u64 = 400;

/// How an engine is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It answers before the sync: the disk says yes and does nothing.
    AcksBeforeSync,
    /// It syncs again after a failed sync, and takes that for success.
    RetriesSync,
    /// Something in the engine itself.
    Inside(Fault),
}

/// The disk as an engine with `flaw` sees it.
pub(super) fn disk(flaw: Option<Flaw>, disk: Arc<Simulated>) -> Arc<dyn Disk> {
    match flaw {
        Some(flaw @ (Flaw::AcksBeforeSync | Flaw::RetriesSync)) => Arc::new(Flawed { disk, flaw }),
        Some(Flaw::Inside(_)) | None => disk,
    }
}

#[test]
fn an_ack_before_the_sync_is_caught() {
    check_caught(Flaw::AcksBeforeSync);
}

#[test]
fn a_failed_sync_that_is_retried_is_caught() {
    check_caught(Flaw::RetriesSync);
}

#[test]
fn records_without_a_check_are_caught() {
    check_caught(Flaw::Inside(Fault::UncheckedRecords));
}

#[test]
fn payloads_without_a_digest_are_caught() {
    check_caught(Flaw::Inside(Fault::UncheckedPayloads));
}

#[test]
fn expiry_that_unlinks_an_open_bucket_is_caught() {
    check_caught(Flaw::Inside(Fault::UnlinksOpen));
}

#[test]
fn a_standing_record_that_is_not_carried_forward_is_caught() {
    check_caught(Flaw::Inside(Fault::ForgetsStanding));
}

#[test]
fn a_number_that_is_overlooked_on_the_disk_is_caught() {
    check_caught(Flaw::Inside(Fault::ShortSpans));
}

fn check_caught(flaw: Flaw) {
    let fault = if let Flaw::Inside(fault) = flaw { Some(fault) } else { None };
    let _breaking = Breaking::with(fault);
    let live = |seed| catch_unwind(AssertUnwindSafe(|| World::new(seed, Some(flaw)).live(&mut Met::default())));
    let caught = (0..CAUGHT_WITHIN).find_map(|seed| live(seed).err().map(|panic| (seed, panic)));
    let Some((seed, panic)) = caught else { panic!("{flaw:?} passes {CAUGHT_WITHIN} seeds") };
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    println!("{flaw:?} is caught by seed {seed}: {}", said.unwrap_or("a panic without words"));
}

struct Flawed {
    disk: Arc<Simulated>,
    flaw: Flaw,
}

impl Flawed {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FlawedFile { file, flaw: self.flaw })
    }
}

impl Disk for Flawed {
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.disk.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.disk.open(name)?))
    }
    fn in_use(&self) -> io::Result<bool> {
        self.disk.in_use()
    }
    fn open_to_repair(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.disk.open_to_repair(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn unlink(&self, name: &str) -> io::Result<()> {
        self.disk.unlink(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
    fn total_bytes(&self) -> io::Result<u64> {
        self.disk.total_bytes()
    }
    fn place(&self) -> String {
        self.disk.place()
    }
}

struct FlawedFile {
    file: Arc<dyn File>,
    flaw: Flaw,
}

impl File for FlawedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.file.write_at(slices, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        match self.flaw {
            Flaw::AcksBeforeSync => Ok(()),
            _ => self.file.sync_data().or_else(|_| self.file.sync_data()),
        }
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.file.punch(offset, length)
    }
}
