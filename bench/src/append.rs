//! Rows of the store: acked bytes a second of the log with eight publishers, beside a bare append of the same bytes
//! with one vectored write and one sync for each eight of them, which is the least that group commit can cost.

use std::fs::File;
use std::io::IoSlice;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_model::Timestamp;
use headwater_model::row::{Claim, Keep};
use headwater_store::conformance::{body, claim, segment};
use headwater_store::disk::Directory;
use headwater_store::log::{Commit, Observer, Options};
use headwater_store::stamp::SystemClock;
use headwater_store::{Body, Listener, Log, Notice, Store};
use tokio::runtime::Builder;

use crate::process;
use crate::report::{Comparison, Report, Target};

/// Publishers at once.
pub(crate) const WRITERS: usize = 8;
/// Bytes of a round: short rounds, so that both rows of a pair meet the same neighbours.
pub(crate) const ROUND_BYTES: usize = 64 << 20;

/// One size, with its rows' names.
struct Case {
    bytes: usize,
    throughput: &'static str,
    cpu: &'static str,
    batch: &'static str,
}

const CASES: [Case; 2] = [
    Case {
        bytes: 1 << 20,
        throughput: "PUT 1 MiB, store, throughput",
        cpu: "PUT 1 MiB, store, CPU",
        batch: "PUT 1 MiB, store, publishes of a commit",
    },
    Case {
        bytes: 64 << 10,
        throughput: "PUT 64 KiB, store, throughput",
        cpu: "PUT 64 KiB, store, CPU",
        batch: "PUT 64 KiB, store, publishes of a commit",
    },
];

/// Measures all of them.
pub(crate) fn run(scratch: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    let (log_dir, bare_dir) = (scratch.join("append-log"), scratch.join("append-bare"));
    for case in &CASES {
        let body = body(1, case.bytes);
        let (mut speeds, mut costs, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (ours, batch) = through_the_log(&log_dir, &body)?;
            let bare = Bare::create(&bare_dir)?.round(&body)?;
            give_back(&bare_dir)?;
            speeds.push((ours.mebibytes_a_second, bare.mebibytes_a_second));
            costs.push((ours.micros, bare.micros));
            pieces.push((batch, WRITERS as f64));
        }
        report.add(Comparison { name: case.throughput, unit: "MiB/s", rounds: speeds, target: Target::AtLeast(0.80) });
        report.add(Comparison { name: case.cpu, unit: "us", rounds: costs, target: Target::None });
        report.add(Comparison { name: case.batch, unit: "", rounds: pieces, target: Target::None });
    }
    Ok(())
}

/// Empties and removes a folder of files. Emptied first, so that the next round's files get the same blocks and pages:
/// fresh ones cost a virtual machine more than the write itself.
pub(crate) fn give_back(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let file = File::options().write(true).open(entry?.path())?;
        file.set_len(0)?;
        file.sync_all()?;
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// Nobody listens.
pub(crate) struct Deaf;

impl Listener for Deaf {
    fn announce(&self, _: &[Notice]) {}
}

/// Counts commits.
#[derive(Default)]
struct Commits {
    commits: AtomicUsize,
    pieces: AtomicUsize,
}

impl Observer for Commits {
    fn committed(&self, commit: &Commit) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.pieces.fetch_add(commit.pieces, Ordering::Relaxed);
    }
}

/// Publishes a round's bytes to a new log in `dir`; with the publishes of a usual commit.
fn through_the_log(dir: &Path, body: &Body) -> Result<(Appended, f64)> {
    let commits = Arc::new(Commits::default());
    let options = Options { window_bytes: 64 << 20, observer: Some(commits.clone()), ..Options::default() };
    let disk = Arc::new(Directory::open(dir)?);
    let log = Log::open(options, Arc::new(SystemClock::default()), disk, Arc::new(Deaf))?;
    let runtime = Builder::new_multi_thread().worker_threads(1).build()?;
    let each = ROUND_BYTES as u64 / WRITERS as u64 / body.len();
    let usual = claim(segment("v", 0, "a"), body, log.stamp());
    // The first publish makes the bucket's file.
    runtime.block_on(publish(Arc::clone(&log), u64::MAX..=u64::MAX, usual.clone(), body.clone()))?;
    let (started, before) = (Instant::now(), process::whole_cpu());
    runtime.block_on(async {
        let writer = |writer| {
            let numbers = writer * each..=writer * each + each - 1;
            tokio::spawn(publish(Arc::clone(&log), numbers, usual.clone(), body.clone()))
        };
        let writers: Vec<_> = (0..WRITERS as u64).map(writer).collect();
        for writer in writers {
            writer.await??;
        }
        anyhow::Ok(())
    })?;
    let appended = Appended::of(body, started.elapsed(), process::whole_cpu() - before);
    log.close();
    give_back(dir)?;
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed) as f64;
    Ok((appended, count(&commits.pieces) / count(&commits.commits)))
}

async fn publish(log: Arc<Log>, numbers: RangeInclusive<u64>, usual: Claim, body: Body) -> Result<()> {
    for number in numbers {
        let claim = Claim { key: segment("v", number, "a"), keep: Keep::Until(Timestamp::MAX), ..usual.clone() };
        log.publish(claim, body.clone()).await?;
    }
    Ok(())
}

/// A file that is appended to.
pub(crate) struct Bare {
    file: File,
}

/// What a round came to.
pub(crate) struct Appended {
    pub(crate) mebibytes_a_second: f64,
    /// Microseconds of processor time for each body.
    pub(crate) micros: f64,
}

impl Appended {
    /// A round's bytes as copies of `body`.
    pub(crate) fn of(body: &Body, took: Duration, cpu: Duration) -> Self {
        let bodies = ROUND_BYTES as f64 / body.len() as f64;
        let mebibytes_a_second = (ROUND_BYTES >> 20) as f64 / took.as_secs_f64();
        Self { mebibytes_a_second, micros: cpu.as_secs_f64() * 1e6 / bodies }
    }
}

impl Bare {
    /// An empty file in `dir`.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let file = File::create(dir.join("bare")).context("cannot create a file")?;
        Ok(Self { file })
    }

    /// Appends a round's bytes: one write and one sync for a body of each writer.
    pub(crate) fn round(&self, body: &Body) -> Result<Appended> {
        let (started, before) = (Instant::now(), process::own_cpu());
        let mut offset = 0;
        while offset < ROUND_BYTES as u64 {
            let chunks = (0..WRITERS).flat_map(|_| body.chunks());
            let mut slices: Vec<IoSlice<'_>> = chunks.map(|chunk| IoSlice::new(chunk)).collect();
            let mut rest = &mut slices[..];
            while !rest.is_empty() {
                let written = rustix::io::pwritev(&self.file, rest, offset)?;
                offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            self.file.sync_data()?;
        }
        Ok(Appended::of(body, started.elapsed(), process::own_cpu() - before))
    }
}
