//! Publishers, readers and an operator on several processes, and whether what they saw together is allowed.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_model::Pipeline;
use headwater_model::mask::Mask;
use headwater_model::row::Digest;
use headwater_sim::history::{
    Asked, Bounds, Got, History, Lasting, Media, Micros, Outcome, Publish, Quality, Read, Remask, Span, Url, check,
    etag,
};
use headwater_store::Body;
use headwater_store::broken::Fault;
use serde_json::json;

use crate::fleet::{Fleet, fresh_name};
use crate::load::End;
use crate::support::http::{Reply, delete, post, request};
use crate::support::{Dice, Event, let_pass, now_ms, rfc3339};

const SPAN: Duration = Duration::from_secs(25);
/// A broken build is given up after so many runs. What came first is first on both nodes mostly, so one may find nothing.
const RUNS_MAX: u32 = 8;
/// What a read saw may be an upload that has no answer yet, for so many microseconds.
const UNDER_WAY: u64 = 6_000_000;
const RENDITIONS: u64 = 3;
/// In the end, of what is not answered at once.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const PIPELINES: [&str; 3] = ["a", "b", "c"];
/// Segments of one second; so many have passed when it begins.
const PAST: u64 = 1000;
/// Within which others have to know. The contract has 1 s; servers, nodes and tests share two cores and a disk here.
const BOUNDS: Bounds = Bounds { publishes: 15_000_000, masks: 10_000_000 };
/// Of builds that are broken, so that they are found soon.
const BOUNDS_BROKEN: Bounds = Bounds { publishes: 5_000_000, masks: 3_000_000 };

struct World {
    event: Event,
    publishers: Mutex<[String; 2]>,
    readers: [String; 2],
    history: Mutex<History>,
    begun: Instant,
    start_ms: i64,
    bounds: Bounds,
    ends: AtomicBool,
}

#[test]
fn what_clients_of_all_processes_see_is_one_history() {
    let (history, found) = lived(None);
    let lasting = |read: &&Read| matches!(&read.got, Got::Media(media) if media.lasting == Lasting::Immutable);
    let choices = history.reads.iter().filter(lasting).count();
    let (publishes, reads, masks) = (history.publishes.len(), history.reads.len(), history.remasks.len());
    println!("{publishes} uploads, {reads} reads, {choices} of them for ever, {masks} changes of masks");
    assert!(publishes > 50 && choices > 50 && masks > 2, "too little has happened");
    let told: Vec<String> = found.iter().take(10).cloned().collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), told.join("\n"));
}

#[test]
fn a_build_that_chooses_by_arrival_is_found() {
    found(Fault::ByArrival);
}

#[test]
fn a_build_without_the_fence_is_found() {
    found(Fault::NoFence);
}

#[test]
fn a_build_whose_nodes_answer_from_what_is_stale_is_found() {
    found(Fault::IgnoresNotes);
}

#[test]
fn a_build_that_commits_before_its_chunks_are_staged_is_found() {
    found(Fault::CommitsFirst);
}

/// A checker that finds nothing proves nothing.
#[track_caller]
fn found(fault: Fault) {
    for _ in 0..RUNS_MAX {
        let (history, found) = lived(Some(fault));
        let (publishes, reads) = (history.publishes.len(), history.reads.len());
        println!("{fault:?}: {} violations in {publishes} uploads and {reads} reads, {:?}", found.len(), found.first());
        if !found.is_empty() {
            return;
        }
    }
    panic!("{fault:?} is not found");
}

