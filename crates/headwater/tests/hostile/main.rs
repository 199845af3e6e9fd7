//! Clients that mean harm or know no better: the right refusal, bounded memory, and publishing goes on.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "../support/mod.rs"]
mod support;

mod crowd;
mod heads;
mod uploads;

use support::{Event, Server};

/// An event `game` with the rendition `v`, whose segment 9 is there and whose readers of 10 are held for long.
fn live_event(server: &Server) -> Event {
    let changes = serde_json::json!({"pipelines": ["a"], "hold_max_ms": 60_000, "retry_deadline_ms": 60_000});
    let event = Event::new(server, "game", changes);
    event.put("a", support::event::NEXT - 1, "before").expect(201);
    event
}
