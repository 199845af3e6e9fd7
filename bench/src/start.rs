//! Rows of the start: how long a log takes to open that holds 100 GiB in sealed buckets, beside one of 1 GiB; and one
//! of 1 GiB whose bucket was left open by a kill, which has to be scanned. And what a start leaves for later: how long
//! the first questions take whose answers lie on the disk. The data is zeros in sparse files, with
//! heads, footers and checksums as they would be.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use headwater_model::row::{Claim, Keep};
use headwater_model::{Millis, Rendition};
use headwater_store::conformance::{EVENT, claim, segment};
use headwater_store::disk::{Directory, Disk, File};
use headwater_store::log::Options;
use headwater_store::stamp::SystemClock;
use headwater_store::{Body, Log, Store};
use tokio::runtime::Builder;

use crate::append::Deaf;
use crate::report::{Comparison, Report, Target};

/// Segments of 1 MiB in a GiB.
const A_GIB: u64 = 1024;
/// Zeros shorter than this are written like everything else.
const HOLE_BYTES: usize = 64 << 10;

/// Measures all of them.
pub(crate) fn run(scratch: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    let (small, large, open) = (scratch.join("start-1"), scratch.join("start-100"), scratch.join("start-open"));
    fill(&small, A_GIB, true)?;
    fill(&large, 100 * A_GIB, true)?;
    let (mut against_small, mut against_open) = (Vec::new(), Vec::new());
    let (mut standing, mut first_rows, mut in_memory) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..rounds {
        // A start seals what it has scanned, so that each round needs another.
        let _ = std::fs::remove_dir_all(&open);
        fill(&open, A_GIB, false)?;
        let (small, large, open) = (opening(&small)?, opening(&large)?, opening(&open)?);
        against_small.push((large.open, small.open));
        against_open.push((large.open, open.open));
        standing.push((large.standing, small.standing));
        first_rows.push((large.first_rows, small.first_rows));
        in_memory = large.in_memory;
    }
    let mut add = |name, unit, rounds| report.add(Comparison { name, unit, rounds, target: Target::None });
    add("start, 100 GiB sealed beside 1 GiB sealed", "ms", against_small);
    add("start, 100 GiB sealed beside 1 GiB open", "ms", against_open);
    add("start, newest 32 numbers, 100 GiB beside 1 GiB", "ms", standing);
    add("start, first rows from the past, 100 GiB beside 1 GiB", "ms", first_rows);
    report.figure("start, rows of 100 GiB in memory once open", in_memory, "rows", None);
    Ok(())
}

/// What one start came to; times in milliseconds.
struct Start {
    open: f64,
    /// Rows in memory then.
    in_memory: f64,
    /// Until what a node has to know of an event is told.
    standing: f64,
    /// Until the rows of the two oldest segments are told: their bucket has to be loaded.
    first_rows: f64,
}

/// Opens the log in `dir`.
fn opening(dir: &Path) -> Result<Start> {
    let disk = Arc::new(Directory::open(dir)?);
    let runtime = Builder::new_current_thread().build()?;
    let started = Instant::now();
    let (log, _committer) = Log::open_by_hand(options(), Arc::new(SystemClock::default()), disk, Arc::new(Deaf))?;
    let open = millis(started);
    let in_memory = log.stats().rows_in_memory as f64;
    let started = Instant::now();
    let newest = runtime.block_on(log.standing(EVENT, 32))?;
    let standing = millis(started);
    let started = Instant::now();
    let oldest = runtime.block_on(log.rows(EVENT, &Rendition::new("v")?, 0..=1, 9))?;
    let first_rows = millis(started);
    anyhow::ensure!((newest.len(), oldest.len()) == (32, 2), "the log has lost segments");
    Ok(Start { open, in_memory, standing, first_rows })
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn options() -> Options {
    Options {
        window_bytes: 1 << 20,
        ballast_bytes: 0,
        reserve_bytes: 0,
        expire_after: Duration::MAX / 4,
        ..Options::default()
    }
}

/// Publishes so many segments of zeros to a new log in `dir`.
fn fill(dir: &Path, segments: u64, seal: bool) -> Result<()> {
    let disk = Arc::new(Sparse(Directory::open(dir)?));
    let opened = Log::open_by_hand(options(), Arc::new(SystemClock::default()), disk, Arc::new(Deaf))?;
    let (log, mut committer) = opened;
    let runtime = Builder::new_current_thread().build()?;
    let body = Body::from(Bytes::from_static(&[0; 1 << 20]));
    let usual = claim(segment("v", 0, "a"), &body, log.stamp());
    let keep = Keep::Until(log.stamp() + Millis::from_seconds(30 * 86_400));
    for number in 0..segments {
        let claim = Claim { key: segment("v", number, "a"), keep, ..usual.clone() };
        let step = async {
            committer.step_once();
            committer.tend();
        };
        runtime.block_on(async { tokio::join!(biased; log.publish(claim, body.clone()), step) }).0?;
    }
    if seal {
        committer.finish();
    }
    Ok(())
}

/// A directory in which long zeros take no space, and nothing is synced.
struct Sparse(Directory);

struct SparseFile(Arc<dyn File>);

impl Disk for Sparse {
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        self.0.lock()
    }
    fn in_use(&self) -> io::Result<bool> {
        self.0.in_use()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(SparseFile(self.0.create(name)?)))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.0.open(name)
    }
    fn open_to_repair(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.0.open_to_repair(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn unlink(&self, name: &str) -> io::Result<()> {
        self.0.unlink(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn total_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn place(&self) -> String {
        self.0.place()
    }
}

impl File for SparseFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for slice in slices.iter() {
            let hole = slice.len() >= HOLE_BYTES && slice.iter().all(|byte| *byte == 0);
            if !hole && !slice.is_empty() {
                self.0.write_at(&mut [IoSlice::new(slice)], at)?;
            }
            at += slice.len() as u64;
        }
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.0.punch(offset, length)
    }
}
