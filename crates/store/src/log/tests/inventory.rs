//! Bucket files that are taken away are missed.

use super::*;

#[tokio::test]
async fn a_bucket_file_that_was_taken_away_is_missed_once() {
    let options = Options { bucket_bytes: 30_000, ..cold() };
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(Directory::open(dir.path()).unwrap());
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1000)));
        Log::open_by_hand(options.clone(), clock, disk, Arc::new(Heard::default())).unwrap()
    };
    let bytes = body(1, 20_000);
    let (log, mut committer) = open();
    for number in 0..8 {
        let claim = claim(segment("v", number, "a"), &bytes, log.stamp());
        let step = async {
            committer.step_once();
            committer.tend();
        };
        let (published, ()) = tokio::join!(biased; log.publish(claim, bytes.clone()), step);
        assert!(matches!(published, Ok(Published::Stored(_))));
    }
    drop((log, committer));
    let buckets = || -> Vec<_> {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "hwl")).collect();
        names.sort();
        names
    };
    let (log, _committer) = open();
    assert_eq!((buckets().len(), log.stats().missing_buckets), (4, 0));
    drop((log, _committer));
    // The newest one: no number of another tells of it.
    std::fs::remove_file(&buckets()[3]).unwrap();
    std::fs::remove_file(&buckets()[1]).unwrap();
    let (log, committer) = open();
    assert_eq!(log.stats().missing_buckets, 2);
    let rows = log.rows(EVENT, &Rendition::new("v").unwrap(), 0..=99, 99).await.unwrap();
    assert_eq!(rows.len(), 4, "the rest is there");
    drop((log, committer));
    let (log, committer) = open();
    assert_eq!(log.stats().missing_buckets, 0, "it was said");
    drop((log, committer));
    // A list that is damaged raises no alarm that stops anything.
    std::fs::write(dir.path().join("inventory"), b"+ 0000000000000001.hwl\n+ rubbish\n\xff\xff\n+ 00000000").unwrap();
    let (log, _committer) = open();
    assert_eq!((log.stats().missing_buckets, log.stats().buckets), (0, 2));
}

#[tokio::test]
async fn a_bucket_that_expired_is_not_missed() {
    let rig = Rig::open(cold());
    rig.stored_until(1, 1060, &body(1, 5000)).await;
    rig.stored_until(2, 90_000, &body(1, 5000)).await;
    rig.clock.advance(Duration::from_secs(300));
    rig.tend();
    let rig = rig.restart(cold());
    assert_eq!(rig.log.stats().missing_buckets, 0);
    rig.disk.crash();
    let rig = rig.restart(cold());
    assert_eq!(rig.log.stats().missing_buckets, 0);
}
