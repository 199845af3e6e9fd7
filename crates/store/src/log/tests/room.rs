//! Space that is given back: holes in shared buckets, media that goes before its time, clocks that are wrong.

use super::*;

fn gone(alive: &headwater_model::event::Event) -> Entry {
    let (tenant, name) = (alive.tenant.clone(), alive.name.clone());
    Entry::Gone { tenant, name, counters: Counters { rev: 2, cache_version: 2 } }
}

const OTHER: EventId = EventId(77);

/// A log with a bucket that two events share, sealed, one of them deleted.
async fn half_deleted() -> (Rig, Vec<Row>, Body) {
    let rig = Rig::open(Options { bucket_bytes: 100_000, ..cold() });
    let alive = event(EVENT, "game", Counters::default());
    rig.done(rig.log.write_entry(Entry::Alive(Box::new(alive.clone())), 0)).await.unwrap();
    let bytes = body(1, 20_000);
    for number in 0..10 {
        rig.stored(segment("v", number, "a"), &bytes).await;
        rig.stored(Key { event: OTHER, ..segment("v", number, "a") }, &bytes).await;
    }
    rig.tend();
    let kept = rig.log.rows(OTHER, &Rendition::new("v").unwrap(), 0..=99, 99).await.unwrap();
    rig.done(rig.log.write_entry(gone(&alive), 1)).await.unwrap();
    rig.clock.advance(Duration::from_secs(120));
    (rig, kept, bytes)
}

#[tokio::test]
async fn a_deleted_event_gives_its_space_back_though_its_buckets_are_shared() {
    let (rig, kept, bytes) = half_deleted().await;
    let before = (rig.log.stats().disk_bytes, rig.free());
    rig.tend();
    let after = (rig.log.stats().disk_bytes, rig.free());
    assert!(before.0 - after.0 >= 9 * 16_384, "{before:?} {after:?}");
    assert!(after.1 - before.1 >= 9 * 16_384, "{before:?} {after:?}");
    for row in &kept {
        assert_eq!(rig.read(row).await.unwrap().to_bytes(), bytes.to_bytes());
    }
    let rig = rig.restart(cold());
    rig.tend();
    assert!(rig.log.stats().disk_bytes <= after.0, "what was freed is not counted again");
    for row in &kept {
        assert_eq!(rig.read(row).await.unwrap().to_bytes(), bytes.to_bytes());
    }
}

#[tokio::test]
async fn holes_before_a_damaged_footer_cost_their_neighbours_nothing() {
    for crash_before_tending in [false, true] {
        let (rig, kept, bytes) = half_deleted().await;
        if !crash_before_tending {
            rig.tend();
        }
        let rig = rig.restart(cold());
        rig.tend();
        let Rig { disk, clock, log, committer, .. } = rig;
        drop((log, committer));
        for name in Disk::list(&*disk).unwrap() {
            let bytes = disk.bytes(&name).unwrap();
            let trailer = bytes.len() - 64;
            if bytes[trailer..].starts_with(b"HwFooter") {
                disk.flip_bit(&name, trailer - 20);
            }
        }
        let rig = Rig::reopen(disk, clock, cold());
        for row in &kept {
            assert_eq!(rig.read(row).await.unwrap().to_bytes(), bytes.to_bytes(), "{row:?}");
        }
        assert_eq!(rig.rows().await, [], "what was deleted stays deleted");
    }
}

#[tokio::test]
async fn on_a_full_disk_what_would_expire_next_goes_before_its_time() {
    let options = Options { bucket_bytes: 100_000, reserve_bytes: 50_000, ..cold() };
    let rig = Rig::open(options.clone());
    let bytes = body(1, 20_000);
    rig.stored(init("v", "a"), &bytes).await;
    rig.disk.set_capacity(1_000_000);
    let mut rows = Vec::new();
    for number in 0..400 {
        let until = if number % 2 == 0 { 50_000 } else { 500_000 };
        rows.push(rig.stored_until(number, until, &bytes).await);
        rig.clock.advance(Duration::from_secs(10));
        rig.tend();
    }
    let stats = rig.log.stats();
    assert!(stats.early_buckets > 50 && stats.early_bytes > 5_000_000, "{stats:?}");
    let left = rig.rows().await;
    let newest: Vec<u64> = (390..400).collect();
    let number = |row: &Row| if let Object::Segment { number, .. } = row.key.object { number } else { 0 };
    let numbers: Vec<u64> = left.iter().map(number).collect();
    assert!(newest.iter().all(|number| numbers.contains(number)), "{numbers:?}");
    assert!(numbers.len() > 15, "no more goes than has to: {numbers:?}");
    let odd = numbers.iter().filter(|number| **number % 2 == 1).count();
    assert!(odd * 2 > numbers.len(), "what is kept longer goes later: {numbers:?}");
    assert_eq!(rig.heard.removed().len(), 400 - left.len(), "the listener hears of each");
    rig.disk.crash();
    let rig = rig.restart(options);
    assert_eq!(rig.rows().await, left);
    let [init] = rig.log.standing(EVENT, 0).await.unwrap().try_into().unwrap();
    assert_eq!(rig.read(&init).await.unwrap().to_bytes(), bytes.to_bytes());
}

