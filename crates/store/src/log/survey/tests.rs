//! Directories of the real file system with one byte flipped at a chosen place, or changed while they are read.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_model::Pipeline;
use headwater_model::event::{Counters, Event};
use headwater_model::row::{Claim, Keep, Key};
use parking_lot::Mutex;

use super::super::format::{BLOCK, HEAD_BYTES};
use super::super::{Committer, Log};
use super::*;
use crate::conformance::{EVENT, Heard, body, claim, event, init, loose, segment};
use crate::disk::Directory;
use crate::slab::Body;
use crate::stamp::ManualClock;
use crate::{Published, Store};

const START: i64 = 1000;
/// Every payload begins on a page of its own.
const BYTES: usize = 20_000;

/// A log on a real directory, driven by hand.
struct Rig {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    running: Option<(Arc<Log>, Committer)>,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(START)));
        let mut rig = Self { folder: tempfile::tempdir().unwrap(), clock, running: None };
        rig.start();
        rig
    }

    fn start(&mut self) {
        let disk = Arc::new(Directory::open(self.folder.path()).unwrap());
        let options = Options { window_bytes: 0, dvr_bytes: 0, ballast_bytes: 0, ..Options::default() };
        let opened = Log::open_by_hand(options, self.clock.clone(), disk, Arc::new(Heard::default()));
        self.running = Some(opened.unwrap());
    }

    /// Ends as a server does that is asked to.
    fn stop(&mut self) {
        let (_, mut committer) = self.running.take().unwrap();
        committer.finish();
    }

    /// Ends without a footer.
    fn kill(&mut self) {
        self.running = None;
    }

    async fn done<T>(&mut self, ask: impl AsyncFnOnce(Arc<Log>) -> T) -> T {
        let (log, committer) = self.running.as_mut().unwrap();
        let step = async {
            tokio::task::yield_now().await;
            committer.step_once();
        };
        tokio::join!(biased; ask(log.clone()), step).0
    }

    async fn put(&mut self, key: Key, bytes: &Body) {
        let claim = claim(key, bytes, Timestamp::from_seconds(START));
        self.put_as(claim, bytes).await;
    }

    async fn put_as(&mut self, claim: Claim, bytes: &Body) {
        let stored = self.done(async |log| log.publish(claim, bytes.clone()).await).await.unwrap();
        assert!(matches!(stored, Published::Stored(_)), "{stored:?}");
    }

    async fn write(&mut self, entry: Entry, expected: u64) {
        self.done(async |log| log.write_entry(entry, expected).await).await.unwrap();
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "hwl"));
        files.sort();
        files
    }

    /// Flips a bit in the one file where `bytes` lie, `at` bytes behind their beginning.
    fn flip(&self, bytes: &[u8], at: i64) {
        let mut flipped = 0;
        for path in self.files() {
            let content = std::fs::read(&path).unwrap();
            let places = content.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes);
            for (place, _) in places {
                flip(&path, (place as i64 + at) as u64);
                flipped += 1;
            }
        }
        assert_eq!(flipped, 1);
    }

    /// What a server does with a bucket whose time is over.
    fn expire(&self, path: &std::path::Path) {
        let mut list = std::fs::OpenOptions::new().append(true).open(self.folder.path().join("inventory")).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        std::io::Write::write_all(&mut list, format!("- {name}\n").as_bytes()).unwrap();
        std::fs::remove_file(path).unwrap();
    }

    fn check(&self) -> Report {
        self.check_with(&Free::default())
    }

    fn check_with(&self, pace: &dyn Pace) -> Report {
        check(&self.disk(), self.clock_now(), pace).unwrap()
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(Directory::find(self.folder.path()).unwrap())
    }

    fn clock_now(&self) -> Timestamp {
        crate::stamp::Clock::wall(&*self.clock)
    }

    fn holdings(&self) -> Holdings {
        holdings(&self.disk(), self.clock_now(), &Free::default()).unwrap()
    }
}

