//! Rows of the publish side over HTTP: acked bytes a second with eight publishers, beside the bare append; and the
//! server's processor time for each PUT, beside the bare hyper server that reads the body plus the bare append.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use headwater_store::Body;
use headwater_store::conformance::body;
use serde_json::json;

use crate::append::{Bare, ROUND_BYTES, WRITERS, give_back};
use crate::connection::{Connection, Sink};
use crate::place::{LOAD, SERVER, on_core};
use crate::process;
use crate::report::{Comparison, Report, Target};
use crate::server::{Server, wall};

/// Segments a second of the event: enough numbers within its DVR window for every round.
const SEGMENTS_A_SECOND: u64 = 10;
/// How far back the first number lies, in seconds.
const BACK_SECONDS: u64 = 14_000;

/// The sizes, with their rows' names.
const CASES: [(&str, &str, usize); 2] = [
    ("PUT 1 MiB, HTTP, throughput", "PUT 1 MiB, HTTP, server CPU", 1 << 20),
    ("PUT 64 KiB, HTTP, throughput", "PUT 64 KiB, HTTP, server CPU", 64 << 10),
];

/// Measures all of them.
pub(crate) fn run(program: &Path, scratch: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    let bare = Server::bare()?;
    let mut to_bare = Publishers::open(bare.publish)?;
    let file_dir = scratch.join("put-bare");
    for (throughput, cpu, bytes) in CASES {
        let body = body(1, bytes);
        let (mut speeds, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ours = to_headwater(program, &scratch.join("put"), &body)?;
            let received = to_bare.round(&bare, &body, 0)?;
            let appended = on_core(SERVER, || Bare::create(&file_dir)?.round(&body))?;
            give_back(&file_dir)?;
            speeds.push((ours.mebibytes_a_second, appended.mebibytes_a_second));
            costs.push((ours.micros, received.micros + appended.micros));
        }
        report.add(Comparison { name: throughput, unit: "MiB/s", rounds: speeds, target: Target::None });
        report.add(Comparison { name: cpu, unit: "us", rounds: costs, target: Target::None });
    }
    Ok(())
}

/// A round to a new server, whose window a round before has filled, so that it recycles its memory.
fn to_headwater(program: &Path, dir: &Path, body: &Body) -> Result<Uploaded> {
    let server = Server::headwater(program, dir, &["--window-bytes", "16777216"])?;
    server.put_event(
        "bench",
        &json!({
            "segment": {"duration": 1, "timescale": SEGMENTS_A_SECOND}, "dvr_window_s": 14_400, "inspect": "off",
        }),
    )?;
    let first = (wall() as u64 - BACK_SECONDS) * SEGMENTS_A_SECOND;
    let mut publishers = Publishers::open(server.publish)?;
    publishers.round(&server, body, first)?;
    let uploaded = publishers.round(&server, body, first + (ROUND_BYTES as u64 / body.len()))?;
    drop(server);
    give_back(&dir.join("data"))?;
    std::fs::remove_dir_all(dir)?;
    Ok(uploaded)
}

/// What a round of uploads came to.
struct Uploaded {
    mebibytes_a_second: f64,
    /// Microseconds of the server's processor time for each.
    micros: f64,
}

struct Publishers {
    connections: Vec<Publisher>,
    sink: Sink,
}

/// One publisher, which uploads segment after segment of a rendition of its own.
struct Publisher {
    connection: Connection,
    rendition: usize,
    head: Vec<u8>,
    /// Bytes of head and body that are sent.
    sent: usize,
    left: usize,
    number: u64,
}

impl Publishers {
    fn open(to: SocketAddr) -> Result<Self> {
        let publisher = |rendition| {
            let connection = Connection::open(to)?;
            Ok(Publisher { connection, rendition, head: Vec::new(), sent: 0, left: 0, number: 0 })
        };
        Ok(Self { connections: (0..WRITERS).map(publisher).collect::<Result<_>>()?, sink: Sink::default() })
    }

    /// Uploads a round's bytes as segments from `first` on.
    fn round(&mut self, server: &Server, body: &Body, first: u64) -> Result<Uploaded> {
        let each = ROUND_BYTES / WRITERS / body.len() as usize;
        let bytes = body.to_bytes();
        let (started, before) = (Instant::now(), process::cpu(server.pid())?);
        on_core(LOAD, || {
            self.connections.iter_mut().for_each(|publisher| publisher.begin(first, each, bytes.len()));
            while self.connections.iter().any(|publisher| publisher.left > 0) {
                for publisher in self.connections.iter_mut().filter(|publisher| publisher.left > 0) {
                    publisher.go_on(&bytes, &mut self.sink)?;
                }
            }
            anyhow::Ok(())
        })?;
        let (took, cpu) = (started.elapsed(), process::cpu(server.pid())?.saturating_sub(before));
        Ok(Uploaded {
            mebibytes_a_second: (ROUND_BYTES >> 20) as f64 / took.as_secs_f64(),
            micros: cpu.as_secs_f64() * 1e6 / (each * WRITERS) as f64,
        })
    }
}

impl Publisher {
    fn begin(&mut self, first: u64, each: usize, length: usize) {
        (self.number, self.left) = (first, each);
        self.turn(length);
    }

    fn turn(&mut self, length: usize) {
        let (rendition, number) = (self.rendition, self.number);
        let path = format!("/live/bench/r{rendition}/{number}.m4s");
        self.head = format!("PUT {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        self.sent = 0;
    }

    /// Sends what the socket takes, or looks for the answer.
    fn go_on(&mut self, body: &[u8], sink: &mut Sink) -> Result<()> {
        let head = self.head.len();
        if self.sent < head {
            self.sent += self.connection.send(&self.head[self.sent..])?;
        } else if self.sent < head + body.len() {
            self.sent += self.connection.send(&body[self.sent - head..])?;
        } else if let Some(answer) = self.connection.receive(sink)? {
            ensure!(answer.status == 201, "an upload was answered {}", answer.status);
            (self.number, self.left) = (self.number + 1, self.left - 1);
            self.turn(body.len());
        }
        Ok(())
    }
}
