//! Tests of the log as a store: the conformance suite on the real disk and on the simulated one, and what only a log
//! does.

mod crash;
mod damage;
mod golden;
mod inventory;
mod lazy;
mod room;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use headwater_model::event::Counters;
use headwater_model::row::{Keep, Object};

use super::*;
use crate::conformance::{self, EVENT, Heard, body, claim, event, init, loose, segment};
use crate::disk::simulated::{Call, Simulated};
use crate::disk::{Directory, File};
use crate::stamp::{ManualClock, SystemClock};
use crate::{Notice, fault};

fn small() -> Options {
    Options { window_bytes: 1 << 20, dvr_bytes: 1 << 20, ballast_bytes: 0, ..Options::default() }
}

/// A log whose every body has to be read from the disk.
fn cold() -> Options {
    let (expire_after, punch_every) = (Duration::ZERO, Duration::ZERO);
    Options {
        window_bytes: 0,
        dvr_bytes: 0,
        reserve_bytes: 0,
        ballast_bytes: 0,
        expire_after,
        punch_every,
        ..Options::default()
    }
}

/// A log on a simulated disk, on a clock that stands, with a committer of its own.
struct Rig {
    disk: Arc<Simulated>,
    clock: Arc<ManualClock>,
    heard: Arc<Heard>,
    log: Arc<Log>,
    committer: Mutex<Committer>,
}

impl Rig {
    fn open(options: Options) -> Self {
        Self::reopen(Simulated::new(1), Arc::new(ManualClock::at(Timestamp::from_seconds(1000))), options)
    }

    fn reopen(disk: Arc<Simulated>, clock: Arc<ManualClock>, options: Options) -> Self {
        let heard = Arc::new(Heard::default());
        let opened = Log::open_by_hand(options, clock.clone(), disk.clone(), heard.clone());
        let (log, committer) = opened.unwrap();
        Self { disk, clock, heard, log, committer: Mutex::new(committer) }
    }

    fn restart(self, options: Options) -> Self {
        let Self { disk, clock, log, committer, .. } = self;
        drop((log, committer));
        Self::reopen(disk, clock, options)
    }

