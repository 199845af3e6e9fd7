//! Steady publishing and reading with everything written down: who was told what, how long it took, and which bytes came.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::http::{Reply, request};
use crate::support::{Dice, Event, Server, eventually, let_pass, now_ms, rfc3339};

/// Segments of one second; so many have passed when it begins.
const PAST: u64 = 1000;
const PIPELINES: [&str; 2] = ["a", "b"];
/// A rendition of each size, in KiB: with two pipelines 50 segments in a second, for a machine with cores for three
/// Cassandra nodes. [`FULL`] asks for it.
const LADDER: [usize; 25] =
    [64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 96, 96, 96, 128, 128, 128, 192, 192, 256, 256, 512, 1024];
/// For a machine that has two cores for everything: 12 segments in a second.
const SMALL_LADDER: [usize; 6] = [64, 64, 96, 128, 256, 1024];
/// The variable that asks for the full load.
const FULL: &str = "HEADWATER_TEST_FULL_LOAD";
/// How long a packager goes on trying to get one segment in.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// Which segment: pipeline, rendition, number.
type Name = (&'static str, usize, u64);

/// What was done and seen.
#[derive(Default)]
struct Ledger {
    acked: Vec<Name>,
    /// How long each upload took, by phase.
    uploads: BTreeMap<&'static str, Vec<Upload>>,
    /// Uploads that a process which was up refused or left unanswered.
    failures: Vec<String>,
    /// What was served for ever.
    chosen: BTreeMap<(usize, u64), String>,
    reads: BTreeMap<&'static str, usize>,
}

#[derive(Clone, Copy)]
struct Upload {
    took: Duration,
    kib: usize,
}

/// Publishers and readers of one event.
pub(crate) struct Load {
    event: Event,
    start_ms: i64,
    ledger: Mutex<Ledger>,
    phase: Mutex<&'static str>,
    /// The publish listeners and the deliver listeners; empty while a process is down.
    publishers: Mutex<Vec<String>>,
    readers: Mutex<Vec<String>>,
    ladder: &'static [usize],
    ends: AtomicBool,
    late: AtomicUsize,
}

impl Load {
    /// On an event of `name`, made by way of `server`.
    pub(crate) fn new(server: &Server, name: &str) -> Self {
        let start_ms = now_ms() - 1000 * PAST as i64;
        let event = Event::at(server, name, start_ms, 1000);
        event.put_document(&json!({
            "availability_start_time": rfc3339(start_ms), "segment": {"duration": 1, "timescale": 1},
            "inspect": "off", "prefer_wait_ms": 500, "retry_deadline_ms": 60_000, "hold_max_ms": 8000,
        }));
        Self {
            event,
            start_ms,
            ledger: Mutex::default(),
            phase: Mutex::new("start"),
            publishers: Mutex::default(),
            readers: Mutex::default(),
            ladder: if std::env::var_os(FULL).is_some() { &LADDER } else { &SMALL_LADDER },
            ends: AtomicBool::new(false),
            late: AtomicUsize::new(0),
        }
    }

    /// Where processes are from now on; an empty text for one that is down.
    pub(crate) fn listeners(&self, publishers: [&str; 2], readers: [&str; 2]) {
        *self.publishers.lock().expect("no panic") = publishers.map(ToOwned::to_owned).into();
        *self.readers.lock().expect("no panic") = readers.map(ToOwned::to_owned).into();
    }

    /// What is done from now on belongs to `phase`.
    pub(crate) fn enter(&self, phase: &'static str) {
        *self.phase.lock().expect("no panic") = phase;
        eprintln!("load: {phase}");
    }

    /// Publishes and reads until `work` is done.
    pub(crate) fn during(&self, work: impl FnOnce()) {
        std::thread::scope(|scope| {
            for pipeline in PIPELINES {
                for rendition in 0..self.ladder.len() {
                    scope.spawn(move || self.publish(pipeline, rendition));
                }
            }
            for reader in 0..6 {
                scope.spawn(move || self.read(reader));
            }
            // Also if it panics, or the others never end.
            let _end = End(&self.ends);
            work();
        });
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no panic")
    }

    fn phase(&self) -> &'static str {
        *self.phase.lock().expect("no panic")
    }

    /// The segment that is complete now.
    fn now(&self) -> u64 {
        ((now_ms() - self.start_ms) / 1000) as u64
    }

    fn publish(&self, pipeline: &'static str, rendition: usize) {
        // Encoders do not all end a segment at the same moment.
        let offset = (rendition * PIPELINES.len() + usize::from(pipeline == "b")) as u64 * 20 % 1000;
        let mut number = self.now() + 1;
        while !self.ends.load(Ordering::Relaxed) {
            let due = self.start_ms + 1000 * number as i64 + offset as i64;
            match u64::try_from(due - now_ms()) {
                Ok(wait) => let_pass(Duration::from_millis(wait)),
                Err(_) => drop(self.late.fetch_add(1, Ordering::Relaxed)),
            }
            self.upload((pipeline, rendition, number));
            number += 1;
        }
    }

    /// As a packager with two addresses: the other one is tried when one is gone.
    fn upload(&self, name: Name) {
        let (pipeline, rendition, number) = name;
        let (phase, bytes) = (self.phase(), self.body(name));
        let begun = Instant::now();
        let mut turn = usize::from(pipeline == "b");
        loop {
            let to = self.publishers.lock().expect("no panic")[turn % 2].clone();
            turn += 1;
            let path = format!("/live/{}/@{pipeline}/v{rendition}/{number}.m4s", self.event.name);
            let sent = Instant::now();
            let reply = (!to.is_empty()).then(|| request("PUT", format!("{to}{path}")).body(bytes.clone()).try_send());
            match reply {
                Some(Ok(reply)) if matches!(reply.status, 200 | 201) => {
                    let mut ledger = self.ledger();
                    ledger.acked.push(name);
                    let upload = Upload { took: sent.elapsed(), kib: self.ladder[rendition] };
                    ledger.uploads.entry(phase).or_default().push(upload);
                    return;
                }
                Some(Ok(reply)) => {
                    let told = format!("{phase}: {name:?}: {} {}", reply.status, reply.text());
                    self.ledger().failures.push(told);
                }
                // Its process is gone, or going.
                Some(Err(_)) | None => let_pass(Duration::from_millis(20)),
            }
            if begun.elapsed() > RETRY_FOR {
                self.ledger().failures.push(format!("{phase}: {name:?} was not taken within {RETRY_FOR:?}"));
                return;
            }
        }
    }

    fn read(&self, reader: usize) {
        let mut dice = Dice::new(reader as u64 + 1);
        while !self.ends.load(Ordering::Relaxed) {
            let from = self.readers.lock().expect("no panic")[reader % 2].clone();
            let rendition = dice.roll(self.ladder.len() as u64) as usize;
            // Mostly the live edge, now and then what is past.
            let back = if dice.roll(4) == 0 { dice.roll(60) } else { dice.roll(2) };
            let number = self.now() - back;
            let url = format!("{from}/live/{}/v{rendition}/{number}.m4s", self.event.name);
            if let Some(Ok(reply)) = (!from.is_empty()).then(|| request("GET", &url).try_send()) {
                self.saw(&reply, rendition, number);
            }
            let_pass(Duration::from_millis(20));
        }
    }

    /// Whatever is served is whole, what a pipeline published, and of what is for ever always the same.
    fn saw(&self, reply: &Reply, rendition: usize, number: u64) {
        let mut ledger = self.ledger();
        *ledger.reads.entry(self.phase()).or_default() += 1;
        if reply.status != 200 {
            assert!(matches!(reply.status, 404 | 410 | 503), "{}: {}", reply.status, reply.text());
            return;
        }
        let pipeline = PIPELINES.into_iter().find(|name| reply.header("headwater-pipeline") == *name);
        let pipeline = pipeline.expect("a pipeline of the event");
        assert!(reply.body == self.body((pipeline, rendition, number)), "wrong bytes for v{rendition}/{number}");
        if reply.header("cache-control").contains("immutable") {
            let etag = reply.header("etag");
            let before = ledger.chosen.entry((rendition, number)).or_insert_with(|| etag.clone());
            assert_eq!(*before, etag, "two choices for v{rendition}/{number}");
        }
    }

    /// Everything acked is there on both deliver nodes, and the choices stand.
    pub(crate) fn check(&self) {
        let readers = self.readers.lock().expect("no panic").clone();
        let acked = self.ledger().acked.clone();
        std::thread::scope(|scope| {
            for (index, part) in acked.chunks(acked.len().div_ceil(8).max(1)).enumerate() {
                let reader = &readers[index % 2];
                scope.spawn(move || {
                    for &(pipeline, rendition, number) in part {
                        let path = format!("/live/{}/@{pipeline}/v{rendition}/{number}.m4s", self.event.name);
                        let reply = patiently(&format!("{reader}{path}"));
                        assert_eq!(reply.status, 200, "{path} was acked and is lost: {}", reply.text());
                        assert!(reply.body == self.body((pipeline, rendition, number)), "{path} has other bytes");
                    }
                });
            }
        });
        let chosen: Vec<(usize, u64)> = self.ledger().chosen.keys().copied().collect();
        for reader in &readers {
            for (rendition, number) in &chosen {
                let url = format!("{reader}/live/{}/v{rendition}/{number}.m4s", self.event.name);
                self.saw(&patiently(&url).expect(200), *rendition, *number);
            }
        }
    }

    /// What publishers were refused.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.ledger().failures.clone()
    }

    /// How long uploads took in each phase, for people.
    pub(crate) fn report(&self) -> String {
        let ledger = self.ledger();
        let mut text = String::from("phase, uploads, reads, P50, P99, max, of 1 MiB: P50, P99, max (ms)\n");
        for (phase, uploads) in &ledger.uploads {
            let row = |kib: usize| {
                let mut all: Vec<u128> =
                    uploads.iter().filter(|upload| upload.kib >= kib).map(|upload| upload.took.as_millis()).collect();
                all.sort_unstable();
                let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied();
                [at(50), at(99), all.last().copied()].map(|value| value.map_or("-".into(), |value| value.to_string()))
            };
            let reads = ledger.reads.get(phase).copied().unwrap_or(0);
            let figures = [row(0), row(1024)].concat().join(", ");
            text.push_str(&format!("{phase}, {}, {reads}, {figures}\n", uploads.len()));
        }
        text.push_str(&format!(
            "{} choices, {} uploads behind time\n",
            ledger.chosen.len(),
            self.late.load(Ordering::Relaxed)
        ));
        text
    }

    /// Uploads that were acked.
    pub(crate) fn acked(&self) -> usize {
        self.ledger().acked.len()
    }
}

impl Load {
    /// What is published as `name`: no stretch of it is like another, nor like any of another segment.
    fn body(&self, (pipeline, rendition, number): Name) -> Vec<u8> {
        let length = self.ladder[rendition] << 10;
        let mut word = number << 20 | (rendition as u64) << 8 | u64::from(pipeline.as_bytes()[0]);
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            word = word.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }
}

/// What is read so long after it was live is refused first under stress, and comes later. So does what a busy cluster does
/// not answer in time.
pub(crate) fn patiently(url: &str) -> Reply {
    eventually("an answer", || Some(request("GET", url).send()).filter(|reply| reply.status != 503))
}

/// Tells everybody to end, also if a test panics.
pub(crate) struct End<'a>(pub(crate) &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
