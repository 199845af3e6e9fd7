//! What a machine does to a store: volumes that run full, go read-only or stop answering, files that are taken away,
//! clocks that are wrong. On real volumes, with the real server. docs/faults.md promises what is tested here.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod files;
mod mount;

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_model::row::Keep;
use headwater_model::{Millis, Rendition, Timestamp};
use headwater_store::conformance::{EVENT, Heard, body, claim, segment};
use headwater_store::disk::Directory;
use headwater_store::log::{Log, Options};
use headwater_store::stamp::ManualClock;
use headwater_store::{Published, Store};
use mount::{Volume, with_own_mounts};
use serde_json::{Value, json};
use support::server::folder;
use support::{Event, Reply, Server, eventually, get, http};

/// A server keeps so little in memory that reads go to the disk.
const COLD: [&str; 6] = ["--window-bytes", "1048576", "--dvr-bytes", "1048576", "--reserve-bytes", "16777216"];
const MIB: usize = 1 << 20;

/// What `pipeline` publishes as `number`.
fn media(pipeline: &str, number: u64) -> Vec<u8> {
    let mut dice = support::Dice::new(number * 7 + u64::from(pipeline.as_bytes()[0]));
    dice.bytes(2 * MIB)
}

/// `document` of an event whose segments stay, and count as live: what is past that is refused after a slow sync.
fn lasting(mut document: Value) -> Value {
    support::event::merge(&mut document, json!({"dvr_window_s": 3600, "live_window_s": 3600}));
    document
}

fn publish(event: &Event, pipeline: &str, number: u64) -> Reply {
    http::put(event.candidate(pipeline, number), media(pipeline, number))
}

#[track_caller]
fn check_served(event: &Event, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let reply = event.get(number).expect(200);
        assert!(reply.body == media("a", number), "segment {number} is not what was published");
    }
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = get(format!("{}/metrics", server.ops)).expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in:\n{text}"))
}

#[track_caller]
fn refused(reply: &Reply, status: u16, words: &[&str]) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let problem = reply.json();
    let detail = problem["detail"].as_str().expect("a detail");
    for word in words {
        assert!(detail.contains(word), "no `{word}`: {problem}");
    }
}

#[test]
fn a_full_volume_refuses_uploads_serves_reads_and_recovers_by_itself() {
    with_own_mounts(|| {
        let folder = Arc::new(folder());
        let volume = Volume::ext4(&folder.path().join("data"), 128);
        let server = Server::start_on(&folder, &COLD);
        let event = Event::new(&server, "game", lasting(json!({})));
        (1..5).for_each(|number| drop(publish(&event, "a", number).expect(201)));
        volume.fill(8 << 20);
        refused(&publish(&event, "a", 5), 507, &["no room", "free space", "dvr_window_s"]);
        check_served(&event, 1..=4);
        assert!(metric(&server, "headwater_disk_free_bytes") < (16 << 20) as f64);
        // The last byte is gone too, and the server dies: the next one starts, and serves.
        volume.fill(0);
        assert!(volume.free() < 65536, "{}", volume.free());
        refused(&publish(&event, "a", 5), 507, &[]);
        let server = server.kill_and_restart_with(&COLD);
        let event = event.on(&server);
        check_served(&event, 1..=4);
        refused(&publish(&event, "a", 5), 507, &[]);
        volume.empty();
        publish(&event, "a", 5).expect(201);
        check_served(&event, 1..=5);
    });
}

#[test]
fn before_the_volume_is_full_the_oldest_media_goes() {
    with_own_mounts(|| {
        let folder = folder();
        let _volume = Volume::tmpfs(&folder.path().join("data"), 64);
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000_000)));
        let options = Options { reserve_bytes: 4 << 20, ballast_bytes: 1 << 20, ..Options::default() };
        let disk = Arc::new(Directory::open(&folder.path().join("data")).expect("a directory"));
        let opened = Log::open_by_hand(options, clock.clone(), disk, Arc::new(Heard::default()));
        let (log, mut committer) = opened.expect("an empty volume");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        // Four times what fits, of an hour that would not.
        for number in 0..256 {
            let media = body(number, MIB);
            let claim = claim(segment("v", number, "a"), &media, log.stamp());
            let keep = Keep::Until(log.stamp() + Millis::from_seconds(3600));
            let publishing = runtime.spawn({
                let (log, claim) = (log.clone(), headwater_model::row::Claim { keep, ..claim });
                async move { log.publish(claim, media).await }
            });
            eventually("a commit", || (committer.step_once() > 0).then_some(()));
            let published = runtime.block_on(publishing).expect("no panic");
            assert!(matches!(published, Ok(Published::Stored(_))), "segment {number}: {published:?}");
            while committer.tend() {}
            clock.advance(Duration::from_secs(10));
        }
        let rendition = Rendition::new("v").expect("a name");
        let rows = runtime.block_on(log.rows(EVENT, &rendition, 0..=999, 999)).expect("rows");
        let newest = &rows[rows.len() - 30..];
        for (row, number) in newest.iter().zip(226..) {
            assert_eq!(row.key, segment("v", number, "a"));
            let (read, _) = runtime.block_on(log.read(row, 0..row.size)).expect("bytes");
            assert!(read.to_bytes() == body(number, MIB).to_bytes());
        }
        assert!(log.stats().early_bytes > 100 << 20, "{:?}", log.stats());
    });
}

#[test]
fn a_volume_that_goes_read_only_serves_reads_and_loses_nothing() {
    with_own_mounts(|| {
        let folder = Arc::new(folder());
        let volume = Volume::ext4(&folder.path().join("data"), 128);
        let mut server = Server::start_on(&folder, &COLD);
        let event = Event::new(&server, "game", lasting(json!({})));
        (1..5).for_each(|number| drop(publish(&event, "a", number).expect(201)));
        volume.fail();
        refused(&publish(&event, "a", 5), 503, &["read-only", "kernel's log"]);
        check_served(&event, 1..=4);
        server.kill();
        let told = files::refused_start(&folder.path().join("data"));
        assert!(told.contains("read-only volume") && told.contains("remount"), "{told}");
        volume.unmount_and_check();
        volume.mount();
        let server = server.restart_with(&COLD);
        let event = event.on(&server);
        check_served(&event, 1..=4);
        publish(&event, "a", 5).expect(201);
    });
}

#[test]
fn a_disk_that_stops_answering_costs_uploads_and_no_reads() {
    with_own_mounts(|| {
        let folder = Arc::new(folder());
        let volume = Volume::ext4(&folder.path().join("data"), 128);
        // The live window is as large as usual: what it holds needs no disk. So is the budget of a publish.
        let config = folder.path().join("headwater.toml");
        std::fs::write(&config, "").expect("a file");
        let server = Server::start_on(&folder, &["--config", config.to_str().expect("plain names")]);
        let event = Event::new(&server, "game", json!({}));
        (1..5).for_each(|number| drop(publish(&event, "a", number).expect(201)));
        let frozen = volume.freeze();
        let started = Instant::now();
        let reply = publish(&event, "a", 5);
        refused(&reply, 503, &[]);
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        assert!(!reply.header("retry-after").is_empty(), "{}", reply.text());
        check_served(&event, 1..=4);
        drop(frozen);
        // The upload may have been stored by now: the same bytes again are as good.
        let again = eventually("an upload", || Some(publish(&event, "a", 5)).filter(|reply| reply.status < 500));
        assert!(matches!(again.status, 200 | 201), "{}", again.text());
        check_served(&event, 1..=5);
    });
}