fn flip(path: &std::path::Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// Holds nobody back and adds up.
#[derive(Default)]
struct Free {
    announced: AtomicU64,
    read: AtomicU64,
    done: AtomicU64,
}

impl Pace for Free {
    fn begin(&self, _: u64, bytes: u64) {
        self.announced.store(bytes, Ordering::Relaxed);
    }
    fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }
    fn done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Does something in the middle: once the survey is taken, or once the first record has been checked.
struct Meddling<F> {
    after_records: u64,
    records: AtomicU64,
    act: Mutex<Option<F>>,
}

impl<F: FnOnce()> Meddling<F> {
    fn after(after_records: u64, act: F) -> Self {
        Self { after_records, records: AtomicU64::new(0), act: Mutex::new(Some(act)) }
    }
}

impl<F: FnOnce() + Send> Pace for Meddling<F> {
    fn begin(&self, _: u64, _: u64) {
        self.done(0);
    }
    fn read(&self, _: u64) {}
    fn done(&self, _: u64) {
        if self.records.fetch_add(1, Ordering::Relaxed) == self.after_records {
            self.act.lock().take().unwrap()();
        }
    }
}

fn game() -> Event {
    event(EVENT, "game", Counters::default())
}

/// An event with an init segment, a manifest, and of each of three segments two candidates.
async fn published() -> (Rig, BTreeMap<(u64, char), Body>) {
    let mut rig = Rig::new();
    rig.write(Entry::Alive(Box::new(game())), 0).await;
    rig.put(init("v", "a"), &body(90, 700)).await;
    rig.put(loose("live.mpd", "a"), &body(91, 900)).await;
    let mut bodies = BTreeMap::new();
    for number in 1..=3 {
        for (seed, pipeline) in [(number, 'a'), (number + 10, 'b')] {
            let bytes = body(seed, BYTES);
            rig.put(segment("v", number, &pipeline.to_string()), &bytes).await;
            bodies.insert((number, pipeline), bytes);
        }
    }
    (rig, bodies)
}

fn start(bytes: &Body) -> Vec<u8> {
    bytes.to_bytes()[..64].to_vec()
}

#[track_caller]
fn one(report: &Report) -> &Damage {
    assert_eq!(report.damage.len(), 1, "{report:#?}");
    &report.damage[0]
}

fn subject(damage: &Damage) -> (&str, Option<&str>, Option<u64>, Option<&str>) {
    let subject = damage.subject.as_ref().unwrap();
    let pipeline = subject.pipeline.as_ref().map(Pipeline::as_str);
    (subject.record, subject.event.as_deref(), subject.number, pipeline)
}

#[tokio::test]
async fn an_intact_directory_is_whole_running_killed_and_stopped() {
    let (mut rig, _) = published().await;
    for round in ["running", "killed", "stopped"] {
        let pace = Free::default();
        let report = rig.check_with(&pace);
        assert_eq!((report.whole, report.online, &report.damage[..]), (true, round == "running", &[][..]), "{round}");
        assert_eq!(report.payloads, Amount { objects: 8, bytes: 6 * BYTES as u64 + 1600 }, "{round}: {report:#?}");
        assert_eq!((report.records, report.torn.len(), report.vanished), (9, 0, 0), "{round}");
        let load = |of: &AtomicU64| of.load(Ordering::Relaxed);
        assert_eq!(load(&pace.done), load(&pace.announced), "{round}");
        assert!(load(&pace.read) > 6 * BYTES as u64, "{round}");
        match round {
            "running" => rig.kill(),
            _ => {
                rig.start();
                rig.stop();
            }
        }
    }
}

#[tokio::test]
async fn a_payload_is_named_with_what_is_intact_instead() {
    let (mut rig, bodies) = published().await;
    rig.stop();
    rig.flip(&start(&bodies[&(2, 'a')]), 500);
    let report = rig.check();
    let damage = one(&report);
    assert_eq!((damage.what, damage.standing, damage.bytes), (What::Payload, Standing::Counts, BYTES as u64));
    assert_eq!(subject(damage), ("segment", Some("live/game"), Some(2), Some("a")));
    assert_eq!(damage.intact.iter().map(Pipeline::as_str).collect::<Vec<_>>(), ["b"]);
    assert!(report.has_losses() && !report.whole);
    let offset = std::fs::read(rig.folder.path().join(&damage.file)).unwrap();
    assert_eq!(offset[damage.offset as usize + 501], bodies[&(2, 'a')].to_bytes()[501], "where it says");

    rig.flip(&start(&bodies[&(2, 'b')]), 500);
    let report = rig.check();
    assert_eq!(report.damage.len(), 2);
    assert!(report.damage.iter().all(|damage| damage.intact.is_empty()), "{report:#?}");
}

#[tokio::test]
async fn of_a_manifest_too_the_other_pipelines_are_named() {
    let (mut rig, _) = published().await;
    rig.put(loose("live.mpd", "b"), &body(95, 900)).await;
    rig.put(loose("other.mpd", "c"), &body(96, 900)).await;
    rig.stop();
    rig.flip(&start(&body(91, 900)), 500);
    rig.flip(&start(&body(90, 700)), 500);
    let report = rig.check();
    let intact: Vec<_> = report.damage.iter().map(|damage| (damage.bytes, damage.intact.len())).collect();
    assert_eq!(intact, [(700, 0), (900, 1)], "{report:#?}");
}

#[tokio::test]
async fn what_no_longer_counts_is_told_and_is_no_loss() {
    let (mut rig, bodies) = published().await;
    rig.put(loose("live.mpd", "a"), &body(92, 900)).await;
    rig.stop();
    rig.flip(&start(&body(91, 900)), 500);
    let report = rig.check();
    assert_eq!((one(&report).standing, report.whole), (Standing::Superseded, true));
    assert_eq!(one(&report).subject.as_ref().unwrap().path.as_deref(), Some("live.mpd"));
    rig.flip(&start(&body(91, 900)), 500);
    rig.flip(&start(&bodies[&(1, 'a')]), 70);
    rig.clock.advance(Duration::from_secs(3600 + 119));
    assert_eq!(one(&rig.check()).standing, Standing::Counts, "records outlive their media by the grace");
    rig.clock.advance(Duration::from_secs(2));
    let report = rig.check();
    assert_eq!((one(&report).standing, report.whole), (Standing::Expired, true));
}

#[tokio::test]
async fn what_was_freed_is_not_damaged() {
    let (mut rig, _) = published().await;
    let replaced = body(93, BYTES);
    rig.put(loose("big.bin", "a"), &replaced).await;
    rig.put(loose("big.bin", "a"), &body(94, BYTES)).await;
    rig.stop();
    rig.start();
    while rig.running.as_mut().unwrap().1.tend() {}
    let report = rig.check();
    assert_eq!((report.whole, report.freed), (true, Amount { objects: 1, bytes: BYTES as u64 }), "{report:#?}");
    let Event { tenant, name, .. } = game();
    rig.write(Entry::Gone { tenant, name, counters: Counters { rev: 2, cache_version: 2 } }, 1).await;
    while rig.running.as_mut().unwrap().1.tend() {}
    let report = rig.check();
    assert_eq!((report.whole, &report.damage[..]), (true, &[][..]));
    assert_eq!((report.freed.objects, report.payloads.objects), (10, 0), "{report:#?}");
}

#[tokio::test]
async fn a_header_is_named_and_a_later_version_with_the_remedy() {
    let (mut rig, _) = published().await;
    rig.stop();
    let path = rig.files().pop().unwrap();
    flip(&path, 20);
    let report = rig.check();
    let damage = one(&report);
    assert_eq!((damage.what, damage.offset, damage.standing), (What::Header, 0, Standing::Counts));
    assert_eq!((report.records, rig.holdings().unreadable), (9, 0), "the copy tells what it was");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..4096].fill(7);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!((one(&rig.check()).what, rig.holdings().unreadable), (What::Header, 1));
    // A later build's header, which has no copy where this build looks for one.
    bytes[..4096].fill(0);
    bytes[..8].copy_from_slice(b"HeadwLog");
    bytes[9] = 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = rig.check();
    assert_eq!((report.later.len(), report.whole, report.has_losses()), (1, false, false));
    let refused = holdings(&rig.disk(), rig.clock_now(), &Free::default()).unwrap_err().to_string();
    assert!(refused.contains("version 256") && refused.contains("newer build"), "{refused}");
}

