//! Rows of the store: acked bytes a second of the log with eight publishers, beside a bare append of the same bytes
//! with one vectored write and one sync for each eight of them, which is the least that group commit can cost.

use std::fs::File;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use headwater_model::Timestamp;
use headwater_model::row::{Claim, Keep};
use headwater_store::conformance::{body, claim, segment};
use headwater_store::disk::Directory;
use headwater_store::log::Options;
use headwater_store::stamp::SystemClock;
use headwater_store::{Body, Listener, Log, Notice, Store};
use rustix::fs::{Advice, fadvise};
use tokio::runtime::{Builder, Runtime};

use crate::process;
use crate::report::{Comparison, Report, Target};

/// Publishers at once.
pub(crate) const WRITERS: usize = 8;
/// Bytes of a round: enough for a quarter of a second of a fast disk.
pub(crate) const ROUND_BYTES: usize = 128 << 20;

/// The sizes, with their rows' names.
const CASES: [(&str, usize); 2] =
    [("PUT 1 MiB, store, throughput", 1 << 20), ("PUT 64 KiB, store, throughput", 64 << 10)];

/// Measures all of them.
pub(crate) fn run(scratch: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    let (log_dir, bare_dir) = (scratch.join("append-log"), scratch.join("append-bare"));
    let log = Publishers::open(&log_dir)?;
    let bare = Bare::create(&bare_dir)?;
    let mut next = 0;
    for (name, bytes) in CASES {
        let body = body(1, bytes);
        let mut measured = Vec::new();
        for _ in 0..rounds {
            let ours = log.round(&body, &mut next)?;
            forget_pages(&log_dir)?;
            measured.push((ours, bare.round(&body)?.mebibytes_a_second));
        }
        report.add(Comparison { name, unit: "MiB/s", rounds: measured, target: Target::AtLeast(0.80) });
    }
    log.log.close();
    Ok(())
}

/// Gives the pages of files that were written and synced back to the kernel. Fresh pages of a virtual machine cost
/// more than the write; so every round gets those of the round before.
pub(crate) fn forget_pages(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let file = File::open(entry?.path())?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// The log and who publishes to it.
struct Publishers {
    log: Arc<Log>,
    runtime: Runtime,
}

/// Nobody listens.
struct Deaf;

impl Listener for Deaf {
    fn announce(&self, _: &[Notice]) {}
}

impl Publishers {
    fn open(dir: &Path) -> Result<Self> {
        let options = Options { window_bytes: 64 << 20, ..Options::default() };
        let disk = Arc::new(Directory::open(dir)?);
        let log = Log::open(options, Arc::new(SystemClock::default()), disk, Arc::new(Deaf))?;
        Ok(Self { log, runtime: Builder::new_multi_thread().worker_threads(1).build()? })
    }

    /// Publishes a round's bytes; MiB a second.
    fn round(&self, body: &Body, next: &mut u64) -> Result<f64> {
        let each = ROUND_BYTES / WRITERS / body.len() as usize;
        let usual = claim(segment("v", 0, "a"), body, self.log.stamp());
        let started = Instant::now();
        self.runtime.block_on(async {
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    let first = *next;
                    *next += each as u64;
                    let numbers = first..*next;
                    tokio::spawn(publish(Arc::clone(&self.log), numbers, usual.clone(), body.clone()))
                })
                .collect();
            for writer in writers {
                writer.await??;
            }
            anyhow::Ok(())
        })?;
        Ok((ROUND_BYTES >> 20) as f64 / started.elapsed().as_secs_f64())
    }
}

async fn publish(log: Arc<Log>, numbers: std::ops::Range<u64>, usual: Claim, body: Body) -> Result<()> {
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

/// What a round of bare appends came to.
pub(crate) struct Appended {
    pub(crate) mebibytes_a_second: f64,
    /// Microseconds of processor time for each body.
    pub(crate) micros: f64,
}

impl Bare {
    /// An empty file in `dir`.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let file = File::create(dir.join("bare")).context("cannot create a file")?;
        Ok(Self { file })
    }

    /// Appends a round's bytes to the file, emptied before: one write and one sync for a body of each writer.
    pub(crate) fn round(&self, body: &Body) -> Result<Appended> {
        self.file.set_len(0)?;
        self.file.sync_all()?;
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
        let (took, cpu) = (started.elapsed(), process::own_cpu() - before);
        let bodies = ROUND_BYTES as f64 / body.len() as f64;
        Ok(Appended {
            mebibytes_a_second: (ROUND_BYTES >> 20) as f64 / took.as_secs_f64(),
            micros: cpu.as_secs_f64() * 1e6 / bodies,
        })
    }
}
