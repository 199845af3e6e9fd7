//! Contract §5, row 6: requests that come a moment before their segment.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::{Event, Server, let_pass};

/// Who is held against the rules is held for 20 s or more.
const SOON: Duration = Duration::from_secs(10);
const FOR_EVER: &str = "public, max-age=31536000, immutable";

#[test]
fn a_held_request_is_answered_with_the_publish() {
    let server = Server::start();
    let document = json!({"pipelines": ["a"], "hold_max_ms": 20_000, "retry_deadline_ms": 60_000});
    let event = Event::new(&server, "game", document);
    event.put("a", NEXT - 1, "before").expect(201);
    let readers: Vec<_> = (0..10).map(|_| event.get_meanwhile(NEXT)).collect();
    let_pass(Duration::from_millis(500));
    let published = event.put("a", NEXT, "media").expect(201).at;
    for reader in readers {
        let reply = reader.join().expect("an answer").expect_row(200, FOR_EVER, "held");
        assert_eq!(reply.text(), "media");
        assert!(reply.took >= Duration::from_millis(300), "held: {:?}", reply.took);
        let lag = reply.at.saturating_duration_since(published);
        assert!(lag < SOON, "{lag:?} after the publisher's answer");
    }
    event.get(NEXT).expect_row(200, FOR_EVER, "hit");
}

#[test]
fn a_hold_ends_with_a_404_that_nobody_caches() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"hold_max_ms": 600, "retry_deadline_ms": 60_000}));
    event.put("a", NEXT - 1, "before").expect(201);
    let reply = event.get(NEXT).expect_row(404, "max-age=0", "held-too-long");
    assert!(reply.took >= Duration::from_millis(600), "{:?}", reply.took);
    assert!(reply.took < SOON, "{:?}", reply.took);
}

#[test]
fn a_hold_ends_with_the_retry_deadline() {
    let server = Server::start();
    let changes = json!({"hold_max_ms": 60_000, "retry_deadline_ms": 0});
    let event = Event::with_duration(&server, "game", (4, 1), changes);
    event.put("a", NEXT - 1, "before").expect(201);
    // E(10) is 2 s away.
    let reply = event.get(NEXT);
    assert!(matches!(reply.status, 404 | 410), "{}", reply.status);
    assert!(matches!(&*reply.outcome(), "held-too-long" | "missing"), "{}", reply.outcome());
    assert!(reply.took < SOON, "{:?}", reply.took);
    event.get(NEXT).expect_row(410, "max-age=4", "missing");
}

#[test]
fn with_silent_publishers_nobody_is_held() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"hold_max_ms": 60_000, "retry_deadline_ms": 60_000}));
    let reply = event.get(NEXT).expect_row(404, "max-age=10", "silent");
    assert_eq!(reply.max_age_ms(), 10_000);
    assert!(reply.took < SOON, "{:?}", reply.took);
}

#[test]
fn publishers_are_silent_after_three_segments_without_one() {
    let server = Server::start();
    let changes = json!({"hold_max_ms": 60_000, "retry_deadline_ms": 60_000});
    let event = Event::with_duration(&server, "game", (1, 2), changes);
    event.put("a", NEXT - 1, "before").expect(201);
    let_pass(Duration::from_millis(1_700));
    event.get(NEXT).expect_row(404, "max-age=0", "silent");
}

#[test]
fn a_segment_past_its_time_but_within_the_deadline_is_held() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"hold_max_ms": 20_000, "retry_deadline_ms": 60_000}));
    event.put("a", NEXT, "after").expect(201);
    let reader = event.get_meanwhile(NEXT - 1);
    let_pass(Duration::from_millis(300));
    event.put("a", NEXT - 1, "late").expect(201);
    let reply = reader.join().expect("an answer").expect_row(200, FOR_EVER, "held");
    assert_eq!(reply.text(), "late");
}

#[test]
fn a_reader_that_leaves_is_forgotten() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"hold_max_ms": 60_000}));
    event.put("a", NEXT - 1, "before").expect(201);
    for _ in 0..50 {
        let text = format!("GET /live/game/v/{NEXT}.m4s HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut raw = crate::support::Raw::send(server.deliver_address(), &text);
        assert!(raw.is_silent_for(Duration::from_millis(5)));
    }
    let held = || {
        let metrics = crate::support::get(format!("{}/metrics", server.ops)).expect(200).text();
        let lines = metrics.lines().filter(|line| line.starts_with("headwater_held_requests"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    crate::support::eventually("nobody is held any more", || (held() == 0.0).then_some(()));
}

#[test]
fn readers_of_other_segments_are_not_woken() {
    let server = Server::start();
    let event =
        Event::new(&server, "game", json!({"pipelines": ["a"], "hold_max_ms": 1_500, "retry_deadline_ms": 60_000}));
    event.put("a", NEXT - 2, "before").expect(201);
    let started = Instant::now();
    let reader = event.get_meanwhile(NEXT);
    let_pass(Duration::from_millis(300));
    event.put("a", NEXT - 1, "not the one").expect(201);
    reader.join().expect("an answer").expect_row(404, "max-age=0", "held-too-long");
    assert!(started.elapsed() >= Duration::from_millis(1_500));
}

#[test]
fn the_end_of_an_event_answers_those_who_wait_for_more() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"hold_max_ms": 60_000, "retry_deadline_ms": 60_000}));
    event.put("a", NEXT - 1, "the last").expect(201);
    let reader = event.get_meanwhile(NEXT);
    let_pass(Duration::from_millis(300));
    for _ in 0..2 {
        let ended = crate::support::post(format!("{}/end", event.document), "");
        assert!(matches!(ended.status, 200 | 204), "{ended:?}");
    }
    let reply = reader.join().expect("an answer").expect(410);
    assert_eq!(reply.outcome(), "never");
    assert!(reply.took < SOON, "{:?}", reply.took);
    assert_eq!(event.read_document()["end_number"], NEXT - 1);
    event.put("a", NEXT, "overtime").expect_problem(422, "end_number");
}
