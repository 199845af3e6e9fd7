//! Real files in a real directory, damaged in place at random: a byte, a sector, a cut, a whole file. Never a wrong byte,
//! never a panic, never a start that fails; and what is lost is what was hit, by rules that are written down here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::format::{FILE_HEADER_BYTES, HEAD_BYTES, Head, Record, file_name};
use super::super::{bucket::Stored, index};
use super::*;
use crate::disk::simulated::SplitMix64;

const START: i64 = 1_790_000_000;
const OTHER: EventId = EventId(8);
const FLIPS: u64 = 200;
const SECTORS: u64 = 40;
const CUTS: u64 = 40;

/// The buckets that [`Written`] leaves, in their order.
const STANDING: u64 = 1;
const MEDIA: u64 = 2;
const STANDING_TAIL: u64 = 3;
const MEDIA_TAIL: u64 = 4;

/// Two sealed buckets, two that were taking records when the process was killed, and all that was acked.
struct Written {
    folder: tempfile::TempDir,
    log: Arc<Log>,
    committer: Committer,
    bodies: BTreeMap<u128, Body>,
    /// Of each bucket what was durable when its last commit was written.
    vouched: BTreeMap<u64, u64>,
}

impl Written {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, committer) = open(folder.path()).unwrap();
        let (bodies, vouched) = Default::default();
        let mut written = Self { folder, log, committer, bodies, vouched };
        written.fill(EVENT, "game", 0).await;
        written.committer.finish();
        written.fill(OTHER, "other", 100).await;
        assert_eq!(written.files().keys().copied().collect::<Vec<_>>(), [STANDING, MEDIA, STANDING_TAIL, MEDIA_TAIL]);
        written
    }

    async fn fill(&mut self, id: EventId, name: &str, from: u64) {
        let log = Arc::clone(&self.log);
        let of = |key: Key| Key { event: id, ..key };
        let entry = Entry::Alive(Box::new(event(id, name, Counters::default())));
        self.commit(async { log.write_entry(entry, 0).await.unwrap() }).await;
        // One that is replaced, one that is removed, and two to a commit.
        for (seed, path) in [(1, "replaced"), (2, "replaced"), (3, "removed"), (4, "kept"), (5, "kept too")] {
            let both = [(of(loose(path, "a")), 700 * seed as usize), (of(init(&format!("v{seed}"), "a")), 5000)];
            self.publish(from + seed, &both).await;
        }
        self.commit(async { log.remove(of(loose("removed", "a"))).await.unwrap() }).await;
        self.publish(from + 6, &[(of(loose("last", "a")), 40), (of(loose("very last", "a")), 9000)]).await;
        for number in 0..8 {
            let lengths = [0, 40, 4096, 9000].map(|length| length + 7 * number as usize);
            let keys = ["a", "b", "c", "d"].map(|pipeline| of(segment("v", from + number, pipeline)));
            let media: Vec<_> = keys.into_iter().zip(lengths).collect();
            self.publish(from + 10 + number, &media).await;
        }
    }

    async fn publish(&mut self, seed: u64, objects: &[(Key, usize)]) {
        let log = Arc::clone(&self.log);
        let mut publishes = Vec::new();
        for (index, (key, length)) in objects.iter().enumerate() {
            let body = body(seed * 100 + index as u64, *length);
            self.bodies.insert(body.digest().0, body.clone());
            publishes.push((claim(key.clone(), &body, log.stamp()), body));
        }
        let all = publishes.into_iter().map(|(claim, body)| {
            let log = Arc::clone(&log);
            async move { assert!(matches!(log.publish(claim, body).await, Ok(Published::Stored(_)))) }
        });
        let mut all: Vec<_> = all.map(Box::pin).collect();
        self.commit(std::future::poll_fn(move |context| {
            all.retain_mut(|publish| publish.as_mut().poll(context).is_pending());
            if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }))
        .await;
    }

    /// One commit, and what was durable in its bucket before.
    async fn commit(&mut self, ask: impl Future<Output = ()>) {
        let lengths = |committer: &Committer| -> BTreeMap<u64, u64> {
            committer.shelf.buckets.iter().map(|(id, bucket)| (*id, bucket.length)).collect()
        };
        let before = lengths(&self.committer);
        let committer = &mut self.committer;
        let step = async {
            tokio::task::yield_now().await;
            committer.step_once();
        };
        tokio::join!(biased; ask, step);
        for (id, length) in lengths(&self.committer) {
            let was = before.get(&id).copied().unwrap_or(0);
            if was != length {
                self.vouched.insert(id, was);
            }
        }
    }

    fn files(&self) -> BTreeMap<u64, Vec<u8>> {
        let read = |id: u64| std::fs::read(self.folder.path().join(file_name(id))).unwrap();
        self.committer.shelf.buckets.keys().map(|id| (*id, read(*id))).collect()
    }

    /// Every record of `buckets`, with what it must come to when `damage` has met its file.
    fn records(&self, buckets: &[u64]) -> Vec<Arc<Stored>> {
        let of = |id: &u64| self.committer.shelf.buckets[id].records.clone();
        buckets.iter().flat_map(of).collect()
    }
}