    /// Asks and commits; again while what is asked for has to be loaded.
    async fn done<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                () = tokio::task::yield_now() => drop(self.committer.lock().step_once()),
            }
        }
    }

    async fn publish(&self, claim: Claim, body: &Body) -> Result<Published, StoreError> {
        self.done(self.log.publish(claim, body.clone())).await
    }

    async fn stored(&self, key: Key, body: &Body) -> Row {
        self.stored_as(claim(key, body, self.log.stamp()), body).await
    }

    async fn stored_as(&self, claim: Claim, body: &Body) -> Row {
        match self.publish(claim, body).await {
            Ok(Published::Stored(row)) => row,
            other => panic!("not stored: {other:?}"),
        }
    }

    async fn stored_until(&self, number: u64, until: i64, body: &Body) -> Row {
        let claim = claim(segment("v", number, "a"), body, self.log.stamp());
        self.stored_as(Claim { keep: Keep::Until(Timestamp::from_seconds(until)), ..claim }, body).await
    }

    async fn rows(&self) -> Vec<Row> {
        self.log.rows(EVENT, &Rendition::new("v").unwrap(), 0..=u64::MAX, 1000).await.unwrap()
    }

    async fn read(&self, row: &Row) -> Result<Body, StoreError> {
        self.log.read(row, 0..row.size).await.map(|(body, _)| body)
    }

    fn tend(&self) {
        while self.committer.lock().tend() {}
    }

    fn free(&self) -> u64 {
        self.disk.free_bytes().unwrap()
    }

    /// All but the list of them.
    fn files(&self) -> Vec<String> {
        let mut names = crate::disk::Disk::list(&*self.disk).unwrap();
        names.retain(|name| name != super::inventory::INVENTORY);
        names
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_conforms_on_a_real_disk() {
    let dirs = Mutex::new(Vec::new());
    for options in [small(), Options { reserve_bytes: 1, ..cold() }] {
        conformance::run(async |listener| {
            let dir = tempfile::tempdir().unwrap();
            let disk = Arc::new(Directory::open(dir.path()).unwrap());
            dirs.lock().push(dir);
            Log::open(options.clone(), Arc::new(SystemClock::default()), disk, listener).unwrap() as Arc<dyn Store>
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_conforms_on_a_simulated_disk_and_behind_a_decorator() {
    conformance::run(async |listener| {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000_000)));
        let log = Log::open(small(), clock.clone(), Simulated::new(1), listener).unwrap();
        Arc::new(fault::Faulty::new(log, clock)) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test]
async fn what_was_acked_is_there_after_a_restart() {
    let rig = Rig::open(cold());
    let entry = Entry::Alive(Box::new(event(EVENT, "game", Counters::default())));
    rig.done(rig.log.write_entry(entry.clone(), 0)).await.unwrap();
    let mut rows = Vec::new();
    for number in 0..10 {
        rows.push(rig.stored(segment("v", number, "a"), &body(number, 3000 * number as usize)).await);
    }
    let start = rig.stored(init("v", "a"), &body(77, 800)).await;
    rig.stored(loose("x", "a"), &body(78, 800)).await;
    rig.done(rig.log.remove(loose("x", "a"))).await.unwrap();
    rig.disk.crash();
    let rig = rig.restart(cold());
    assert_eq!(rig.rows().await, rows);
    assert_eq!(rig.log.standing(EVENT, 0).await.unwrap(), [start]);
    assert_eq!(rig.log.entries().await.unwrap(), [entry]);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(rig.read(row).await.unwrap().to_bytes(), body(number as u64, 3000 * number).to_bytes());
    }
}

#[tokio::test]
async fn a_closed_log_is_opened_by_its_footers() {
    let rig = Rig::open(cold());
    let row = rig.stored(segment("v", 1, "a"), &body(1, 100_000)).await;
    rig.committer.lock().finish();
    let files = rig.files();
    // A damaged head would be found by a scan.
    rig.disk.flip_bit(&files[0], 4096 + 20);
    let rig = rig.restart(cold());
    assert_eq!(rig.rows().await, [row]);
}

#[tokio::test]
async fn a_damaged_footer_is_made_good_by_a_scan() {
    let rig = Rig::open(cold());
    let row = rig.stored(segment("v", 1, "a"), &body(1, 100_000)).await;
    rig.committer.lock().finish();
    let files = rig.files();
    let length = rig.disk.bytes(&files[0]).unwrap().len();
    for offset in [length - 100, length - 10] {
        rig.disk.flip_bit(&files[0], offset);
    }
    let rig = rig.restart(cold());
    assert_eq!(rig.rows().await, std::slice::from_ref(&row));
    assert_eq!(rig.read(&row).await.unwrap().to_bytes(), body(1, 100_000).to_bytes());
    // It is written anew: a damaged head would be found by another scan.
    rig.disk.flip_bit(&files[0], 4096 + 20);
    let rig = rig.restart(cold());
    assert_eq!(rig.rows().await, [row]);
}

#[tokio::test]
async fn damage_in_the_middle_costs_no_record_behind_it() {
    let rig = Rig::open(cold());
    let mut rows = Vec::new();
    for number in 0..3 {
        rows.push(rig.stored(segment("v", number, "a"), &body(number, 20_000)).await);
    }
    rig.disk.flip_bit(&rig.files()[0], 4096 + 20);
    rig.disk.kill();
    let rig = rig.restart(cold());
    assert_eq!(rig.rows().await, rows[1..]);
    assert_eq!(rig.read(&rows[2]).await.unwrap().to_bytes(), body(2, 20_000).to_bytes());
}

#[tokio::test]
async fn damaged_bytes_never_leave() {
    let rig = Rig::open(cold());
    let row = rig.stored(segment("v", 1, "a"), &body(1, 100_000)).await;
    rig.disk.flip_bit(&rig.files()[0], 8192 + 50_000);
    let error = rig.log.read(&row, 0..10).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[tokio::test]
async fn a_read_that_the_disk_refuses_can_be_retried() {
    let rig = Rig::open(cold());
    let row = rig.stored(segment("v", 1, "a"), &body(1, 100_000)).await;
    rig.disk.fail_next(Call::Read, 1);
    assert!(matches!(rig.read(&row).await, Err(StoreError::Damaged(_))));
    assert_eq!(rig.read(&row).await.unwrap().to_bytes(), body(1, 100_000).to_bytes());
}

#[tokio::test]
async fn a_full_disk_refuses_publishes_serves_reads_and_recovers_by_itself() {
    let rig = Rig::open(Options { reserve_bytes: 50_000, ..cold() });
    let row = rig.stored(segment("v", 1, "a"), &body(1, 10_000)).await;
    rig.disk.set_capacity(80_000);
    let bytes = body(2, 20_000);
    let refused = claim(segment("v", 2, "a"), &bytes, rig.log.stamp());
    assert!(matches!(rig.publish(refused.clone(), &bytes).await, Err(StoreError::Full(_))));
    assert_eq!(rig.read(&row).await.unwrap().to_bytes(), body(1, 10_000).to_bytes());
    rig.done(rig.log.remove(loose("x", "a"))).await.unwrap();
    let entry = Entry::Alive(Box::new(event(EVENT, "game", Counters::default())));
    rig.done(rig.log.write_entry(entry, 0)).await.expect("the reserve is for this");
    rig.disk.set_capacity(u64::MAX);
    assert!(matches!(rig.publish(refused, &bytes).await, Ok(Published::Stored(_))));
}

#[tokio::test]
async fn a_failed_sync_answers_the_whole_batch_and_shows_nowhere() {
    for call in [Call::Write, Call::Sync, Call::SyncDir, Call::Create] {
        let rig = Rig::open(cold());
        rig.disk.fail_next(call, 1);
        let (one, two) = (body(1, 5000), body(2, 5000));
        let claims = [segment("v", 1, "a"), segment("v", 2, "a")].map(|key| claim(key, &one, rig.log.stamp()));
        let [first, second] = claims;
        let both = async { tokio::join!(rig.log.publish(first, one.clone()), rig.log.publish(second, one.clone())) };
        let (first, second) = rig.done(both).await;
        assert!(matches!(first, Err(StoreError::Unavailable(_))), "{first:?}");
        assert!(matches!(second, Err(StoreError::Unavailable(_))), "{second:?}");
        assert_eq!(rig.rows().await, []);
        assert_eq!(rig.heard.all(), []);
        let row = rig.stored(segment("v", 1, "a"), &two).await;
        assert_eq!(rig.log.settled(), rig.log.stamp(), "the watermark has moved");
        rig.disk.crash();
        let rig = rig.restart(cold());
        assert_eq!(rig.rows().await, [row]);
    }
}

#[tokio::test]
async fn expired_buckets_go_and_what_stands_in_them_is_carried_forward() {
    let options = Options { grace: Millis::from_seconds(10), ..cold() };
    let rig = Rig::open(options.clone());
    let bytes = body(1, 5000);
    // One commit, so that both lie in one bucket.
    let media = claim(segment("v", 1, "a"), &bytes, rig.log.stamp());
    let media = Claim { keep: Keep::Until(Timestamp::from_seconds(1100)), ..media };
    let standing = claim(init("v", "a"), &bytes, rig.log.stamp());
    let both = async { tokio::join!(rig.log.publish(media, bytes.clone()), rig.log.publish(standing, bytes.clone())) };
    rig.done(both).await.0.unwrap();
    let before = rig.files();
    assert_eq!(before.len(), 1);
    let [media] = rig.rows().await.try_into().unwrap();
    rig.clock.advance(Duration::from_secs(109));
    rig.tend();
    assert_eq!(rig.rows().await, std::slice::from_ref(&media), "records outlive their media by the grace");
    rig.clock.set_wall(Timestamp::from_seconds(2_000_000));
    rig.tend();
    assert_eq!(rig.rows().await.len(), 1, "a wall clock that jumps destroys nothing");
    rig.clock.advance(Duration::from_secs(2));
    assert_eq!(rig.rows().await, []);
    assert_eq!(rig.read(&media).await.unwrap_err(), StoreError::Gone);
    rig.tend();
    assert!(!rig.files().contains(&before[0]));
    assert_eq!(rig.heard.all().last(), Some(&Notice::Removed(media.key)));
    rig.disk.crash();
    let rig = rig.restart(options);
    let [standing] = rig.log.standing(EVENT, 0).await.unwrap().try_into().unwrap();
    assert!(matches!(standing.key.object, Object::Init { .. }));
    assert_eq!(rig.read(&standing).await.unwrap().to_bytes(), bytes.to_bytes());
}

#[tokio::test]
async fn standing_records_that_are_replaced_over_and_over_do_not_pile_up() {
    let rig = Rig::open(Options { bucket_bytes: 100_000, ..cold() });
    for round in 0..300 {
        rig.stored(loose("live.mpd", "a"), &body(round, 5000)).await;
        rig.clock.advance(Duration::from_secs(2));
        rig.tend();
    }
    let stats = rig.log.stats();
    assert!(stats.disk_bytes < 500_000, "{stats:?}");
    let [row] = rig.log.standing(EVENT, 0).await.unwrap().try_into().unwrap();
    assert_eq!(rig.read(&row).await.unwrap().to_bytes(), body(299, 5000).to_bytes());
}

#[tokio::test]
async fn rows_of_different_retention_do_not_pin_each_other() {
    let rig = Rig::open(cold());
    rig.stored_until(1, 1060, &body(1, 5000)).await;
    rig.stored_until(2, 90_000, &body(1, 5000)).await;
    let [short, long] = rig.files().try_into().unwrap();
    rig.clock.advance(Duration::from_secs(300));
    rig.tend();
    assert!(!rig.files().contains(&short) && rig.files().contains(&long));
}

#[tokio::test]
async fn an_event_that_has_ended_takes_no_more_publishes() {
    let rig = Rig::open(cold());
    let alive = event(EVENT, "game", Counters::default());
    rig.done(rig.log.write_entry(Entry::Alive(Box::new(alive.clone())), 0)).await.unwrap();
    rig.stored(segment("v", 1, "a"), &body(1, 100)).await;
    let counters = Counters { rev: 2, cache_version: 2 };
    let gone = Entry::Gone { tenant: alive.tenant, name: alive.name, counters };
    rig.done(rig.log.write_entry(gone, 1)).await.unwrap();
    rig.disk.crash();
    let rig = rig.restart(cold());
    assert_eq!(rig.rows().await, []);
    let bytes = body(2, 100);
    let late = claim(segment("v", 2, "a"), &bytes, rig.log.stamp());
    assert_eq!(rig.publish(late, &bytes).await, Err(StoreError::Gone));
}

#[tokio::test]
async fn a_later_format_and_a_taken_directory_are_refused_with_a_remedy() {
    let rig = Rig::open(cold());
    rig.stored(segment("v", 1, "a"), &body(1, 100)).await;
    let again = Log::open_by_hand(cold(), rig.clock.clone(), rig.disk.clone(), rig.heard.clone());
    assert!(again.map(drop).unwrap_err().to_string().contains("in use by another process"));
    let (disk, clock, heard, name) = (rig.disk.clone(), rig.clock.clone(), rig.heard.clone(), rig.files().remove(0));
    drop(rig);
    // A header that holds under no layout of this build, and no copy that does.
    for offset in [9, 24, 25, 2048 + 9] {
        disk.flip_bit(&name, offset);
    }
    let later = Log::open_by_hand(cold(), clock, disk, heard).map(drop).unwrap_err().to_string();
    assert!(later.contains(&name) && later.contains("version 257") && later.contains("newer build"), "{later}");
}

#[tokio::test]
async fn other_files_in_the_directory_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["notes.txt", "1.hwl", "000000000000000G.hwl", "00000000000000ff.hwl.bak"] {
        std::fs::write(dir.path().join(name), "mine").unwrap();
    }
    let disk = Arc::new(Directory::open(dir.path()).unwrap());
    let log = Log::open(small(), Arc::new(SystemClock::default()), disk, Arc::new(Heard::default())).unwrap();
    assert_eq!(log.stats().buckets, 0);
    assert_eq!(std::fs::read(dir.path().join("1.hwl")).unwrap(), b"mine");
}

#[tokio::test]
async fn a_log_that_closes_finishes_what_waits_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Directory::open(dir.path()).unwrap());
    let log = Log::open(small(), Arc::new(SystemClock::default()), disk, Arc::new(Heard::default())).unwrap();
    let bytes = body(1, 50_000);
    let publish = async |number| {
        let claim = claim(segment("v", number, "a"), &bytes, log.stamp());
        log.publish(claim, bytes.clone()).await
    };
    let close = async { log.close() };
    let (published, ()) = tokio::join!(biased; publish(1), close);
    assert!(matches!(published, Ok(Published::Stored(_))));
    assert!(matches!(publish(2).await, Err(StoreError::Unavailable(_))));
    let rows = log.rows(EVENT, &Rendition::new("v").unwrap(), 0..=9, 9).await.unwrap();
    assert_eq!(log.read(&rows[0], 0..50_000).await.unwrap().0.to_bytes(), bytes.to_bytes());
}

#[tokio::test]
async fn a_committer_that_is_gone_leaves_nobody_waiting() {
    let rig = Rig::open(cold());
    let bytes = body(1, 10);
    let claim = claim(segment("v", 1, "a"), &bytes, rig.log.stamp());
    let Rig { log, committer, .. } = rig;
    let gone = async { drop(committer) };
    let (waiting, ()) = tokio::join!(biased; log.publish(claim.clone(), bytes.clone()), gone);
    assert!(matches!(waiting, Err(StoreError::Unavailable(_))));
    assert!(matches!(log.publish(claim, bytes).await, Err(StoreError::Unavailable(_))));
}

/// Counts reads on their way to a simulated disk.
struct Counting(Arc<Simulated>, Arc<AtomicUsize>);

struct CountingFile(Arc<dyn File>, Arc<AtomicUsize>);

impl Disk for Counting {
    fn lock(&self) -> std::io::Result<Box<dyn Send + Sync>> {
        self.0.lock()
    }
    fn in_use(&self) -> std::io::Result<bool> {
        self.0.in_use()
    }
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> std::io::Result<Arc<dyn File>> {
        self.0.create(name)
    }
    fn open(&self, name: &str) -> std::io::Result<Arc<dyn File>> {
        Ok(Arc::new(CountingFile(self.0.open(name)?, self.1.clone())))
    }
    fn open_to_repair(&self, name: &str) -> std::io::Result<Arc<dyn File>> {
        self.0.open_to_repair(name)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.0.rename(from, to)
    }
    fn unlink(&self, name: &str) -> std::io::Result<()> {
        self.0.unlink(name)
    }
    fn sync_dir(&self) -> std::io::Result<()> {
        self.0.sync_dir()
    }
    fn free_bytes(&self) -> std::io::Result<u64> {
        self.0.free_bytes()
    }
    fn total_bytes(&self) -> std::io::Result<u64> {
        self.0.total_bytes()
    }
    fn place(&self) -> String {
        self.0.place()
    }
}

impl File for CountingFile {
    fn length(&self) -> std::io::Result<u64> {
        self.0.length()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, slices: &mut [std::io::IoSlice<'_>], offset: u64) -> std::io::Result<()> {
        self.0.write_at(slices, offset)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn truncate(&self, length: u64) -> std::io::Result<()> {
        self.0.truncate(length)
    }
    fn punch(&self, offset: u64, length: u64) -> std::io::Result<()> {
        self.0.punch(offset, length)
    }
}

#[tokio::test]
async fn many_readers_of_one_object_cost_one_read() {
    let reads = Arc::new(AtomicUsize::new(0));
    let disk = Arc::new(Counting(Simulated::new(1), reads.clone()));
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1000)));
    let options = Options { window_bytes: 0, dvr_bytes: 1 << 20, ..Options::default() };
    let log = Log::open(options, clock, disk, Arc::new(Heard::default())).unwrap();
    let bytes = body(1, 100_000);
    let claim = claim(segment("v", 1, "a"), &bytes, log.stamp());
    let Published::Stored(row) = log.publish(claim, bytes.clone()).await.unwrap() else { panic!("not stored") };
    assert!(log.hot(&row).is_none());
    let readers: Vec<_> = (0..50)
        .map(|from| {
            let (log, row) = (log.clone(), row.clone());
            tokio::spawn(async move { log.read(&row, from..from + 10).await.unwrap().0.to_bytes() })
        })
        .collect();
    for (from, reader) in readers.into_iter().enumerate() {
        assert_eq!(reader.await.unwrap(), bytes.slice(from as u64..from as u64 + 10).to_bytes());
    }
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    assert!(log.stats().dvr_bytes > 100_000);
}
