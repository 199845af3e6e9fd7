//! Buckets that a start leaves on the disk: who needs them has them, and nobody else pays.

use super::*;
use crate::disk::Disk;
use crate::usage::Usage;

/// Twenty segments in each of five sealed buckets, and a log that has just started on them.
async fn started() -> (Rig, Vec<Row>) {
    let rig = Rig::open(Options { bucket_bytes: 100_000, ..cold() });
    let mut rows = Vec::new();
    for number in 0..100 {
        let row = rig.stored(segment("v", number, "a"), &body(number, 3000)).await;
        rows.push(row);
        if number % 20 == 19 {
            rig.committer.lock().finish();
        }
    }
    (rig.restart(cold()), rows)
}

impl Rig {
    fn in_memory(&self) -> (u64, u64) {
        let stats = self.log.stats();
        (stats.rows, stats.rows_in_memory)
    }
}

#[tokio::test]
async fn a_start_reads_no_segment_and_a_question_one_bucket() {
    let (rig, rows) = started().await;
    assert_eq!(rig.in_memory(), (100, 0));
    assert_eq!(rig.log.usage(&[EVENT]), Usage { objects: 100, bytes: 300_000 });
    let v = Rendition::new("v").unwrap();
    assert_eq!(rig.log.rows(EVENT, &v, 25..=27, 9).await.unwrap(), rows[25..=27]);
    assert_eq!(rig.in_memory(), (100, 20));
    assert_eq!(rig.log.standing(EVENT, 3).await.unwrap(), rows[97..]);
    assert_eq!(rig.in_memory(), (100, 40));
    rig.stored(segment("v", 100, "a"), &body(1, 10)).await;
    assert_eq!(rig.in_memory(), (101, 41), "the live edge has no past");
    assert_eq!(rig.read(&rows[0]).await.unwrap().to_bytes(), body(0, 3000).to_bytes());
    assert_eq!(rig.log.usage(&[EVENT]), Usage { objects: 101, bytes: 300_010 });
    assert_eq!(rig.rows().await[..100], rows);
    assert_eq!(rig.in_memory(), (101, 101));
}

#[tokio::test]
async fn what_is_on_the_disk_only_is_final_too() {
    let (rig, rows) = started().await;
    let other = body(7, 70);
    let late = claim(segment("v", 50, "a"), &other, rig.log.stamp());
    assert_eq!(rig.publish(late, &other).await, Ok(Published::Final(rows[50].clone())));
    rig.done(rig.log.remove(segment("v", 10, "a"))).await.unwrap();
    rig.committer.lock().finish();
    let rig = rig.restart(cold());
    assert_eq!(rig.in_memory(), (100, 20), "a removal and the bucket of what it removed");
    assert!(rig.rows().await[10].is_removed());
    assert_eq!(rig.log.usage(&[EVENT]), Usage { objects: 99, bytes: 297_000 });
}

#[tokio::test]
async fn a_disk_that_fails_makes_nothing_absent() {
    let (rig, rows) = started().await;
    let bytes = body(7, 70);
    let v = Rendition::new("v").unwrap();
    rig.disk.fail_next(Call::Read, 2);
    assert!(matches!(rig.log.rows(EVENT, &v, 0..=9, 9).await, Err(StoreError::Damaged(_))));
    let late = claim(segment("v", 50, "a"), &bytes, rig.log.stamp());
    assert!(matches!(rig.publish(late, &bytes).await, Err(StoreError::Unavailable(_))));
    assert_eq!(rig.log.rows(EVENT, &v, 0..=9, 99).await.unwrap(), rows[..10]);
}

#[tokio::test]
async fn a_damaged_footer_behind_a_summary_is_looked_past_and_repaired_by_the_next_start() {
    let (rig, rows) = started().await;
    let file = rig.files().remove(0);
    let length = rig.disk.bytes(&file).unwrap().len();
    rig.disk.flip_bit(&file, length - 100);
    assert_eq!(rig.rows().await, rows);
    assert_eq!(rig.log.stats().damaged_buckets, 1);
    rig.tend();
    let rig = rig.restart(cold());
    assert_eq!((rig.in_memory(), rig.log.stats().damaged_buckets), ((100, 20), 0));
    assert_eq!(rig.rows().await, rows);
}

#[tokio::test]
async fn a_file_that_has_vanished_is_missed_when_it_is_needed() {
    let (rig, rows) = started().await;
    let file = rig.files().remove(1);
    rig.disk.unlink(&file).unwrap();
    let rest = [&rows[..20], &rows[40..]].concat();
    assert_eq!(rig.rows().await, rest);
    assert_eq!(rig.log.stats().missing_buckets, 1);
}

#[tokio::test]
async fn a_deleted_event_and_an_expired_one_give_their_space_back_unasked() {
    let (rig, _) = started().await;
    let alive = event(EVENT, "game", Counters::default());
    rig.done(rig.log.write_entry(Entry::Alive(Box::new(alive.clone())), 0)).await.unwrap();
    let counters = Counters { rev: 2, cache_version: 2 };
    let gone = Entry::Gone { tenant: alive.tenant, name: alive.name, counters };
    rig.done(rig.log.write_entry(gone, 1)).await.unwrap();
    assert_eq!(rig.log.usage(&[EVENT]), Usage::default());
    rig.tend();
    assert_eq!((rig.in_memory(), rig.rows().await.len()), ((0, 0), 0));
    let (rig, _) = started().await;
    rig.clock.advance(Duration::from_secs(86_400 * 400));
    assert_eq!(rig.log.usage(&[EVENT]), Usage::default());
    rig.tend();
    assert_eq!(rig.log.stats().buckets, 1, "a mark of the time is left");
}
