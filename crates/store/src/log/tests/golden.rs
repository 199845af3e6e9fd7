//! The files of format version 1 as they were written once, kept in `golden/`: every later build reads them, and this
//! one writes the same as in `v1-summary`; those in `v1` are older, without summary and copy of the header. A change of
//! the format shows here first; it takes golden files of its own, and a new version if earlier builds would misread it.

use std::path::{Path, PathBuf};

use headwater_model::event::Entry;
use headwater_model::row::Claim;

use super::*;
use crate::slab::Body;

/// A Monday, so that every stamp is the same in every run.
const START: i64 = 1_790_000_000;

fn golden(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(kind)
}

/// A payload that lies behind its meta, and one that lies on a page of its own.
fn payloads() -> [Body; 2] {
    [body(1, 4), body(2, 5000)]
}

struct Sample {
    log: Arc<Log>,
    committer: Committer,
}

impl Sample {
    fn open(folder: &Path) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(START)));
        let disk = Arc::new(Directory::open(folder).unwrap());
        let heard = Arc::new(Heard::default());
        let (log, committer) = Log::open_by_hand(small(), clock, disk, heard).unwrap();
        Self { log, committer }
    }

    async fn done<T>(&mut self, ask: impl Future<Output = Result<T, StoreError>>) -> T {
        let committer = &mut self.committer;
        let step = async {
            tokio::task::yield_now().await;
            committer.step_once();
        };
        tokio::join!(biased; ask, step).0.unwrap()
    }

    /// One record of every kind that a healthy log has.
    async fn write(&mut self) {
        let log = Arc::clone(&self.log);
        let [small, large] = payloads();
        let until = Keep::Until(Timestamp::from_seconds(START + 3600));
        self.done(log.write_entry(entry(), 0)).await;
        let keyed = |key, body: &Body, keep| Claim { keep, ..claim(key, body, Timestamp::from_seconds(START)) };
        self.done(log.publish(keyed(init("v", "a"), &small, Keep::Standing), small.clone())).await;
        self.done(log.publish(keyed(segment("v", 7, "a"), &large, until), large.clone())).await;
        self.done(log.publish(keyed(loose("x.mpd", "b"), &small, Keep::Standing), small.clone())).await;
        self.done(log.remove(loose("x.mpd", "b"))).await;
        self.committer.finish();
    }

    async fn check(&self) {
        let [small, large] = payloads();
        let rows = self.log.standing(EVENT, 10).await.unwrap();
        assert_eq!(rows.len(), 2, "{rows:?}");
        for (row, payload) in rows.iter().map(|row| (row, if row.size == 4 { &small } else { &large })) {
            assert_eq!(self.log.read(row, 0..row.size).await.unwrap().0.to_bytes(), payload.to_bytes());
        }
        assert_eq!(self.log.entries().await.unwrap(), [entry()]);
    }
}

fn entry() -> Entry {
    Entry::Alive(Box::new(event(EVENT, "game", Counters::default())))
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name.ends_with(".hwl"))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn the_golden_files_are_read() {
    for kind in ["v1", "v1-summary"] {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files(&golden(kind)) {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let sample = Sample::open(folder.path());
        assert_eq!(sample.log.stats().rows_in_memory, if kind == "v1" { 2 } else { 1 });
        sample.check().await;
        assert_eq!(files(folder.path()), files(&golden(kind)), "a start leaves sealed files as they are");
    }
}

#[tokio::test]
async fn what_is_written_is_what_was_written_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut sample = Sample::open(folder.path());
    sample.write().await;
    sample.check().await;
    drop(sample);
    let (now, then) = (files(folder.path()), files(&golden("v1-summary")));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&now), names(&then));
    for ((name, now), (_, then)) in now.iter().zip(&then) {
        let differs = now.iter().zip(then).position(|(now, then)| now != then);
        assert_eq!((now.len(), differs), (then.len(), None), "{name}: keep the old reader");
    }
}
