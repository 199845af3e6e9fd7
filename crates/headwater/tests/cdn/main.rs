//! The recipes of docs/cdn as they stand, in real caches before a real origin: no cached 404 outlives its segment's
//! publication, a crowd costs one request, and a purge reaches viewers.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

mod arriving;
mod crowd;
mod edge;
mod keys;
mod purge;
mod shield;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::json;
use support::{Event, Server, get, let_pass, now_ms, rfc3339};

pub(crate) fn origin() -> Server {
    Server::start_with(&["--surrogate-keys", "surrogate-key"])
}

/// An event of one pipeline whose numbering begins at `start_ms`.
pub(crate) fn event_at(server: &Server, name: &str, start_ms: i64, duration_ms: i64) -> Event {
    let event = Event::at(server, name, start_ms, duration_ms);
    event.put_document(&json!({
        "availability_start_time": rfc3339(start_ms), "segment": {"duration": duration_ms, "timescale": 1000},
        "renditions": [{"id": "v"}], "inspect": "off", "pipelines": ["a"],
    }));
    event
}

pub(crate) fn wait_until(unix_ms: i64) {
    let_pass(Duration::from_millis(u64::try_from(unix_ms - now_ms()).unwrap_or(0)));
}

/// A number of the origin's metrics, summed over its labels.
pub(crate) fn metric(server: &Server, name: &str) -> f64 {
    let text = get(format!("{}/metrics", server.ops)).expect(200).text();
    let value = |line: &str| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok();
    text.lines().filter_map(value).sum()
}