#[tokio::test]
async fn a_footer_is_named_wherever_it_is_hit_and_its_records_are_checked_all_the_same() {
    let (mut rig, _) = published().await;
    rig.stop();
    let path = rig.files().pop().unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    for from_end in [1, 10, 40, 60, 64, 65, 200] {
        flip(&path, length - from_end);
        let report = rig.check();
        assert_eq!((one(&report).what, report.torn.len()), (What::Footer, 0), "{from_end}: {report:#?}");
        assert_eq!(report.records, 9, "{from_end}");
        flip(&path, length - from_end);
    }
    assert!(rig.check().whole);
}

#[tokio::test]
async fn the_head_of_a_record_is_named_sealed_or_not() {
    let (mut rig, bodies) = published().await;
    rig.kill();
    assert_eq!(rig.files().len(), 2);
    let media = rig.files().pop().unwrap();
    let content = std::fs::read(&media).unwrap();
    let payload = start(&bodies[&(2, 'b')]);
    let at = content.windows(64).position(|window| window == payload).unwrap() as u64 - BLOCK;
    // In its fields, and in its meta behind the names.
    for within in [40, HEAD_BYTES as u64 + 60] {
        flip(&media, at + within);
        let report = rig.check();
        let damage = one(&report);
        assert_eq!((damage.what, damage.standing), (What::Stretch, Standing::Counts), "{report:#?}");
        assert!(damage.offset <= at && at + BYTES as u64 <= damage.offset + damage.bytes, "{damage:?} {at}");
        assert_eq!(subject(damage), ("segment", Some("live/game"), Some(2), Some("b")));
        flip(&media, at + within);
    }
    rig.start();
    rig.stop();
    flip(&media, at + HEAD_BYTES as u64 + 60);
    let report = rig.check();
    let damage = one(&report);
    assert_eq!((damage.what, damage.offset, damage.standing), (What::RecordHead, at, Standing::Counts));
    assert_eq!(subject(damage), ("segment", Some("live/game"), Some(2), Some("b")));
}

