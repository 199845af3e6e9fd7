//! Contract §4: what may replace what.

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::{Dice, Event, Server, get, put};

#[test]
fn a_sound_segment_is_final() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let first = event.put("a", NEXT, "media").expect(201);
    let same = event.put("a", NEXT, "media").expect(200);
    assert_eq!(first.header("etag"), same.header("etag"));
    event.put("a", NEXT, "other").expect_problem(409, "");
    event.put_defective("a", NEXT, "other", "short").expect_problem(409, "");
    assert_eq!(get(format!("{}/@a/v/10.m4s", event.deliver)).expect(200).text(), "media");
    event.put("b", NEXT, "of another pipeline").expect(201);
}

#[test]
fn a_defective_segment_may_be_replaced_until_a_sound_one_is_there() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put_defective("a", NEXT, "one", "short;have=48;want=50").expect(201);
    event.put_defective("a", NEXT, "two", "discontinuity;offset=3003").expect(201);
    event.put("a", NEXT, "three").expect(201);
    event.put("a", NEXT, "four").expect_problem(409, "");
    let served = get(format!("{}/@a/v/10.m4s", event.deliver)).expect(200);
    assert_eq!(served.text(), "three");
    assert!(!served.has("headwater-defects"));
}

#[test]
fn the_first_report_of_the_same_bytes_stays() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put_defective("a", NEXT, "media", "short").expect(201);
    let again = event.put("a", NEXT, "media").expect(200);
    assert_eq!(again.header("headwater-defects"), "short");
    event.put("b", NEXT, "media").expect(201);
    let sound = event.put_defective("b", NEXT, "media", "short").expect(200);
    assert!(!sound.has("headwater-defects"), "{sound:?}");
}

#[test]
fn unknown_defects_are_ignored() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let reply = event.put_defective("a", NEXT, "media", "purple;level=3, sparkling").expect(201);
    assert!(!reply.has("headwater-defects"), "{reply:?}");
    event.put("a", NEXT, "other").expect_problem(409, "");
}

#[test]
fn every_known_defect_is_told_to_the_reader() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"pipelines": ["a"]}));
    let kinds = ["short", "discontinuity", "filler", "malformed", "incomplete", "no-sync", "disorder"];
    for (number, kind) in (NEXT - 3..).zip(kinds) {
        event.put_defective("a", number, kind, kind).expect(201);
        let reply = event.get(number).expect_row(200, "public, max-age=10", "defective");
        assert_eq!(reply.header("headwater-defects"), kind);
    }
}

#[test]
fn manifests_and_init_segments_are_always_replaced() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    for path in ["live.mpd", "v/init.mp4"] {
        for body in ["one", "two", "two", "three"] {
            put(format!("{}/{path}", event.publish), body).expect(201);
            assert_eq!(get(format!("{}/{path}", event.deliver)).expect(200).text(), body);
        }
    }
}

#[test]
fn of_two_sound_uploads_at_once_one_wins() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    for number in NEXT - 5..NEXT {
        let bodies: Vec<String> = (0..4).map(|index| format!("{index}").repeat(200_000)).collect();
        let put = |body: &String| (event.put("a", number, body).status, body.clone());
        let answers: Vec<_> = std::thread::scope(|scope| {
            let uploads: Vec<_> = bodies.iter().map(|body| scope.spawn(move || put(body))).collect();
            uploads.into_iter().map(|upload| upload.join().expect("an answer")).collect()
        });
        let won: Vec<_> = answers.iter().filter(|(status, _)| *status == 201).collect();
        assert_eq!(won.len(), 1, "{:?}", answers.iter().map(|(status, _)| status).collect::<Vec<_>>());
        assert!(answers.iter().all(|(status, _)| matches!(status, 201 | 409)));
        let kept = get(format!("{}/@a/v/{number}.m4s", event.deliver)).expect(200).text();
        assert!(kept == won[0].1, "other bytes are kept than those that won");
    }
}

#[test]
fn no_url_is_ever_immutable_with_two_etags() {
    let server = Server::start();
    let event = Event::new(
        &server,
        "game",
        json!({"prefer_wait_ms": 60, "defect_wait_ms": 120, "hold_max_ms": 1500, "retry_deadline_ms": 600_000}),
    );
    event.put("a", 0, "early").expect(201);
    std::thread::scope(|scope| {
        for number in 1..=NEXT {
            let event = &event;
            for (seed, pipeline) in [(1, "a"), (2, "b")] {
                scope.spawn(move || publish_somehow(event, pipeline, number, &mut Dice::new(seed * 1000 + number)));
            }
            scope.spawn(move || read_for_a_while(event, number));
        }
    });
}

/// Publishes a sound segment, at times after a defective one, at times after the other pipeline's was chosen.
fn publish_somehow(event: &Event, pipeline: &str, number: u64, dice: &mut Dice) {
    crate::support::let_pass(std::time::Duration::from_millis(dice.roll(200)));
    if dice.roll(2) == 0 {
        event.put_defective(pipeline, number, &format!("bad {pipeline} {number}"), "short").expect(201);
        crate::support::let_pass(std::time::Duration::from_millis(dice.roll(200)));
    }
    event.put(pipeline, number, &format!("good {pipeline} {number}")).expect(201);
}

fn read_for_a_while(event: &Event, number: u64) {
    let mut immutable = None;
    for _ in 0..60 {
        let reply = event.get(number);
        if reply.header("cache-control").contains("immutable") {
            let etag = reply.header("etag");
            assert_eq!(*immutable.get_or_insert_with(|| etag.clone()), etag, "segment {number}");
            assert!(reply.text().starts_with("good"), "{}", reply.text());
        } else {
            assert!(immutable.is_none() || reply.status == 503, "{number} was immutable and is {}", reply.status);
        }
    }
    assert!(immutable.is_some(), "segment {number} never got a choice");
}
