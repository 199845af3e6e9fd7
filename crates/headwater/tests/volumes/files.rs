//! Files that are taken away, damaged, of a later build, or in use.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::json;

use super::{COLD, check_served, lasting, media, metric, publish};
use crate::support::program::Program;
use crate::support::server::{binary, folder};
use crate::support::{Event, PATIENCE, Server};

/// What `headwater serve` says when it does not start on `data`.
pub(crate) fn refused_start(data: &Path) -> String {
    let any = "127.0.0.1:0";
    let mut command = Command::new(binary());
    command.args(["serve", "--publish", any, "--deliver", any, "--ops", any, "--data"]).arg(data);
    let log = tempfile::NamedTempFile::new().expect("a log");
    let mut program = Program::start(&mut command, log.path());
    assert_eq!(program.wait(PATIENCE).code(), Some(1), "it should not start");
    program.said()
}

fn buckets(data: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(data).expect("the data").map(|entry| entry.expect("a name").path());
    let mut buckets: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "hwl")).collect();
    buckets.sort();
    buckets
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let folder = Arc::new(folder());
    let server = Server::start_on(&folder, &[]);
    let told = refused_start(&folder.path().join("data"));
    assert!(told.contains("in use by another process") && told.contains("another data directory"), "{told}");
    Event::new(&server, "game", json!({})).put("a", 9, "still there").expect(201);
}

#[test]
fn files_of_a_later_build_are_left_as_they_are() {
    let folder = Arc::new(folder());
    let data = folder.path().join("data");
    let mut server = Server::start_on(&folder, &[]);
    Event::new(&server, "game", json!({})).put("a", 9, "media").expect(201);
    server.terminate();
    server.wait();
    let bucket = buckets(&data).remove(0);
    let before = std::fs::read(&bucket).expect("a bucket");
    let mut later = before.clone();
    later[8] = 9;
    // A later build checks its header in a way of its own.
    later[48..64].fill(0xee);
    later[2048..4096].fill(0);
    std::fs::write(&bucket, &later).expect("a bucket");
    let told = refused_start(&data);
    assert!(told.contains("format version 9") && told.contains("newer build"), "{told}");
    assert!(std::fs::read(&bucket).expect("a bucket") == later, "not a byte was changed");
    std::fs::write(&bucket, &before).expect("a bucket");
    let server = server.restart();
    Event::at(&server, "game", 0, 1).get(9);
}

/// Pipeline b's candidates lie in a bucket of their own; pipeline a's bucket is taken away, first from under the running
/// server, then while it is stopped.
#[test]
fn a_bucket_file_that_is_taken_away_is_missed_and_the_other_pipeline_served() {
    let folder = Arc::new(folder());
    let data = folder.path().join("data");
    let mut server = Server::start_on(&folder, &COLD);
    let event = Event::new(&server, "game", lasting(json!({"pipelines": ["a", "b"], "prefer_wait_ms": 50})));
    (1..5).for_each(|number| drop(publish(&event, "a", number).expect(201)));
    server.terminate();
    server.wait();
    let of_a = buckets(&data);
    let mut server = server.restart_with(&COLD);
    let event = event.on(&server);
    (1..5).for_each(|number| drop(publish(&event, "b", number).expect(201)));
    check_served(&event, 1..=4);
    of_a.iter().for_each(|bucket| std::fs::rename(bucket, bucket.with_extension("away")).expect("a bucket"));
    for number in 1..3 {
        let reply = event.get(number).expect(200);
        assert!(reply.body == media("b", number), "the other pipeline's, under the running server");
    }
    assert!(metric(&server, "headwater_damaged_reads_total") > 0.0);
    server.terminate();
    server.wait();
    let mut server = server.restart_with(&COLD);
    let event = event.on(&server);
    assert_eq!(metric(&server, "headwater_missing_files"), of_a.len() as f64);
    assert!(server.said().contains("a bucket file is missing"), "{}", server.said());
    server.terminate();
    server.wait();
    // Brought back, it is as if nothing had been.
    of_a.iter().for_each(|bucket| std::fs::rename(bucket.with_extension("away"), bucket).expect("a bucket"));
    let server = server.restart_with(&COLD);
    check_served(&event.on(&server), 1..=4);
}
