//! A 404 that a cache keeps because it was asked too early.

use std::time::Duration;

use serde_json::json;

use crate::shield::{KINDS, Kind, Shield, is_hit};
use crate::support::{Event, Server, get, let_pass, now_ms};
use crate::{event_at, origin, wait_until};

/// Asks for a segment through the cache while it is too early, publishes it when it is due, and asks again at once.
/// With an `inner` cache that has had the answer for a while by then. Gives how often the caches themselves answered that
/// it is too early.
fn over_the_edge(shield: &Shield, inner: Option<&Shield>, event: &Event, duration_ms: i64, phase_ms: i64) -> usize {
    // Every event has its `E(n)` at another part of the second.
    let number = u64::try_from((now_ms() - event.expected_ms(0)) / duration_ms + 4).expect("after its start");
    let due = event.expected_ms(number);
    event.put("a", number - 3, "before").expect(201);
    let mut cached = 0;
    let mut ask_at = due - duration_ms - 2_100;
    if let Some(inner) = inner {
        wait_until(ask_at);
        get(inner.segment(event, number));
        ask_at += 1_300;
    }
    while ask_at < due - duration_ms - 20 {
        wait_until(ask_at);
        let asked = now_ms();
        let reply = get(shield.segment(event, number));
        // A machine that is too busy may have asked too late.
        if reply.status == 404 && asked < due - duration_ms {
            cached += usize::from(is_hit(&reply));
        }
        ask_at = ask_at.max(now_ms()) + 130;
    }
    event.put("a", number - 1, "just before").expect(201);
    wait_until(due);
    event.put("a", number, "due").expect(201);
    let reply = get(shield.segment(event, number));
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (200, "due"),
        "{:?}: a 404 outlived E(n), at {phase_ms} ms of the second, {} ms after",
        shield.kind,
        now_ms() - due
    );
    cached
}

#[test]
fn no_cached_404_outlives_the_publication() {
    let server = origin();
    for kind in KINDS {
        check_edges(&server, &Shield::start(kind, &server), None, &format!("{kind:?}"));
    }
}

#[test]
fn nor_does_one_that_came_through_varnish() {
    let server = origin();
    let inner = Shield::start_before(Kind::Varnish, &server, server.deliver_address(), "inner");
    for kind in KINDS {
        let outer = Shield::start_before(kind, &server, inner.address(), "outer");
        check_edges(&server, &outer, Some(&inner), &format!("behind-{kind:?}"));
    }
}

#[test]
fn nor_does_one_that_came_through_traffic_server() {
    let server = origin();
    let inner = Shield::start_before(Kind::TrafficServer, &server, server.deliver_address(), "inner");
    for kind in [Kind::Varnish, Kind::TrafficServer] {
        let outer = Shield::start_before(kind, &server, inner.address(), "outer");
        check_edges(&server, &outer, Some(&inner), &format!("behind-{kind:?}"));
    }
}

/// Asks for the first segment after the event's end, again and again; then the event gets a later end, and it comes.
fn over_the_end(shield: &Shield, server: &Server, name: &str, phase_ms: i64) {
    const DURATION_MS: i64 = 2_000;
    let event = event_at(server, name, now_ms() / 1000 * 1000 - 60_000 + phase_ms, DURATION_MS);
    let number = u64::try_from((now_ms() - event.expected_ms(0)) / DURATION_MS + 3).expect("after its start");
    let due = event.expected_ms(number);
    event.put_document(&event.changed(json!({"end_number": number - 1})));
    while now_ms() < due - 400 {
        get(shield.segment(&event, number)).expect(410);
        let_pass(Duration::from_millis(130));
    }
    event.put_document(&event.changed(json!({"end_number": number + 10})));
    wait_until(due);
    event.put("a", number, "overtime").expect(201);
    let reply = get(shield.segment(&event, number));
    let late = now_ms() - due;
    assert_eq!(reply.status, 200, "{:?}: a 410 hides an overtime at {phase_ms} ms, {late} ms after", shield.kind);
}

#[test]
fn no_cached_410_hides_an_overtime() {
    let server = origin();
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        std::thread::scope(|scope| {
            for phase in (0..8).map(|eighth| eighth * 125 + 40) {
                let (shield, server) = (&shield, &server);
                let name = format!("{kind:?}-overtime-{phase}").to_lowercase();
                scope.spawn(move || over_the_end(shield, server, &name, phase));
            }
        });
    }
}

/// Asks over the edges of many segments at once, each at another part of the second.
fn check_edges(server: &Server, shield: &Shield, inner: Option<&Shield>, name: &str) {
    let start = now_ms() / 1000 * 1000 - 60_000;
    let cases: Vec<(i64, i64)> = [2_000, 1_000, 500]
        .into_iter()
        .flat_map(|duration| (0..8).map(move |eighth| (duration, eighth * 125 + duration / 50)))
        .collect();
    let cached: usize = std::thread::scope(|scope| {
        let watch = |(duration, phase): (i64, i64)| {
            scope.spawn(move || {
                let name = format!("{name}-{duration}-{phase}").to_lowercase();
                let event = event_at(server, &name, start + phase, duration);
                over_the_edge(shield, inner, &event, duration, phase)
            })
        };
        let watching: Vec<_> = cases.into_iter().map(watch).collect();
        watching.into_iter().map(|one| one.join().expect("no cached 404")).sum()
    });
    assert!(cached > 8, "{name} has cached early answers: {cached}");
    println!("{name}: {cached} cached early answers in 24 events, none past E(n)");
}
