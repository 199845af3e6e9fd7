//! Contract §5: which candidate is chosen, and that a choice stays.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::{Event, Server, let_pass};

const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// An event with patient readers, of which no pipeline has published anything: all are healthy.
fn event(server: &Server, prefer_wait_ms: u64, defect_wait_ms: u64) -> Event {
    let waits = json!({"prefer_wait_ms": prefer_wait_ms, "defect_wait_ms": defect_wait_ms, "hold_max_ms": 30_000,
                       "retry_deadline_ms": 60_000});
    Event::new(server, "game", waits)
}

#[track_caller]
fn check_chosen(event: &Event, number: u64, body: &str) {
    let reply = event.get(number).expect(200);
    assert_eq!((reply.text().as_str(), reply.header("cache-control").as_str()), (body, FOR_EVER));
}

#[test]
fn the_preferred_pipeline_is_waited_for() {
    let server = Server::start();
    let event = event(&server, 20_000, 1_000);
    event.put("b", NEXT, "of b").expect(201);
    let started = Instant::now();
    let reader = event.get_meanwhile(NEXT);
    let_pass(Duration::from_millis(300));
    event.put("a", NEXT, "of a").expect(201);
    let reply = reader.join().expect("an answer").expect_row(200, FOR_EVER, "held");
    assert_eq!(reply.text(), "of a");
    assert!(started.elapsed() < Duration::from_secs(10), "the wait ends when a comes");
}

#[test]
fn a_preferred_pipeline_that_does_not_come_in_time_is_passed_over_for_ever() {
    let server = Server::start();
    let event = event(&server, 700, 1_000);
    let published = event.put("b", NEXT, "of b").expect(201);
    let reply = event.get(NEXT).expect(200);
    assert_eq!((reply.text().as_str(), reply.header("headwater-pipeline").as_str()), ("of b", "b"));
    let waited = reply.at.duration_since(published.at) + published.took;
    assert!(waited >= Duration::from_millis(700), "{waited:?}");
    event.put("a", NEXT, "of a").expect(201);
    check_chosen(&event, NEXT, "of b");
}

#[test]
fn a_choice_is_made_without_readers() {
    let server = Server::start();
    let event = event(&server, 300, 1_000);
    event.put("b", NEXT, "of b").expect(201);
    let_pass(Duration::from_millis(400));
    event.put("a", NEXT, "of a").expect(201);
    check_chosen(&event, NEXT, "of b");
}

#[test]
fn the_first_by_rank_is_chosen_at_once() {
    let server = Server::start();
    let event = event(&server, 20_000, 1_000);
    event.put("a", NEXT, "of a").expect(201);
    let reply = event.get(NEXT).expect_row(200, FOR_EVER, "hit");
    assert!(reply.took < Duration::from_secs(5), "{:?}", reply.took);
    event.put("b", NEXT, "of b").expect(201);
    check_chosen(&event, NEXT, "of a");
}

#[test]
fn a_pipeline_that_published_neither_of_the_two_before_is_not_waited_for() {
    let server = Server::start();
    let event = event(&server, 20_000, 20_000);
    event.put("b", NEXT - 2, "before").expect(201);
    event.put("b", NEXT, "of b").expect(201);
    let reply = event.get(NEXT).expect_row(200, FOR_EVER, "hit");
    assert_eq!(reply.text(), "of b");
    assert!(reply.took < Duration::from_secs(5), "{:?}", reply.took);
}

#[test]
fn a_pipeline_that_published_one_of_the_two_before_is_waited_for() {
    let server = Server::start();
    let event = event(&server, 20_000, 20_000);
    event.put("a", NEXT - 2, "before").expect(201);
    event.put("b", NEXT - 1, "before").expect(201);
    event.put("b", NEXT, "of b").expect(201);
    let reader = event.get_meanwhile(NEXT);
    let_pass(Duration::from_millis(300));
    event.put("a", NEXT, "of a").expect(201);
    assert_eq!(reader.join().expect("an answer").expect(200).text(), "of a");
}