/// What clients did and saw for a while, and what of it is not allowed. Of a broken build, until something is not.
fn lived(fault: Option<Fault>) -> (History, Vec<String>) {
    let mut fleet = Fleet::new().broken(fault);
    let (one, mut two) = (fleet.publisher(), fleet.publisher());
    let (hearing, deaf) = (fleet.deliverer(), fleet.deaf().deliverer());
    let start_ms = now_ms() - 1000 * PAST as i64;
    let event = Event::at(&one.server, &fresh_name("history"), start_ms, 1000);
    event.put_document(&json!({
        "availability_start_time": rfc3339(start_ms), "segment": {"duration": 1, "timescale": 1},
        "pipelines": PIPELINES, "inspect": "off", "prefer_wait_ms": 150, "defect_wait_ms": 150, "hold_max_ms": 2000,
        "retry_deadline_ms": 3000,
    }));
    let world = World {
        event,
        publishers: Mutex::new([&one, &two].map(|node| node.server.publish.clone())),
        readers: [&hearing, &deaf].map(|node| node.server.deliver.clone()),
        history: Mutex::default(),
        begun: Instant::now(),
        start_ms,
        bounds: if fault.is_some() { BOUNDS_BROKEN } else { BOUNDS },
        ends: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let _ends = End(&world.ends);
        for (rank, pipeline) in PIPELINES.into_iter().enumerate() {
            for rendition in 0..RENDITIONS {
                let world = &world;
                scope.spawn(move || world.publish_all(pipeline, rendition, rank as u64 * 10 + rendition));
            }
        }
        for reader in 0..6 {
            let world = &world;
            scope.spawn(move || world.read_all(reader));
        }
        scope.spawn(|| world.mask_all());
        let mut dice = Dice::new(3);
        while world.begun.elapsed() < SPAN {
            let_pass(Duration::from_millis(2500 + dice.roll(300)));
            // What it was doing is lost, or is not: nobody can tell, and nothing may be torn.
            two = two.kill_and_restart();
            world.publishers.lock().expect("no panic")[1].clone_from(&two.server.publish);
            if fault.is_some() && !world.check(world.now().0.saturating_sub(UNDER_WAY)).is_empty() {
                break;
            }
        }
    });
    let found = world.check(u64::MAX);
    let found = if found.is_empty() { world.look_back() } else { found };
    (world.history.into_inner().expect("no panic"), found)
}

impl World {
    fn now(&self) -> Micros {
        Micros(self.begun.elapsed().as_micros() as u64)
    }

    /// What of the reads that had ended by then, in microseconds, is not allowed.
    fn check(&self, ended: u64) -> Vec<String> {
        // Not under the lock: a check takes longer than a request.
        let mut history = self.history.lock().expect("no panic").clone();
        history.reads.retain(|read| read.span.end.0 <= ended);
        check(&history, self.bounds).iter().map(ToString::to_string).collect()
    }

    /// When all is quiet every candidate is asked for on every node: the first that is not answered, because its record
    /// has no bytes.
    fn look_back(&self) -> Vec<String> {
        let published = self.history.lock().expect("no panic").publishes.clone();
        let names: BTreeSet<(String, u64, Pipeline)> =
            published.into_iter().map(|one| (one.url.rendition, one.url.number, one.pipeline)).collect();
        for (rendition, number, pipeline) in names {
            for reader in &self.readers {
                let url = format!("{reader}/live/{}/@{pipeline}/{rendition}/{number}.m4s", self.event.name);
                // What is read so long after it was live is refused first under stress.
                let mut tries = 0..LOOKS;
                let is_answered = tries.any(|_| {
                    let is_answered = request("GET", &url).try_send().is_ok_and(|reply| reply.status != 503);
                    if !is_answered {
                        let_pass(LOOK_EVERY);
                    }
                    is_answered
                });
                if !is_answered {
                    return vec![format!("no answer although all is well: {url}")];
                }
            }
        }
        Vec::new()
    }

    fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }

    fn url(&self, rendition: u64, number: u64) -> Url {
        Url { event: self.event.name.clone(), rendition: format!("v{rendition}"), number }
    }

    /// One pipeline's segments of one rendition: late, missing, damaged and then whole, to both nodes at once, and other
    /// bytes to the other node.
    fn publish_all(&self, pipeline: &str, rendition: u64, seed: u64) {
        let mut dice = Dice::new(seed + 1);
        let mut number = PAST + 1;
        while self.goes_on() {
            let due = self.start_ms + 1000 * (number as i64 + 1) + dice.roll(300) as i64;
            let_pass(Duration::from_millis(u64::try_from(due - now_ms()).unwrap_or(0)));
            let first = dice.roll(2) as usize;
            let bytes = |version: u64| format!("{pipeline} v{rendition} {number} version {version} ").repeat(50);
            let put = |node: usize, version, quality| {
                self.publish((pipeline, rendition, number), node, &bytes(version), quality)
            };
            match dice.roll(10) {
                0 | 1 => {}
                2 | 3 => {
                    let_pass(Duration::from_millis(dice.roll(1500)));
                    put(first, 1, Quality::Sound);
                }
                4 => {
                    put(first, 1, Quality::Defective);
                    let_pass(Duration::from_millis(dice.roll(600)));
                    put(1 - first, 2, Quality::Sound);
                }
                same @ (5 | 6) => std::thread::scope(|scope| {
                    scope.spawn(|| put(0, 1, Quality::Sound));
                    scope.spawn(|| put(1, if same == 5 { 1 } else { 2 }, Quality::Sound));
                }),
                _ => put(first, 1, Quality::Sound),
            }
            number += 1;
        }
    }

    fn publish(&self, (pipeline, rendition, number): (&str, u64, u64), node: usize, bytes: &str, quality: Quality) {
        let path = format!("/live/{}/@{pipeline}/v{rendition}/{number}.m4s", self.event.name);
        let publisher = self.publishers.lock().expect("no panic")[node].clone();
        let mut ask = request("PUT", format!("{publisher}{path}")).body(bytes);
        if quality == Quality::Defective {
            ask = ask.header("headwater-defects", "short");
        }
        let begin = self.now();
        let outcome = match ask.try_send().map(|reply| reply.status) {
            Ok(201) => Outcome::Done,
            Ok(200) => Outcome::Same,
            Ok(409 | 410 | 412 | 422) => Outcome::Refused,
            _ => Outcome::Unknown,
        };
        let end = if outcome == Outcome::Unknown { Micros::NEVER } else { self.now() };
        let publish = Publish {
            node: publisher,
            span: Span { begin, end },
            url: self.url(rendition, number),
            pipeline: name(pipeline),
            digest: digest(bytes.as_bytes()),
            quality,
            outcome,
        };
        self.history.lock().expect("no panic").publishes.push(publish);
    }

    /// The live edge mostly, and again what has been read before; now and then one pipeline's own.
    fn read_all(&self, reader: u64) {
        let mut dice = Dice::new(100 + reader);
        while self.goes_on() {
            let live = ((now_ms() - self.start_ms) / 1000) as u64;
            let back = if dice.roll(3) == 0 { dice.roll(12) } else { dice.roll(3) };
            let number = (live - back).max(PAST + 1);
            let pipeline = PIPELINES[dice.roll(3) as usize];
            let own = dice.roll(5) == 0;
            self.read(reader, dice.roll(2) as usize, (dice.roll(RENDITIONS), number), own.then_some(pipeline));
            let_pass(Duration::from_millis(15));
        }
    }

    fn read(&self, reader: u64, node: usize, (rendition, number): (u64, u64), own: Option<&str>) {
        let at = own.map_or(String::new(), |pipeline| format!("@{pipeline}/"));
        let url = format!("{}/live/{}/{at}v{rendition}/{number}.m4s", self.readers[node], self.event.name);
        let begin = self.now();
        let got = request("GET", url).try_send().map_or(Got::Silence, |reply| got(&reply));
        let read = Read {
            reader: reader.to_string(),
            node: self.readers[node].clone(),
            span: Span { begin, end: self.now() },
            url: self.url(rendition, number),
            asked: own.map_or(Asked::Chosen, |pipeline| Asked::Own(name(pipeline))),
            got,
        };
        self.history.lock().expect("no panic").reads.push(read);
    }

    /// Hides a pipeline for some seconds, again and again.
    fn mask_all(&self) {
        let mut dice = Dice::new(7);
        while self.goes_on() {
            let_pass(Duration::from_millis(2000 + dice.roll(2000)));
            let pipeline = PIPELINES[dice.roll(2) as usize];
            let from = ((now_ms() - self.start_ms) / 1000) as u64 - dice.roll(5);
            let mask = json!({"pipeline": pipeline, "from": from, "reason": "test"}).to_string();
            let begin = self.now();
            let made = post(format!("{}/masks", self.event.document), mask).expect(200).json();
            let id = made["id"].as_u64().expect("an id");
            let mask = Mask { id, pipeline: name(pipeline), renditions: None, from, to: None, reason: "test".into() };
            self.remasked(begin, vec![mask]);
            let_pass(Duration::from_millis(1000 + dice.roll(2000)));
            let begin = self.now();
            delete(format!("{}/masks/{id}", self.event.document)).expect(204);
            self.remasked(begin, vec![]);
        }
    }

    fn remasked(&self, begin: Micros, masks: Vec<Mask>) {
        let span = Span { begin, end: self.now() };
        let remask = Remask { span, event: self.event.name.clone(), masks, outcome: Outcome::Done };
        self.history.lock().expect("no panic").remasks.push(remask);
    }
}

fn got(reply: &Reply) -> Got {
    match reply.status {
        200 => {
            let lasting = reply.header("cache-control").contains("immutable");
            Got::Media(Media {
                pipeline: name(&reply.header("headwater-pipeline")),
                etag: etag(&reply.header("etag")).expect("an ETag of ours"),
                body: Some(digest(&reply.body)),
                lasting: if lasting { Lasting::Immutable } else { Lasting::ForNow },
            })
        }
        status @ (404 | 410) => Got::Nothing(status),
        _ => Got::Silence,
    }
}

fn name(pipeline: &str) -> Pipeline {
    Pipeline::new(pipeline).expect("a plain name")
}

fn digest(bytes: &[u8]) -> Digest {
    Body::from(bytes::Bytes::copy_from_slice(bytes)).digest()
}
