//! Rows of the deliver side: processor time of the server for each hot GET, beside the bare hyper server's.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::connection::{Connection, Sink};
use crate::place::{LOAD, on_core};
use crate::process;
use crate::report::{Comparison, Report, Target};
use crate::server::{Server, wall};

/// Connections of the load: enough that the server never waits for it.
const CONNECTIONS: usize = 8;
/// Segment duration of the event, in seconds.
const SEGMENT_SECONDS: u64 = 2;

/// One comparison.
struct Case {
    name: &'static str,
    /// Path at the bare server.
    bare: &'static str,
    /// Rendition whose newest segment is read; `None` for one that is far from due.
    rendition: Option<(&'static str, usize)>,
    /// Requests of a round: half a second of work, more or less.
    requests: usize,
    target: Target,
}

const CASES: [Case; 3] = [
    Case {
        name: "GET 1 MiB hot, server CPU",
        bare: "/1048576",
        rendition: Some(("large", 1 << 20)),
        requests: 2_000,
        target: Target::AtMost(1.10),
    },
    Case {
        name: "GET 32 KiB hot, server CPU",
        bare: "/32768",
        rendition: Some(("small", 32 << 10)),
        requests: 15_000,
        target: Target::AtMost(1.25),
    },
    Case {
        name: "GET 404 too early, server CPU",
        bare: "/none",
        rendition: None,
        requests: 20_000,
        target: Target::None,
    },
];

/// Measures all of them.
pub(crate) fn run(program: &Path, scratch: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    let server = Server::headwater(program, &scratch.join("get"), &[])?;
    let bare = Server::bare()?;
    server.put_event(
        "bench",
        &json!({
            "segment": {"duration": SEGMENT_SECONDS, "timescale": 1}, "pipelines": ["a", "b"], "inspect": "off",
            "renditions": [{"id": "large", "timescale": 1000}, {"id": "small", "timescale": 1000}],
        }),
    )?;
    let mut loads = (Load::open(server.deliver)?, Load::open(bare.deliver)?);
    for case in &CASES {
        let mut measured = Vec::new();
        for _ in 0..rounds {
            let path = path(&server, case)?;
            let ours = loads.0.round(&server, &path, case)?;
            measured.push((ours, loads.1.round(&bare, case.bare, case)?));
        }
        report.add(Comparison { name: case.name, unit: "us", rounds: measured, target: case.target });
    }
    Ok(())
}

/// What a round asks for: the newest segment, published just now by both pipelines.
fn path(server: &Server, case: &Case) -> Result<String> {
    let now = wall() as u64 / SEGMENT_SECONDS;
    let Some((rendition, bytes)) = case.rendition else { return Ok(format!("/live/bench/large/{}.m4s", now + 10)) };
    let body = vec![now as u8; bytes];
    for (number, pipeline) in (now - 2..=now).flat_map(|number| [(number, "a"), (number, "b")]) {
        server.publish(&format!("/live/bench/@{pipeline}/{rendition}/{number}.m4s"), &body).or_else(|error| {
            // Published by an earlier round with other bytes, which stay.
            if error.to_string().contains("409") { Ok(()) } else { Err(error) }
        })?;
    }
    Ok(format!("/live/bench/{rendition}/{now}.m4s"))
}

/// Persistent connections that ask for one thing over and over.
struct Load {
    connections: Vec<Connection>,
    sink: Sink,
}

impl Load {
    fn open(to: SocketAddr) -> Result<Self> {
        let connections = (0..CONNECTIONS).map(|_| Connection::open(to)).collect::<Result<_>>()?;
        Ok(Self { connections, sink: Sink::default() })
    }

    /// Microseconds of the server's processor time for each request.
    fn round(&mut self, server: &Server, path: &str, case: &Case) -> Result<f64> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\naccept: */*\r\n\r\n");
        let before = process::cpu(server.pid())?;
        on_core(LOAD, || self.ask(request.as_bytes(), case))?;
        let spent = process::cpu(server.pid())?.saturating_sub(before);
        Ok(spent.as_secs_f64() * 1e6 / case.requests as f64)
    }

    fn ask(&mut self, request: &[u8], case: &Case) -> Result<()> {
        let (status, bytes) = case.rendition.map_or((404, None), |(_, bytes)| (200, Some(bytes as u64)));
        let (mut sent, mut answered) = (0, 0);
        for connection in &mut self.connections {
            ensure!(connection.send(request)? == request.len(), "a request did not fit into the socket");
            sent += 1;
        }
        while answered < case.requests {
            for connection in &mut self.connections {
                let Some(head) = connection.receive(&mut self.sink)? else { continue };
                ensure!(head.status == status, "{} was answered {}", case.name, head.status);
                ensure!(bytes.is_none_or(|bytes| bytes == head.content_length), "an answer of another size");
                answered += 1;
                if sent < case.requests {
                    ensure!(connection.send(request)? == request.len(), "a request did not fit into the socket");
                    sent += 1;
                }
            }
        }
        Ok(())
    }
}