#[test]
fn a_defective_candidate_gives_way_to_a_sound_one_for_ever() {
    let server = Server::start();
    let event = event(&server, 20_000, 20_000);
    event.put_defective("a", NEXT, "bad a", "short").expect(201);
    let reader = event.get_meanwhile(NEXT);
    let_pass(Duration::from_millis(200));
    event.put("b", NEXT, "good b").expect(201);
    let reply = reader.join().expect("an answer").expect_row(200, FOR_EVER, "held");
    assert_eq!(reply.text(), "good b");
    event.put("a", NEXT, "good a").expect(201);
    check_chosen(&event, NEXT, "good b");
}

#[test]
fn a_defective_candidate_waits_for_the_other_pipeline() {
    let server = Server::start();
    let event = event(&server, 250, 800);
    let published = event.put_defective("a", NEXT, "bad a", "short;have=48;want=50").expect(201);
    let reply = event.get(NEXT).expect_row(200, "public, max-age=10", "defective");
    assert_eq!(reply.header("headwater-defects"), "short;have=48;want=50");
    let waited = reply.at.duration_since(published.at) + published.took;
    assert!(waited >= Duration::from_millis(800), "{waited:?}");
}

#[test]
fn of_two_defective_candidates_the_least_bad_is_served_at_once() {
    let server = Server::start();
    let event = event(&server, 20_000, 20_000);
    let cases = [
        (7, "short, discontinuity", "short", "of b"),
        (8, "short", "discontinuity", "of a"),
        (9, "malformed", "short, discontinuity, filler, no-sync", "of b"),
        (10, "incomplete", "filler, disorder", "of b"),
    ];
    for (number, of_a, of_b, least_bad) in cases {
        event.put_defective("a", number, "of a", of_a).expect(201);
        event.put_defective("b", number, "of b", of_b).expect(201);
        let reply = event.get(number).expect_row(200, "public, max-age=10", "defective");
        assert_eq!(reply.text(), least_bad, "{of_a} against {of_b}");
        assert!(reply.took < Duration::from_secs(5), "{:?}", reply.took);
    }
}

#[test]
fn a_sound_candidate_takes_the_place_of_a_provisional_one() {
    let server = Server::start();
    let event = event(&server, 20_000, 20_000);
    event.put_defective("a", NEXT, "bad a", "short").expect(201);
    event.put_defective("b", NEXT, "bad b", "short").expect(201);
    assert_eq!(event.get(NEXT).expect_row(200, "public, max-age=10", "defective").text(), "bad a");
    event.put("b", NEXT, "good b").expect(201);
    check_chosen(&event, NEXT, "good b");
    event.put("a", NEXT, "good a").expect(201);
    check_chosen(&event, NEXT, "good b");
}

#[test]
fn each_rendition_is_chosen_for_itself() {
    let server = Server::start();
    let event = event(&server, 20_000, 20_000);
    let put = |pipeline: &str, rendition: &str| {
        let url = format!("{}/@{pipeline}/{rendition}/{NEXT}.m4s", event.publish);
        crate::support::put(url, format!("{rendition} of {pipeline}")).expect(201)
    };
    put("a", "v");
    put("b", "w");
    put("b", "v");
    check_chosen(&event, NEXT, "v of a");
    // Nobody has published `w` before, so a is waited for; once it has come defective, b is the choice.
    let url = format!("{}/@a/w/{NEXT}.m4s", event.publish);
    let defective = crate::support::http::request("PUT", url).header("headwater-defects", "short");
    defective.body("bad").send().expect(201);
    assert_eq!(crate::support::get(format!("{}/w/{NEXT}.m4s", event.deliver)).expect(200).text(), "w of b");
}

#[test]
fn choices_survive_a_restart() {
    let server = Server::start();
    let event = event(&server, 300, 1_000);
    event.put("b", NEXT, "of b").expect(201);
    event.get(NEXT).expect(200);
    event.put("a", NEXT, "of a").expect(201);
    event.put_defective("a", NEXT - 1, "bad a", "short").expect(201);
    event.put("b", NEXT - 1, "good b").expect(201);
    let server = server.kill_and_restart();
    let event = Event::at(&server, "game", 0, 10_000);
    check_chosen(&event, NEXT, "of b");
    check_chosen(&event, NEXT - 1, "good b");
    event.put("a", NEXT - 1, "good a").expect(201);
    check_chosen(&event, NEXT - 1, "good b");
}