#[tokio::test]
async fn what_is_young_never_goes_before_its_time() {
    let rig = Rig::open(Options { bucket_bytes: 100_000, reserve_bytes: 50_000, ..cold() });
    rig.disk.set_capacity(500_000);
    let bytes = body(1, 20_000);
    let mut refused = 0;
    for number in 0..40 {
        let claim = claim(segment("v", number, "a"), &bytes, rig.log.stamp());
        refused += u64::from(matches!(rig.publish(claim, &bytes).await, Err(StoreError::Full(_))));
        rig.clock.advance(Duration::from_secs(2));
        rig.tend();
    }
    assert_eq!(rig.log.stats().early_buckets, 0);
    assert!(refused > 10, "{refused}");
    rig.clock.advance(Duration::from_secs(130));
    rig.tend();
    assert!(rig.log.stats().early_buckets > 0, "two minutes later it makes room");
    rig.stored(segment("v", 50, "a"), &bytes).await;
}

/// A row that took the place of a defective one in a bucket with a longer life goes before its time: the defective one
/// must not be back.
#[tokio::test]
async fn what_was_replaced_is_not_back_when_its_successor_goes_early() {
    let options = Options { bucket_bytes: 200_000, reserve_bytes: 50_000, ..cold() };
    let rig = Rig::open(options.clone());
    let (old, new) = (body(1, 20_000), body(2, 20_000));
    for number in 0..6 {
        let claim = conformance::defective(claim(segment("v", number, "a"), &old, rig.log.stamp()));
        rig.stored_as(Claim { keep: Keep::Until(Timestamp::from_seconds(900_000)), ..claim }, &old).await;
    }
    for number in 0..10 {
        rig.stored_until(number, 5_000, &new).await;
    }
    rig.tend();
    rig.clock.advance(Duration::from_secs(300));
    // The bucket of the defective ones is still open and takes one more, too young to go.
    let young = rig.stored_until(100, 900_000, &old).await;
    rig.disk.set_capacity(used(&rig) + 60_000);
    rig.tend();
    let stats = rig.log.stats();
    assert_eq!(rig.rows().await, std::slice::from_ref(&young), "{stats:?}");
    assert_eq!(stats.early_buckets, 1);
    rig.disk.set_capacity(u64::MAX);
    rig.disk.crash();
    let rig = rig.restart(options);
    assert_eq!(rig.rows().await, [young]);
}

fn used(rig: &Rig) -> u64 {
    rig.files().iter().map(|name| rig.disk.bytes(name).unwrap().len() as u64).sum()
}

#[tokio::test]
async fn after_a_start_nothing_expires_until_a_wrong_clock_can_be_seen() {
    let patient = Options { expire_after: Duration::from_secs(900), ..cold() };
    let rig = Rig::open(cold());
    let bytes = body(1, 20_000);
    let row = rig.stored_until(1, 4600, &bytes).await;
    let Rig { disk, log, committer, .. } = rig;
    drop((log, committer));
    // The machine comes up with its clock a day ahead, and somebody sets it right after ten minutes.
    let day = 86_400;
    let rig = Rig::reopen(disk, Arc::new(ManualClock::at(Timestamp::from_seconds(1010 + day))), patient);
    assert_eq!(rig.rows().await, []);
    assert_eq!(
        rig.log.standing(EVENT, 9).await.unwrap(),
        std::slice::from_ref(&row),
        "a node that starts learns of it"
    );
    rig.tend();
    rig.clock.advance(Duration::from_secs(600));
    rig.tend();
    let ahead = rig.stored_until(2, 1600 + day + 3600, &bytes).await;
    rig.clock.set_wall(Timestamp::from_seconds(1610));
    assert_eq!(rig.rows().await, [row.clone(), ahead], "all of it is back");
    assert_eq!(rig.read(&row).await.unwrap().to_bytes(), bytes.to_bytes());
    // Stamps stay ahead; what is published by the right clock does not expire by them.
    let fresh = rig.stored_until(3, 1610 + 3600, &bytes).await;
    rig.clock.advance(Duration::from_secs(1000));
    rig.tend();
    assert!(rig.rows().await.contains(&fresh));
    assert_eq!(rig.read(&fresh).await.unwrap().to_bytes(), bytes.to_bytes());
}

