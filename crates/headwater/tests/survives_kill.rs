//! `kill -9` under load, twenty times in a row: what was acknowledged is there or was deleted, nothing partial is, and
//! every choice stands.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use support::http::request;
use support::{Dice, Event, PATIENCE, Reply, Server, eventually, get, let_pass, now_ms, rfc3339};

const RENDITIONS: [&str; 4] = ["v1", "v2", "v3", "audio"];
/// Loose objects, which may be deleted.
const NOTES: &str = "notes";
const PIPELINES: [&str; 2] = ["a", "b"];
const ROUNDS: u64 = 20;
/// Most segments of a rendition in one round.
const ROUND_NUMBERS: u64 = 650;
/// The least that a round does, in the order of [`Ledger::counts`].
const ROUND_COUNTS: [usize; 4] = [11, 3, 1, 2];
/// Segments of one second, of which so many have passed: room for every number that the publishers reach, and none of
/// them expires.
const PAST: i64 = 13_500;

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
    /// Events beside the match, by round: whether they live is known, or in doubt.
    beside: BTreeMap<(u64, u64), Option<Life>>,
}

impl Ledger {
    /// Uploads, choices, deletions and events beside.
    fn counts(&self) -> [usize; 4] {
        let removed = self.acked.values().filter(|upload| **upload == Upload::Nothing).count();
        [self.acked.len(), self.chosen.len(), removed, self.beside.len()]
    }