#[tokio::test]
async fn a_torn_tail_is_no_damage_and_online_not_even_torn() {
    let (mut rig, _) = published().await;
    let media = rig.files().pop().unwrap();
    let length = std::fs::metadata(&media).unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&media).unwrap();
    file.write_all_at(b"HwRecord and then the power went", length.next_multiple_of(BLOCK)).unwrap();
    let report = rig.check();
    assert_eq!((report.whole, report.online, report.torn.len()), (true, true, 0), "{report:#?}");
    rig.kill();
    let report = rig.check();
    assert_eq!((report.whole, report.torn.len(), &report.damage[..]), (true, 1, &[][..]), "{report:#?}");
    assert_eq!(report.torn[0].offset, length);
}

#[tokio::test]
async fn what_changes_while_it_is_read_is_looked_at_again() {
    let (mut rig, bodies) = published().await;
    rig.stop();
    rig.flip(&start(&bodies[&(1, 'a')]), 500);
    let path = rig.files().pop().unwrap();
    let again = Meddling::after(6, || rig.flip(&bodies[&(1, 'a')].to_bytes()[1000..1064], -500));
    let report = rig.check_with(&again);
    assert!(report.whole && report.damage.is_empty(), "{report:#?}");

    rig.flip(&start(&bodies[&(1, 'a')]), 500);
    let goes = Meddling::after(6, || rig.expire(&path));
    let report = rig.check_with(&goes);
    assert_eq!((&report.damage[..], report.vanished), (&[][..], 1), "{report:#?}");
}

#[tokio::test]
async fn what_a_server_deletes_and_frees_meanwhile_is_no_damage() {
    let (mut rig, _) = published().await;
    rig.stop();
    let meddling = Meddling::after(0, || {
        // A thread of its own: the test's runtime is busy.
        std::thread::scope(|scope| {
            scope.spawn(|| delete_and_free(rig.folder.path(), rig.clock.clone())).join().unwrap()
        });
    });
    let report = rig.check_with(&meddling);
    assert_eq!((report.whole, &report.damage[..], report.online), (true, &[][..], false), "{report:#?}");
    assert_eq!(report.freed, Amount { objects: 6, bytes: 6 * BYTES as u64 }, "{report:#?}");
}

/// A server starts on the directory, deletes the event, gives its space back, and ends.
fn delete_and_free(folder: &std::path::Path, clock: Arc<ManualClock>) {
    let disk = Arc::new(Directory::open(folder).unwrap());
    let options = Options { ballast_bytes: 0, ..Options::default() };
    let (log, mut committer) = Log::open_by_hand(options, clock, disk, Arc::new(Heard::default())).unwrap();
    let Event { tenant, name, .. } = game();
    let gone = Entry::Gone { tenant, name, counters: Counters { rev: 2, cache_version: 2 } };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let step = async {
            tokio::task::yield_now().await;
            committer.step_once();
        };
        tokio::join!(biased; log.write_entry(gone, 1), step).0.unwrap();
    });
    while committer.tend() {}
    committer.finish();
}