fn open(folder: &Path) -> Result<(Arc<Log>, Committer), OpenError> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(START)));
    let disk = Arc::new(Directory::open(folder).unwrap());
    Log::open_by_hand(cold(), clock, disk, Arc::new(Heard::default()))
}

/// Bytes `from..to` of a file are no longer what they were.
#[derive(Clone, Copy, Debug)]
struct Hit {
    from: u64,
    to: u64,
}

impl Hit {
    fn overlaps(self, from: u64, to: u64) -> bool {
        self.from < to && from < self.to
    }
}

/// What is found of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Right,
    /// Its row is there, its bytes are refused.
    Refused,
    Absent,
}

/// What a hit does to the records of a bucket.
fn expected(records: &[Arc<Stored>], bytes: &[u8], hit: Hit, vouched: Option<u64>) -> Vec<Found> {
    let mut cut = false;
    let found = records.iter().map(|stored| {
        let (at, payload) = (stored.extent.offset, stored.extent.payload);
        let head = Head::decode(&bytes[at as usize..]).unwrap();
        let meta = at + HEAD_BYTES as u64 + u64::from(head.meta);
        let (head_hit, payload_hit) = (hit.overlaps(at, meta), hit.overlaps(payload, payload + head.payload));
        match vouched {
            // The footer tells of every record, whatever became of its head.
            None if payload_hit => Found::Refused,
            None => Found::Right,
            // A later commit vouches for this one.
            Some(vouched) if at < vouched && head_hit => Found::Absent,
            Some(vouched) if at < vouched && payload_hit => Found::Refused,
            Some(vouched) if at < vouched => Found::Right,
            // Damage in the last commit of a file looks like a torn write: it ends there.
            Some(_) => {
                cut |= head_hit || payload_hit;
                if cut { Found::Absent } else { Found::Right }
            }
        }
    });
    found.collect()
}

/// What `log` has of each of `records`; panics over anything that was never written.
async fn found(log: &Log, records: &[Arc<Stored>], bodies: &BTreeMap<u128, Body>) -> Vec<Found> {
    let (mut rows, entries) = (Vec::new(), log.entries().await.unwrap());
    for event in [EVENT, OTHER] {
        rows.extend(log.rows(event, &Rendition::new("v").unwrap(), 0..=u64::MAX, 1000).await.unwrap());
        rows.extend(log.standing(event, 0).await.unwrap());
    }
    let is_written = |row: &Row| records.iter().any(|stored| index::row(stored) == Some(row));
    assert!(rows.iter().all(is_written), "a row that nobody wrote: {rows:?}");
    let is_entry = |entry: &Entry| records.iter().any(|stored| entry_of(stored) == Some(entry));
    assert!(entries.iter().all(is_entry), "an entry that nobody wrote: {entries:?}");
    let mut all = Vec::new();
    for stored in records {
        all.push(match &stored.record {
            Record::Row(row) if rows.contains(row) => match log.read(row, 0..row.size).await {
                Ok((read, _)) if read.to_bytes() == bodies[&row.digest.0].to_bytes() => Found::Right,
                Err(StoreError::Damaged(_)) => Found::Refused,
                other => panic!("{other:?} for {row:?}"),
            },
            Record::Row(_) => Found::Absent,
            Record::Removal { key, .. } if rows.iter().any(|row| row.key == *key) => Found::Absent,
            Record::Entry { entry, .. } if !entries.contains(entry) => Found::Absent,
            _ => Found::Right,
        });
    }
    all
}

fn entry_of(stored: &Stored) -> Option<&Entry> {
    if let Record::Entry { entry, .. } = &stored.record { Some(entry) } else { None }
}

/// What was replaced or removed is told of by no healthy log, and by a damaged one if it lost what came after.
fn superseded(records: &[Arc<Stored>]) -> Vec<bool> {
    let path = |stored: &Stored| match index::row(stored).map(|row| &row.key.object) {
        Some(Object::Loose { path }) => path.to_string(),
        _ => String::new(),
    };
    let mut seen = BTreeSet::new();
    let key = |stored: &Arc<Stored>| index::row(stored).map(|row| row.key.clone());
    let replaced = records.iter().rev().map(|stored| path(stored) == "replaced" && !seen.insert(key(stored)));
    let mut replaced: Vec<bool> = replaced.collect();
    replaced.reverse();
    replaced.iter().zip(records).map(|(replaced, stored)| *replaced || path(stored) == "removed").collect()
}

