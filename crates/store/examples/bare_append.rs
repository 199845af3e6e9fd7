//! Durable publishes of the log against a bare group-commit append of the same bytes: what the engine costs beside
//! the disk. `cargo run --release --example bare_append -- DIR [BYTES] [WRITERS] [SECONDS]`

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::Timestamp;
use headwater_store::conformance::{Heard, body, claim, segment};
use headwater_store::disk::{Directory, Disk};
use headwater_store::log::Options;
use headwater_store::stamp::{Clock, SystemClock};
use headwater_store::{Body, Log, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, usual: u64| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let dir = arguments.first().cloned().unwrap_or_else(|| ".".into());
    let (bytes, writers, seconds) = (number(1, 1 << 20), number(2, 8), number(3, 5));
    let clock = Arc::new(SystemClock::default());
    let body = body(1, bytes as usize);
    for round in 0..3 {
        let bare = bare(&dir, &*clock, &body, writers, seconds);
        let log = log(&dir, clock.clone(), &body, writers, seconds);
        println!("round {round}: bare {bare:.0} MiB/s, log {log:.0} MiB/s, ratio {:.2}", log / bare);
    }
}

/// One write of a body for each writer, one sync, over and over.
fn bare(dir: &str, clock: &dyn Clock, body: &Body, writers: u64, seconds: u64) -> f64 {
    let path = std::path::Path::new(dir).join("bare");
    let disk = Directory::open(&path).expect("a directory");
    let file = disk.create("bare").expect("a file");
    let end = clock.monotonic() + Duration::from_secs(seconds);
    let (started, mut offset) = (clock.monotonic(), 0);
    while clock.monotonic() < end {
        let chunks = (0..writers).flat_map(|_| body.chunks());
        let mut slices: Vec<IoSlice<'_>> = chunks.map(|chunk| IoSlice::new(chunk)).collect();
        file.write_at(&mut slices, offset).expect("a write");
        offset += writers * body.len();
        file.sync_data().expect("a sync");
    }
    let took = clock.monotonic() - started;
    std::fs::remove_dir_all(path).expect("a directory to remove");
    offset as f64 / f64::from(1 << 20) / took.as_secs_f64()
}

fn log(dir: &str, clock: Arc<SystemClock>, body: &Body, writers: u64, seconds: u64) -> f64 {
    let path = std::path::Path::new(dir).join("log");
    let disk = Arc::new(Directory::open(&path).expect("a directory"));
    let options = Options { window_bytes: 64 << 20, ..Options::default() };
    let log = Log::open(options, clock.clone(), disk, Arc::new(Heard::default())).expect("a log");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let (started, end) = (clock.monotonic(), clock.monotonic() + Duration::from_secs(seconds));
    let published: u64 = runtime.block_on(async {
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let (log, clock, body) = (log.clone(), clock.clone(), body.clone());
                let usual = claim(segment("v", 0, "a"), &body, log.stamp());
                tokio::spawn(async move {
                    let mut published = 0;
                    while clock.monotonic() < end {
                        let key = segment("v", writer << 32 | published, "a");
                        let keep = headwater_model::row::Keep::Until(Timestamp::MAX);
                        let claim = headwater_model::row::Claim { key, keep, ..usual.clone() };
                        log.publish(claim, body.clone()).await.expect("a publish");
                        published += 1;
                    }
                    published
                })
            })
            .collect();
        let mut all = 0;
        for task in tasks {
            all += task.await.expect("a writer");
        }
        all
    });
    let took = clock.monotonic() - started;
    log.close();
    std::fs::remove_dir_all(path).expect("a directory to remove");
    (published * body.len()) as f64 / f64::from(1 << 20) / took.as_secs_f64()
}