#[test]
fn whatever_a_busy_log_does_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Directory::open(folder.path()).unwrap());
    // Buckets of a few records that expire within a second, so that files come, go and are freed all the time.
    let options = Options {
        bucket_bytes: 150_000,
        ballast_bytes: 0,
        expire_after: Duration::ZERO,
        grace: headwater_model::Millis(0),
        ..Options::default()
    };
    let clock = Arc::new(crate::stamp::SystemClock::default());
    let log = Log::open(options, clock, disk, Arc::new(Heard::default())).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut checked, mut freed) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| publish_until(&stop, &log));
        while checked < CHECKS || freed == 0 {
            let reader: Arc<dyn Disk> = Arc::new(Directory::find(folder.path()).unwrap());
            let report = match check(&reader, log.stamp(), &Free::default()) {
                Err(SurveyError::NoData { .. }) => continue,
                report => report.unwrap(),
            };
            let is_fine = report.damage.is_empty() && report.whole && report.online && report.torn.is_empty();
            stop.fetch_or(!is_fine, Ordering::Relaxed);
            assert!(is_fine, "{report:#?}");
            checked += 1;
            freed += report.freed.objects;
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Enough to meet changes under a check, few enough for a few seconds. With 200 of them 376 files went while being read.
const CHECKS: u64 = 30;

fn publish_until(stop: &std::sync::atomic::AtomicBool, log: &Log) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let publish = |key: Key, seed: u64, keep: Keep| {
        let bytes = body(seed, 9000 + (seed % 7) as usize * 3000);
        let claim = Claim { keep, ..claim(key, &bytes, log.stamp()) };
        runtime.block_on(log.publish(claim, bytes)).unwrap();
    };
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let life = EventId(1000 + round);
        let alive = event(life, "passing", Counters { rev: 2 * round - 2, cache_version: 1 });
        let counters = Counters { rev: 2 * round, cache_version: 1 };
        let gone = Entry::Gone { tenant: alive.tenant.clone(), name: alive.name.clone(), counters };
        let written = runtime.block_on(log.write_entry(Entry::Alive(Box::new(alive.clone())), 2 * round - 2));
        written.unwrap();
        publish(loose("live.mpd", "a"), round, Keep::Standing);
        let soon = Keep::Until(log.stamp().offset_nanos(300_000_000));
        publish(segment("v", round, "a"), round, soon);
        publish(Key { event: life, ..segment("v", 1, "a") }, round, soon);
        publish(Key { event: life, ..loose("x.bin", "a") }, round, Keep::Standing);
        runtime.block_on(log.write_entry(gone, alive.rev)).unwrap();
    }
}

/// A directory of which some bytes cannot be read.
struct BadSector(Directory, Range<u64>);

struct BadFile(Arc<dyn File>, Range<u64>);

impl Disk for BadSector {
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
        self.0.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = self.0.open(name)?;
        Ok(if name == "0000000000000002.hwl" { Arc::new(BadFile(file, self.1.clone())) } else { file })
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
        self.0.free_bytes()
    }
    fn total_bytes(&self) -> io::Result<u64> {
        self.0.total_bytes()
    }
    fn place(&self) -> String {
        self.0.place()
    }
}

