//! Rows of held requests: what each costs in memory, and how long after the publisher's 201 the last one is answered.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::connection::{Connection, Sink, exchange};
use crate::process;
use crate::report::Report;
use crate::server::{Server, wall};

/// How many are held.
const COUNTS: [usize; 2] = [1_000, 10_000];
/// Segment duration, in seconds: long enough to collect all of them before the next one.
const SEGMENT_SECONDS: u64 = 40;
/// Bytes of the segment that all wait for.
const BYTES: usize = 32 << 10;
/// How long the server is given to read all requests.
const SETTLE: Duration = Duration::from_millis(1500);

/// Measures each count.
pub(crate) fn run(program: &Path, scratch: &Path, report: &mut Report) -> Result<()> {
    raise_descriptor_limit();
    for count in COUNTS {
        let dir = scratch.join(format!("held-{count}"));
        let server = Server::headwater(program, &dir, &[])?;
        let held = hold(&server, count)?;
        report.figure(&format!("{count} held requests, memory of each"), held.bytes / 1024.0, "KiB", None);
        report.figure(&format!("{count} held requests, 201 to last answer"), held.millis, "ms", None);
        let rate = held.cpu_micros;
        report.figure(&format!("{count} held requests, server CPU of each wake"), rate, "us", None);
    }
    Ok(())
}

struct Held {
    bytes: f64,
    millis: f64,
    cpu_micros: f64,
}

fn hold(server: &Server, count: usize) -> Result<Held> {
    // The next segment becomes due in twenty seconds, whenever this runs.
    let start = rfc3339(wall() as u64 - SEGMENT_SECONDS - SEGMENT_SECONDS / 2);
    server.put_event(
        "bench",
        &json!({
            "availability_start_time": start, "segment": {"duration": SEGMENT_SECONDS, "timescale": 1},
            "hold_max_ms": 60_000, "inspect": "off",
        }),
    )?;
    let body = vec![7; BYTES];
    server.publish("/live/bench/v/0.m4s", &body)?;
    let request = "GET /live/bench/v/1.m4s HTTP/1.1\r\nhost: bench\r\n\r\n".as_bytes();
    let mut publisher = TcpStream::connect(server.publish)?;
    let empty = process::resident(server.pid())?;
    let mut waiting: Vec<Connection> = (0..count).map(|_| Connection::open(server.deliver)).collect::<Result<_>>()?;
    for connection in &mut waiting {
        ensure!(connection.send(request)? == request.len(), "a request did not fit into the socket");
    }
    std::thread::sleep(SETTLE);
    let full = process::resident(server.pid())?;
    let cpu = process::cpu(server.pid())?;
    let status = exchange(&mut publisher, "PUT", "/live/bench/v/1.m4s", &body)?;
    ensure!(status == 201, "the segment was answered {status}");
    let (published, mut sink) = (Instant::now(), Sink::default());
    while !waiting.is_empty() {
        let mut error = None;
        waiting.retain_mut(|connection| match connection.receive(&mut sink) {
            Ok(None) => true,
            Ok(Some(head)) => {
                if head.status != 200 {
                    error = Some(anyhow::anyhow!("a held request was answered {}", head.status));
                }
                false
            }
            Err(failed) => {
                error = Some(failed);
                false
            }
        });
        error.map_or(Ok(()), Err).context("a held request")?;
    }
    let took = published.elapsed();
    let spent = process::cpu(server.pid())?.saturating_sub(cpu);
    Ok(Held {
        bytes: full.saturating_sub(empty) as f64 / count as f64,
        millis: took.as_secs_f64() * 1e3,
        cpu_micros: spent.as_secs_f64() * 1e6 / count as f64,
    })
}

/// RFC 3339 of seconds since 1970.
fn rfc3339(seconds: u64) -> String {
    headwater_model::Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(0)).to_string()
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        eprintln!("cannot raise the limit of open files: {error}");
    }
}
