//! Contract §5, row 10, and §7: what an operator hides.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::event::NEXT;
use crate::support::{Event, Server, delete, http, let_pass};

const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Puts a mask and gives its id; it is in force within a second.
fn mask(event: &Event, mask: Value) -> Value {
    let request = http::request("POST", format!("{}/masks", event.document));
    let answer = request.header("content-type", "application/json").body(mask.to_string()).send();
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    let_pass(Duration::from_secs(1));
    answer.json()["id"].clone()
}

#[test]
fn a_masked_candidate_gives_way_and_comes_back() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    for pipeline in ["a", "b"] {
        for number in NEXT - 1..=NEXT {
            event.put(pipeline, number, &format!("of {pipeline}")).expect(201);
        }
    }
    let id = mask(&event, json!({"pipeline": "a", "from": NEXT, "to": NEXT, "reason": "black"}));
    assert_eq!(event.get(NEXT).expect_row(200, FOR_EVER, "hit").text(), "of b");
    assert_eq!(event.get(NEXT - 1).expect(200).text(), "of a", "the mask begins later");
    for _ in 0..2 {
        assert!(matches!(delete(format!("{}/masks/{id}", event.document)).status, 200 | 204 | 404));
    }
    let_pass(Duration::from_secs(1));
    assert_eq!(event.get(NEXT).expect_row(200, FOR_EVER, "hit").text(), "of a");
}

#[test]
fn with_every_pipeline_masked_there_is_nothing_to_wait_for() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"hold_max_ms": 60_000}));
    event.put("a", NEXT - 1, "media").expect(201);
    for pipeline in ["a", "b"] {
        mask(&event, json!({"pipeline": pipeline, "from": NEXT - 1, "reason": "black"}));
    }
    for number in [NEXT - 1, NEXT] {
        event.get(number).expect_row(410, "max-age=5", "masked");
    }
}

#[test]
fn a_mask_reaches_those_who_wait() {
    let server = Server::start();
    let changes = json!({"hold_max_ms": 60_000, "prefer_wait_ms": 60_000, "retry_deadline_ms": 600_000});
    let event = Event::new(&server, "game", changes);
    event.put("b", NEXT, "of b").expect(201);
    let reader = event.get_meanwhile(NEXT);
    let_pass(Duration::from_millis(300));
    mask(&event, json!({"pipeline": "a", "from": NEXT, "reason": "black"}));
    let reply = reader.join().expect("an answer").expect_row(200, FOR_EVER, "held");
    assert_eq!(reply.text(), "of b");
    assert!(reply.took < Duration::from_secs(20), "{:?}", reply.took);
}

#[test]
fn a_missing_segment_of_a_masked_pipeline_is_masked_and_not_missing() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.get(3).expect_row(410, "max-age=10", "missing");
    mask(&event, json!({"pipeline": "b", "from": 3, "to": 3, "reason": "black"}));
    event.get(3).expect_row(410, "max-age=5", "masked");
    event.get(2).expect_row(410, "max-age=10", "missing");
}