impl File for BadFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if offset < self.1.end && self.1.start < offset + buffer.len() as u64 {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, slices: &mut [io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.0.write_at(slices, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.0.punch(offset, length)
    }
}

#[tokio::test]
async fn a_bad_sector_costs_no_more_than_what_lies_on_it() {
    let (mut rig, bodies) = published().await;
    rig.stop();
    let path = rig.files().pop().unwrap();
    let content = std::fs::read(&path).unwrap();
    let payload = start(&bodies[&(2, 'a')]);
    let at = content.windows(64).position(|window| window == payload).unwrap() as u64;
    let look = |bad: Range<u64>| {
        let disk: Arc<dyn Disk> = Arc::new(BadSector(Directory::find(rig.folder.path()).unwrap(), bad));
        check(&disk, rig.clock_now(), &Free::default()).unwrap()
    };
    let report = look(at + 4096..at + 4608);
    let damage = one(&report);
    assert_eq!((damage.what, damage.offset, damage.intact.len()), (What::Payload, at, 1), "{report:#?}");
    assert!(damage.error.as_ref().is_some_and(|error| error.contains("os error 5")), "{damage:?}");
    assert_eq!((report.records, report.payloads.objects), (9, 7), "everything else is checked");
    let report = look(0..512);
    let damage = one(&report);
    assert_eq!((damage.what, damage.file.as_str()), (What::File, "0000000000000002.hwl"), "{report:#?}");
}

#[tokio::test]
async fn a_file_that_expires_while_others_are_read_is_skipped_and_counted() {
    let (mut rig, _) = published().await;
    rig.stop();
    let path = rig.files().pop().unwrap();
    let goes = Meddling::after(0, || rig.expire(&path));
    let report = rig.check_with(&goes);
    assert_eq!((report.whole, report.vanished, report.files), (true, 1, 1), "{report:#?}");
}

#[tokio::test]
async fn a_file_that_somebody_took_away_is_missing() {
    let (mut rig, _) = published().await;
    rig.stop();
    let path = rig.files().pop().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::remove_file(&path).unwrap();
    let report = rig.check();
    assert_eq!((&report.missing, report.whole, report.has_losses()), (&vec![name], false, true), "{report:#?}");
}

#[tokio::test]
async fn a_directory_without_buckets_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(Directory::find(folder.path()).unwrap());
    for refused in [
        check(&disk, Timestamp::from_seconds(START), &Free::default()).map(drop),
        holdings(&disk, Timestamp::from_seconds(START), &Free::default()).map(drop),
    ] {
        let told = refused.unwrap_err().to_string();
        assert!(told.contains(&*folder.path().to_string_lossy()) && told.contains("--data"), "{told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = folder.path().join("nowhere");
    assert_eq!(Directory::find(&nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn who_checks_takes_the_directory_from_nobody() {
    let (mut rig, _) = published().await;
    rig.stop();
    let started = AtomicU64::new(0);
    let starting = || {
        Directory::open(rig.folder.path()).unwrap().lock().expect("a server can start while a check runs");
        started.fetch_add(1, Ordering::Relaxed);
    };
    rig.check_with(&Meddling::after(3, starting));
    assert_eq!(started.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn holdings_are_told_by_event_and_by_retention() {
    let (mut rig, _) = published().await;
    rig.put(Key { event: EventId(99), ..segment("v", 1, "c") }, &body(5, 100)).await;
    let until = Keep::Until(Timestamp::from_seconds(START + 10));
    let short = Claim { keep: until, ..claim(segment("w", 1, "a"), &body(6, 50), Timestamp::from_seconds(START)) };
    rig.put_as(short, &body(6, 50)).await;
    let held = rig.holdings();
    assert!(held.online);
    let [unknown, game_use] = held.events.as_slice() else { panic!("{held:#?}") };
    assert_eq!((unknown.id, unknown.event.as_deref(), unknown.amount.bytes), (EventId(99), None, 100));
    assert_eq!((game_use.tenant.as_deref(), game_use.event.as_deref()), (Some("live"), Some("game")));
    assert_eq!(game_use.amount, Amount { objects: 9, bytes: 6 * BYTES as u64 + 1650 });
    let names: Vec<_> = game_use.renditions.iter().map(|rendition| rendition.as_str()).collect();
    assert_eq!((names, game_use.pipelines.len()), (vec!["v", "w"], 2));
    assert!(game_use.oldest.unwrap() < game_use.newest.unwrap());
    let kept: Vec<_> = held.retention.iter().map(|class| (class.kept_seconds, class.open, class.sealed)).collect();
    assert_eq!(kept, [(Some(16), 1, 0), (Some(4096), 1, 0), (None, 1, 0)]);
    let grace = Options::default().grace;
    assert_eq!(held.next_expiry, Some(Timestamp::from_seconds(START + 10) + grace));
    assert!(held.disk_bytes > 6 * BYTES as u64 && held.volume_bytes > held.free_bytes);

    rig.put(loose("live.mpd", "a"), &body(92, 901)).await;
    rig.done(async |log| log.remove(segment("v", 3, "b")).await).await.unwrap();
    rig.clock.advance(Duration::from_secs(200));
    let held = rig.holdings();
    assert_eq!(held.events[1].amount, Amount { objects: 7, bytes: 5 * BYTES as u64 + 1601 }, "{held:#?}");
    let Discounted { superseded, expired, deleted } = held.no_longer_counted;
    assert_eq!((superseded.objects, expired, deleted.objects), (2, Amount { objects: 1, bytes: 50 }, 0));

    let Event { tenant, name, .. } = game();
    rig.write(Entry::Gone { tenant, name, counters: Counters { rev: 2, cache_version: 2 } }, 1).await;
    let held = rig.holdings();
    assert_eq!(held.events.len(), 1, "{held:#?}");
    assert_eq!(held.no_longer_counted.total().bytes, 6 * BYTES as u64 + 1650 + 901);
    rig.stop();
    assert!(!rig.holdings().online);
    assert!(rig.holdings().retention.iter().all(|class| class.open == 0));
}
