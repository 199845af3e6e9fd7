//! Rows of the start: how long a log takes to open that holds 100 GiB in sealed buckets, beside one of 1 GiB; and one
//! of 1 GiB whose bucket was left open by a kill, which has to be scanned. The data is zeros in sparse files, with
//! heads, footers and checksums as they would be.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use headwater_model::Millis;
use headwater_model::row::{Claim, Keep};
use headwater_store::conformance::{claim, segment};
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
    let mut against_small = Vec::new();
    let mut against_open = Vec::new();
    for _ in 0..rounds {
        // A start seals what it has scanned, so that each round needs another.
        let _ = std::fs::remove_dir_all(&open);
        fill(&open, A_GIB, false)?;
        let (small, large, open) = (opening(&small)?, opening(&large)?, opening(&open)?);
        against_small.push((large, small));
        against_open.push((large, open));
    }
    let mut add = |name, rounds| report.add(Comparison { name, unit: "ms", rounds, target: Target::None });
    add("start, 100 GiB sealed beside 1 GiB sealed", against_small);
    add("start, 100 GiB sealed beside 1 GiB open", against_open);
    Ok(())
}

/// Milliseconds until a log in `dir` is open.
fn opening(dir: &Path) -> Result<f64> {
    let disk = Arc::new(Directory::open(dir)?);
    let started = Instant::now();
    let log = Log::open_by_hand(options(), Arc::new(SystemClock::default()), disk, Arc::new(Deaf))?;
    let took = started.elapsed();
    drop(log);
    Ok(took.as_secs_f64() * 1e3)
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