/// A copy of some buckets, to be damaged.
struct Copy {
    folder: tempfile::TempDir,
    files: BTreeMap<u64, Vec<u8>>,
}

impl Copy {
    fn of(written: &Written, buckets: &[u64]) -> Self {
        let mut files = written.files();
        files.retain(|id, _| buckets.contains(id));
        Self { folder: tempfile::tempdir().unwrap(), files }
    }

    /// Everything as it was, but for what `change` does to `bucket`; `None` removes it.
    fn damage(&self, bucket: u64, change: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let mut changed = self.files[&bucket].clone();
        let changed = change(&mut changed).map(|()| changed);
        for (id, bytes) in &self.files {
            let bytes = if *id == bucket { changed.as_ref() } else { Some(bytes) };
            if let Some(bytes) = bytes {
                std::fs::write(self.folder.path().join(file_name(*id)), bytes).unwrap();
            }
        }
    }

    /// Opens the copy twice, since the first start may cut, mend and seal, and compares what is found.
    async fn check(&self, written: &Written, expected: &[Found], what: &str) {
        let buckets: Vec<u64> = self.files.keys().copied().collect();
        let records = written.records(&buckets);
        let superseded = superseded(&records);
        for start in ["first", "second"] {
            let (log, committer) = open(self.folder.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = found(&log, &records, &written.bodies).await;
            for (index, stored) in records.iter().enumerate().filter(|(index, _)| !superseded[*index]) {
                // Of a removal nothing is seen where its row is lost too.
                let unseen = matches!(stored.record, Record::Removal { .. }) && expected[index] == Found::Absent;
                assert!(
                    unseen || found[index] == expected[index],
                    "{what}, {start} start: {:?}, {stored:?}",
                    found[index]
                );
            }
            drop((log, committer));
        }
    }
}

/// Hits one bucket over and over: `FLIPS` bytes, and some sectors that read as zeros.
async fn check_hits(bucket: u64, copied: &[u64], is_sealed: bool) {
    let written = Written::new().await;
    let copy = Copy::of(&written, copied);
    let bytes = &copy.files[&bucket];
    let mut random = SplitMix64(bucket);
    let (mut refused, mut absent) = (0, 0);
    let heads: Vec<u64> = written.records(&[bucket]).iter().map(|stored| stored.extent.offset + 20).collect();
    let rounds = FLIPS + SECTORS + heads.len() as u64;
    for round in 0..rounds {
        let at = match round.checked_sub(FLIPS + SECTORS) {
            Some(head) => heads[head as usize],
            // A sixth of them in the header.
            None if round % 6 == 0 => random.below(FILE_HEADER_BYTES as u64),
            None => random.below(bytes.len() as u64),
        };
        let (flip, is_flip) = (1 + random.below(255) as u8, !(FLIPS..FLIPS + SECTORS).contains(&round));
        let hit = if is_flip { Hit { from: at, to: at + 1 } } else { sector(at, bytes) };
        let change = |bytes: &mut Vec<u8>| {
            let range = hit.from as usize..hit.to as usize;
            bytes[range].iter_mut().for_each(|byte| *byte = if is_flip { *byte ^ flip } else { 0 });
            Some(())
        };
        copy.damage(bucket, change);
        let mut all = Vec::new();
        for id in copied {
            let hit = if *id == bucket { hit } else { Hit { from: 0, to: 0 } };
            let vouched = (!is_sealed).then(|| written.vouched[id]);
            all.extend(expected(&written.records(&[*id]), &copy.files[id], hit, vouched));
        }
        refused += all.iter().filter(|found| **found == Found::Refused).count();
        absent += all.iter().filter(|found| **found == Found::Absent).count();
        copy.check(&written, &all, &format!("bucket {bucket}, {hit:?}")).await;
    }
    println!(
        "bucket {bucket}, {} bytes: {rounds} hits, {SECTORS} of them sectors: {refused} refused, {absent} absent",
        bytes.len()
    );
}

/// The sector of 512 bytes around `at`.
fn sector(at: u64, bytes: &[u8]) -> Hit {
    Hit { from: at / 512 * 512, to: (at / 512 * 512 + 512).min(bytes.len() as u64) }
}

#[tokio::test]
async fn a_hit_in_a_sealed_bucket_of_media_costs_what_was_hit() {
    check_hits(MEDIA, &[STANDING, MEDIA], true).await;
}

#[tokio::test]
async fn a_hit_in_a_sealed_bucket_of_standing_records_costs_what_was_hit() {
    check_hits(STANDING, &[STANDING, MEDIA], true).await;
}

#[tokio::test]
async fn a_hit_in_media_that_was_being_written_costs_what_was_hit_or_the_end_of_the_last_commit() {
    check_hits(MEDIA_TAIL, &[STANDING_TAIL, MEDIA_TAIL], false).await;
}

#[tokio::test]
async fn a_hit_in_standing_records_that_were_being_written_costs_what_was_hit_or_the_end_of_the_last_commit() {
    check_hits(STANDING_TAIL, &[STANDING_TAIL, MEDIA_TAIL], false).await;
}

#[tokio::test]
async fn a_file_that_was_cut_keeps_what_lies_before() {
    let written = Written::new().await;
    for (bucket, copied) in [
        (STANDING, [STANDING, MEDIA]),
        (MEDIA, [STANDING, MEDIA]),
        (STANDING_TAIL, [STANDING_TAIL, MEDIA_TAIL]),
        (MEDIA_TAIL, [STANDING_TAIL, MEDIA_TAIL]),
    ] {
        let copy = Copy::of(&written, &copied);
        let mut random = SplitMix64(bucket);
        for cut in 0..=CUTS {
            let length = random.below(copy.files[&bucket].len() as u64);
            // The last time the file goes as a whole.
            let length = if cut == CUTS { 0 } else { length };
            copy.damage(bucket, |bytes| {
                bytes.truncate(length as usize);
                (cut < CUTS).then_some(())
            });
            let is_kept = |stored: &Arc<Stored>| {
                let head = Head::decode(&copy.files[&stored.bucket][stored.extent.offset as usize..]).unwrap();
                let meta = stored.extent.offset + HEAD_BYTES as u64 + u64::from(head.meta);
                let end = if head.payload == 0 { meta } else { stored.extent.payload + head.payload };
                stored.bucket != bucket || end <= length
            };
            let records = written.records(&copied);
            let all: Vec<_> =
                records.iter().map(|stored| if is_kept(stored) { Found::Right } else { Found::Absent }).collect();
            copy.check(&written, &all, &format!("bucket {bucket} cut to {length}")).await;
        }
    }
}

#[tokio::test]
async fn a_hit_under_a_running_log_refuses_what_was_hit_and_nothing_else() {
    let written = Written::new().await;
    let all = [STANDING, MEDIA, STANDING_TAIL, MEDIA_TAIL];
    let records = written.records(&all);
    let superseded = superseded(&records);
    for (bucket, bytes) in written.files() {
        let path = written.folder.path().join(file_name(bucket));
        let mut random = SplitMix64(bucket);
        for round in 0..FLIPS + CUTS {
            let at = random.below(bytes.len() as u64);
            let mut damaged = bytes.clone();
            let hit = if round < FLIPS {
                damaged[at as usize] ^= 1 + random.below(255) as u8;
                Hit { from: at, to: at + 1 }
            } else {
                damaged.truncate(at as usize);
                Hit { from: at, to: u64::MAX }
            };
            match round {
                0 => std::fs::remove_file(&path).unwrap(),
                _ => std::fs::write(&path, &damaged).unwrap(),
            }
            let found = found(&written.log, &records, &written.bodies).await;
            for ((stored, found), _) in records.iter().zip(found).zip(&superseded).filter(|(_, gone)| !**gone) {
                let size = index::row(stored).map_or(0, |row| row.size);
                let (from, to) = (stored.extent.payload, stored.extent.payload + size);
                let is_hit = stored.bucket == bucket && size > 0 && (round == 0 || hit.overlaps(from, to));
                let expected = if is_hit { Found::Refused } else { Found::Right };
                assert_eq!(found, expected, "bucket {bucket}, {hit:?}: {stored:?}");
            }
            std::fs::write(&path, &bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn whatever_is_in_the_lock_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = SplitMix64(5);
    for _ in 0..FLIPS {
        let bytes: Vec<u8> = (0..random.below(100)).map(|_| random.draw() as u8).collect();
        std::fs::write(folder.path().join("lock"), &bytes).unwrap();
        open(folder.path()).unwrap();
        assert_eq!(std::fs::read(folder.path().join("lock")).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_start_that_fails_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(file_name(1))).unwrap();
    let told = open(folder.path()).map(drop).unwrap_err().to_string();
    assert!(told.contains(&file_name(1)) && told.contains("check that"), "{told}");
}