    /// Whether a round that began with the counts `before` has done enough to tell something.
    fn has_grown(&self, before: [usize; 4]) -> bool {
        self.counts().iter().zip(before).zip(ROUND_COUNTS).all(|((now, before), least)| *now >= before + least)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    Defective,
    Sound,
    /// What was there is deleted.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Alive,
    Deleted,
}

#[test]
fn acked_segments_and_choices_survive_twenty_kills() {
    let mut server = Server::start();
    let document = json!({
        "availability_start_time": rfc3339(now_ms() - PAST * 1000), "segment": {"duration": 1, "timescale": 1},
        "inspect": "off", "prefer_wait_ms": 40, "defect_wait_ms": 40,
    });
    Event::at(&server, "match", 0, 1000).put_document(&document);
    let ledger = Mutex::new(Ledger::default());
    for round in 0..ROUNDS {
        let before = ledger.lock().expect("no panic").counts();
        publish_until_killed(&mut server, round, &ledger);
        server = server.kill_and_restart();
        let ledger = ledger.lock().expect("no panic");
        assert!(ledger.has_grown(before), "{before:?} before round {round}, and {:?} after it", ledger.counts());
        // What is new, and of the rest another part each time.
        check(&server, &ledger, |of, number| of == round || number % ROUNDS == round);
    }
    let ledger = ledger.lock().expect("no panic");
    check(&server, &ledger, |_, _| true);
    let [acked, choices, removed, beside] = ledger.counts();
    println!("{acked} objects, {removed} of them deleted, {choices} choices, {beside} events beside");
}

/// Ten publishers, two readers and somebody who creates and deletes events work until the server is gone.
fn publish_until_killed(server: &mut Server, round: u64, ledger: &Mutex<Ledger>) {
    let (publish, deliver) = (server.publish.clone(), server.deliver.clone());
    let before = ledger.lock().expect("no panic").counts();
    std::thread::scope(|scope| {
        for (index, rendition) in RENDITIONS.into_iter().chain([NOTES]).enumerate() {
            for pipeline in PIPELINES {
                let mut dice = Dice::new(1 + round * 100 + index as u64 * 10 + u64::from(pipeline == "b"));
                let publish = &publish;
                scope.spawn(move || {
                    (round * ROUND_NUMBERS..(round + 1) * ROUND_NUMBERS)
                        .all(|number| publish_one(publish, (pipeline, rendition, number), &mut dice, ledger));
                });
            }
        }
        for rendition in [RENDITIONS[0], RENDITIONS[3]] {
            let deliver = &deliver;
            scope.spawn(move || read_choices(deliver, rendition, round * ROUND_NUMBERS, ledger));
        }
        let beside = |number| Event::at(server, &format!("beside-{round}-{number}"), 0, 1000);
        let beside: Vec<Event> = (0..ROUND_NUMBERS).map(beside).collect();
        scope.spawn(move || beside.iter().zip(0..).all(|(event, number)| live_and_die(event, (round, number), ledger)));
        let_pass(Duration::from_millis(600 + Dice::new(1 + round).roll(400)));
        // Nothing here may panic: the others work until the server is gone.
        let waiting = Instant::now();
        while !ledger.lock().is_ok_and(|ledger| ledger.has_grown(before)) && waiting.elapsed() < PATIENCE {
            let_pass(Duration::from_millis(10));
        }
        server.kill();
    });
}

/// Publishes one segment, now and then a defective one first, or a note, and deletes every other; false when the server
/// is gone.
fn publish_one(publish: &str, name: Name, dice: &mut Dice, ledger: &Mutex<Ledger>) -> bool {
    let uploads = match dice.roll(4) {
        0 | 1 if name.1 == NOTES => &[Upload::Sound, Upload::Nothing][..],
        0 if name.1 != NOTES => &[Upload::Defective, Upload::Sound],
        _ => &[Upload::Sound],
    };
    for upload in uploads {
        let url = format!("{publish}/live/match/{}", path(name));
        let ask = match upload {
            Upload::Nothing => request("DELETE", url),
            Upload::Sound => request("PUT", url).body(body(name, *upload)),
            Upload::Defective => request("PUT", url).body(body(name, *upload)).header("headwater-defects", "short"),
        };
        ledger.lock().expect("no panic").in_doubt.insert(name, *upload);
        let Ok(reply) = ask.try_send() else { return false };
        let done = if *upload == Upload::Nothing { 204 } else { 201 };
        assert_eq!(reply.status, done, "{name:?}: {}", reply.text());
        let mut ledger = ledger.lock().expect("no panic");
        ledger.in_doubt.remove(&name);
        ledger.acked.insert(name, *upload);
    }
    true
}

/// Creates an event, publishes to it, and deletes every other one; false when the server is gone.
fn live_and_die(event: &Event, name: (u64, u64), ledger: &Mutex<Ledger>) -> bool {
    let note = |life| {
        ledger.lock().expect("no panic").beside.insert(name, life);
    };
    let document = json!({"segment": {"duration": 1, "timescale": 1}, "inspect": "off"}).to_string();
    let create = request("PUT", &event.document).header("content-type", "application/json").body(document);
    let publish = request("PUT", format!("{}/note.txt", event.publish)).body(event.name.as_bytes());
    note(None);
    for ask in [create, publish] {
        let Ok(reply) = ask.try_send() else { return false };
        assert_eq!(reply.status, 201, "{}: {}", event.name, reply.text());
    }
    note(Some(Life::Alive));
    if name.1 % 2 == 1 {
        return true;
    }
    note(None);
    let Ok(reply) = request("DELETE", &event.document).try_send() else { return false };
    assert!(matches!(reply.status, 200 | 204), "{}: {}", event.name, reply.text());
    note(Some(Life::Deleted));
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
    let most = if dice.roll(8) == 0 { 64 } else { 4 };
    let length = 1 + dice.roll(most * 1024) as usize;
    dice.bytes(length)
}

/// Checks what `picks`, by round and number.
fn check(server: &Server, ledger: &Ledger, picks: impl Fn(u64, u64) -> bool) {
    let picked = |number: u64| picks(number / ROUND_NUMBERS, number);
    let names: BTreeSet<&Name> = ledger.acked.keys().chain(ledger.in_doubt.keys()).collect();
    for name in names.into_iter().filter(|name| picked(name.2)) {
        let reply = own(server, *name);
        let is = |upload: &Upload| match upload {
            Upload::Nothing => reply.status != 200,
            upload => reply.status == 200 && reply.body == body(*name, *upload),
        };
        let acked = ledger.acked.get(name).unwrap_or(&Upload::Nothing);
        let in_doubt = ledger.in_doubt.get(name);
        let found = (reply.status, reply.body.len());
        assert!(is(acked) || in_doubt.is_some_and(is), "{name:?}: {acked:?}, maybe {in_doubt:?}; found {found:?}");
    }
    for ((rendition, number), choice) in ledger.chosen.iter().filter(|((_, number), _)| picked(*number)) {
        let reply = read(format!("{}/live/match/{rendition}/{number}.m4s", server.deliver)).expect(200);
        let now = (reply.header("etag"), reply.header("headwater-pipeline"));
        assert_eq!(now, *choice, "the choice of {rendition} {number} is another");
        assert!(reply.header("cache-control").contains("immutable"), "{reply:?}");
    }
    for ((round, number), life) in ledger.beside.iter().filter(|((round, number), _)| picks(*round, *number)) {
        let event = Event::at(server, &format!("beside-{round}-{number}"), 0, 1000);
        let (document, note) = (get(&event.document), read(format!("{}/note.txt", event.deliver)));
        match life {
            Some(Life::Alive) => {
                document.expect(200);
                assert_eq!(note.expect(200).body, event.name.as_bytes());
            }
            Some(Life::Deleted) => assert!(document.status != 200 && note.status != 200, "{} is back", event.name),
            None => assert!(note.status != 200 || note.body == event.name.as_bytes(), "{}: {note:?}", event.name),
        }
    }
}

/// A pipeline's own candidate.
fn own(server: &Server, name: Name) -> Reply {
    read(format!("{}/live/match/{}", server.deliver, path(name)))
}

/// What is read so long after it was live is refused after a slow sync, and comes later.
fn read(url: String) -> Reply {
    eventually("an answer", || Some(get(&url)).filter(|reply| reply.outcome() != "shed"))
}

fn path((pipeline, rendition, number): Name) -> String {
    let suffix = if rendition == NOTES { "txt" } else { "m4s" };
    format!("@{pipeline}/{rendition}/{number}.{suffix}")
}