#[tokio::test]
async fn expiry_goes_on_where_somebody_filled_the_disk_to_the_last_byte() {
    for ballast_bytes in [0, 40_000] {
        let options = Options { bucket_bytes: 100_000, ballast_bytes, ..cold() };
        let rig = Rig::open(options.clone());
        let (media, small) = (body(1, 20_000), body(2, 3000));
        // What stands lies among the media, and has to be written again before the media can go.
        let segment = claim(segment("v", 1, "a"), &media, rig.log.stamp());
        let segment = Claim { keep: Keep::Until(Timestamp::from_seconds(1100)), ..segment };
        let init = claim(init("v", "a"), &small, rig.log.stamp());
        let both =
            async { tokio::join!(rig.log.publish(segment, media.clone()), rig.log.publish(init, small.clone())) };
        rig.done(both).await.0.unwrap();
        rig.tend();
        rig.disk.set_capacity(used(&rig));
        let bucket = rig.files().remove(0);
        rig.clock.advance(Duration::from_secs(1000));
        rig.tend();
        assert_eq!(rig.files().contains(&bucket), ballast_bytes == 0, "without ballast it stays");
        rig.disk.set_capacity(u64::MAX);
        rig.clock.advance(Duration::from_secs(10));
        rig.tend();
        assert_eq!(rig.files().contains(&"ballast".to_owned()), ballast_bytes > 0, "there is room for it again");
        let rig = rig.restart(options);
        let [init] = rig.log.standing(EVENT, 0).await.unwrap().try_into().unwrap();
        assert_eq!(rig.read(&init).await.unwrap().to_bytes(), small.to_bytes());
    }
}

#[tokio::test]
async fn a_bad_sector_costs_what_lies_on_it_and_nothing_else() {
    let rig = Rig::open(cold());
    let bytes = body(1, 20_000);
    let row = rig.stored(segment("v", 1, "a"), &bytes).await;
    rig.disk.fail_next(Call::Read, 1);
    assert!(matches!(rig.read(&row).await, Err(StoreError::Damaged(told)) if told.contains("os error 5")));
    assert_eq!(rig.read(&row).await.unwrap().to_bytes(), bytes.to_bytes());
    let Rig { disk, clock, log, committer, .. } = rig;
    committer.lock().finish();
    drop((log, committer));
    // The first reads of a start are the list of buckets and the header of the first one.
    disk.fail_next(Call::Read, 2);
    let rig = Rig::reopen(disk, clock, cold());
    assert_eq!((rig.log.stats().damaged_buckets, rig.rows().await), (1, vec![]));
    rig.stored(segment("v", 2, "a"), &bytes).await;
    let rig = rig.restart(cold());
    assert_eq!(rig.rows().await.len(), 2, "the disk can read it again");
}

/// A channel that never ends: what stands was written to buckets of the first hour, which are long gone.
#[tokio::test]
async fn what_stands_outlives_every_bucket_it_was_written_to() {
    let rig = Rig::open(Options { bucket_bytes: 200_000, ..cold() });
    let bytes = body(1, 5000);
    let alive = event(EVENT, "channel", Counters::default());
    rig.done(rig.log.write_entry(Entry::Alive(Box::new(alive.clone())), 0)).await.unwrap();
    let init = rig.stored(init("v", "a"), &bytes).await;
    let manifest = rig.stored(loose("channel.mpd", "a"), &bytes).await;
    let first = rig.files();
    let mut most = 0;
    for number in 0..5000 {
        let until = rig.log.stamp() + Millis::from_seconds(3600);
        let claim = claim(segment("v", number, "a"), &bytes, rig.log.stamp());
        rig.stored_as(Claim { keep: Keep::Until(until), ..claim }, &bytes).await;
        rig.clock.advance(Duration::from_secs(120));
        rig.tend();
        most = most.max(rig.log.stats().disk_bytes);
    }
    assert!(first.iter().all(|name| !rig.files().contains(name)), "a week later none of the first files is there");
    assert!(most < 1_000_000, "an hour of media and what stands: {most}");
    rig.disk.crash();
    let rig = rig.restart(cold());
    assert_eq!(rig.log.entries().await.unwrap(), [Entry::Alive(Box::new(alive))]);
    assert_eq!(rig.log.standing(EVENT, 0).await.unwrap(), [init.clone(), manifest.clone()]);
    for row in [init, manifest] {
        assert_eq!(rig.read(&row).await.unwrap().to_bytes(), bytes.to_bytes());
    }
}
