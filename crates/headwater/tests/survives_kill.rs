//! `kill -9` under load, three times: what was acknowledged is there, nothing partial is, and every choice stands.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use support::http::request;
use support::{Dice, Event, Server, get, let_pass, now_ms, rfc3339};

const RENDITIONS: [&str; 4] = ["v1", "v2", "v3", "audio"];
const PIPELINES: [&str; 2] = ["a", "b"];
/// Segments of one second, of which the last 10,000 have passed: room for every number that the publishers reach.
const PAST: i64 = 10_000;

/// A candidate's name: pipeline, rendition, number.
type Name = (&'static str, &'static str, u64);

/// What has been published, by what the publishers were told.
#[derive(Default)]
struct Ledger {
    /// The upload that was acknowledged last.
    acked: BTreeMap<Name, Upload>,
    /// Uploads that were never answered: there as a whole, or not at all.
    in_doubt: BTreeMap<Name, Upload>,
    /// `ETag` and pipeline of every answer that was for ever.
    chosen: BTreeMap<(&'static str, u64), (String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    Defective,
    Sound,
}

#[test]
fn acked_segments_and_choices_survive_three_kills() {
    let mut server = Server::start();
    let document = json!({
        "availability_start_time": rfc3339(now_ms() - PAST * 1000), "segment": {"duration": 1, "timescale": 1},
        "inspect": "off", "prefer_wait_ms": 40, "defect_wait_ms": 40,
    });
    Event::at(&server, "match", 0, 1000).put_document(&document);
    let ledger = Mutex::new(Ledger::default());
    for round in 0..3 {
        let count = ledger.lock().expect("no panic").acked.len();
        publish_until_killed(&mut server, round, &ledger);
        server = server.kill_and_restart();
        let ledger = ledger.lock().expect("no panic");
        assert!(ledger.acked.len() > count + 50, "only {} segments in round {round}", ledger.acked.len() - count);
        check(&server, &ledger);
    }
    let ledger = ledger.lock().expect("no panic");
    assert!(ledger.chosen.len() > 50, "only {} choices were seen", ledger.chosen.len());
}

/// Eight publishers and two readers work until the server is gone.
fn publish_until_killed(server: &mut Server, round: u64, ledger: &Mutex<Ledger>) {
    let (publish, deliver) = (server.publish.clone(), server.deliver.clone());
    std::thread::scope(|scope| {
        for (index, rendition) in RENDITIONS.into_iter().enumerate() {
            for pipeline in PIPELINES {
                let mut dice = Dice::new(round * 100 + index as u64 * 10 + u64::from(pipeline == "b"));
                let publish = &publish;
                scope.spawn(move || {
                    let mut number = round * 3000;
                    while publish_one(publish, (pipeline, rendition, number), &mut dice, ledger) {
                        number += 1;
                    }
                });
            }
        }
        for rendition in [RENDITIONS[0], RENDITIONS[3]] {
            let deliver = &deliver;
            scope.spawn(move || read_choices(deliver, rendition, round * 3000, ledger));
        }
        let_pass(Duration::from_millis(1500 + Dice::new(round).roll(1000)));
        server.kill();
    });
}

/// Publishes one segment, now and then a defective one first; false when the server is gone.
fn publish_one(publish: &str, name: Name, dice: &mut Dice, ledger: &Mutex<Ledger>) -> bool {
    let uploads = if dice.roll(4) == 0 { &[Upload::Defective, Upload::Sound][..] } else { &[Upload::Sound] };
    for upload in uploads {
        let (pipeline, rendition, number) = name;
        let url = format!("{publish}/live/match/@{pipeline}/{rendition}/{number}.m4s");
        let mut put = request("PUT", url).body(body(name, *upload));
        if *upload == Upload::Defective {
            put = put.header("headwater-defects", "short");
        }
        ledger.lock().expect("no panic").in_doubt.insert(name, *upload);
        let Ok(reply) = put.try_send() else { return false };
        assert_eq!(reply.status, 201, "{name:?}: {}", reply.text());
        let mut ledger = ledger.lock().expect("no panic");
        ledger.in_doubt.remove(&name);
        ledger.acked.insert(name, *upload);
    }
    true
}

/// Reads each segment until its choice is made.
fn read_choices(deliver: &str, rendition: &'static str, mut number: u64, ledger: &Mutex<Ledger>) {
    loop {
        let Ok(reply) = request("GET", format!("{deliver}/live/match/{rendition}/{number}.m4s")).try_send() else {
            return;
        };
        if reply.header("cache-control").contains("immutable") {
            let choice = (reply.header("etag"), reply.header("headwater-pipeline"));
            ledger.lock().expect("no panic").chosen.insert((rendition, number), choice);
            number += 1;
        }
    }
}

/// What a publisher sends: other bytes for every name and upload, the same whenever asked.
fn body((pipeline, rendition, number): Name, upload: Upload) -> Vec<u8> {
    let seed = format!("{pipeline} {rendition} {upload:?}")
        .bytes()
        .fold(number, |seed, byte| (seed << 5) ^ (seed >> 59) ^ u64::from(byte));
    let mut dice = Dice::new(seed);
    let length = 1 + dice.roll(96 * 1024) as usize;
    dice.bytes(length)
}

fn check(server: &Server, ledger: &Ledger) {
    for (name, upload) in &ledger.acked {
        let reply = own(server, *name);
        assert_eq!(reply.status, 200, "{name:?} was acknowledged and is gone");
        let replaced = ledger.in_doubt.get(name).is_some_and(|upload| reply.body == body(*name, *upload));
        assert!(replaced || reply.body == body(*name, *upload), "{name:?} has other bytes");
    }
    for (name, upload) in ledger.in_doubt.iter().filter(|(name, _)| !ledger.acked.contains_key(name)) {
        let reply = own(server, *name);
        assert!(reply.status != 200 || reply.body == body(*name, *upload), "{name:?} is there in part");
    }
    for ((rendition, number), choice) in &ledger.chosen {
        let reply = get(format!("{}/live/match/{rendition}/{number}.m4s", server.deliver)).expect(200);
        let now = (reply.header("etag"), reply.header("headwater-pipeline"));
        assert_eq!(now, *choice, "the choice of {rendition} {number} is another");
        assert!(reply.header("cache-control").contains("immutable"), "{reply:?}");
    }
}

/// A pipeline's own candidate.
fn own(server: &Server, (pipeline, rendition, number): Name) -> support::Reply {
    get(format!("{}/live/match/@{pipeline}/{rendition}/{number}.m4s", server.deliver))
}
