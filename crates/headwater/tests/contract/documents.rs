//! Contract §3: the event document.

use serde_json::{Value, json};

use crate::support::event::NEXT;
use crate::support::{Event, Server, delete, get, now_ms, put};

/// Changes to a valid document, and the field that the answer must name.
fn invalid() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"segment": {"duration": 0, "timescale": 1}}), "segment.duration"),
        (json!({"segment": {"duration": 1, "timescale": 0}}), "segment.timescale"),
        (json!({"segment": {"duration": 61, "timescale": 1}}), "segment"),
        (json!({"segment": {"duration": 99, "timescale": 1000}}), "segment"),
        (json!({"segment": {"duration": 4_294_967_296_u64, "timescale": 4_294_967_295_u64}}), "segment.duration"),
        (json!({"segment": {"duration": 2.5, "timescale": 1}}), "segment.duration"),
        (json!({"segment": {"duration": 2}}), "segment"),
        (json!({"media": "$RepresentationID$/segment.m4s"}), "media"),
        (json!({"media": "$RepresentationID$/$Bandwidth$-$Number$.m4s"}), "media"),
        (json!({"media": "$RepresentationID$/$Number.m4s"}), "media"),
        (json!({"media": "segment-$Number$.m4s", "renditions": [{"id": "v"}, {"id": "w"}]}), "media"),
        (json!({"init": "init.mp4", "renditions": [{"id": "v"}, {"id": "w"}]}), "init"),
        (json!({"init": "$RepresentationID$/7.m4s"}), "init"),
        (json!({"start_number": 8, "end_number": 7}), "end_number"),
        (json!({"start_number": -1}), "start_number"),
        (json!({"colour": "blue"}), "colour"),
        (json!({"segment": {"duration": 2, "timescale": 1, "unit": "s"}}), "unit"),
        (json!({"pipelines": []}), "pipelines"),
        (json!({"pipelines": ["A!"]}), "pipelines"),
        (json!({"pipelines": ["a", "a"]}), "pipelines"),
        (json!({"renditions": [{"id": "-v"}]}), "renditions"),
        (json!({"renditions": [{"id": "v"}, {"id": "v"}]}), "renditions"),
        (json!({"renditions": [{"id": "v", "timescale": 0}]}), "timescale"),
        (json!({"availability_start_time": "yesterday"}), "availability_start_time"),
        (json!({"inspect": "sometimes"}), "inspect"),
        (json!({"hold_max_ms": "long"}), "hold_max_ms"),
        (json!({"dvr_window_s": -4}), "dvr_window_s"),
    ]
}

#[test]
fn every_breach_is_422_and_names_the_field() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let before = event.read_document();
    for (changes, field) in invalid() {
        let reply = event.try_document(&event.changed(changes.clone()));
        assert_eq!(reply.status, 422, "{changes}: {}", reply.text());
        reply.expect_problem(422, field);
    }
    event.try_document(&json!([1, 2])).expect_problem(422, "");
    assert_eq!(event.read_document(), before, "what is refused changes nothing");
}

#[test]
fn a_document_that_is_refused_creates_no_event() {
    let server = Server::start();
    let event = Event::at(&server, "game", now_ms(), 2_000);
    event.try_document(&json!({"pipelines": []})).expect_problem(422, "pipelines");
    get(&event.document).expect_problem(404, "game");
    get(format!("{}/v/1.m4s", event.deliver)).expect_row(404, "max-age=5", "unknown");
}

#[test]
fn durations_stay_rational() {
    let server = Server::start();
    let event = Event::at(&server, "game", 0, 2_002);
    event.put_document(&json!({"segment": {"duration": 60_060, "timescale": 30_000}}));
    assert_eq!(event.read_document()["segment"], json!({"duration": 60_060, "timescale": 30_000}));
    // A thousand hours in, a duration rounded to 2.002 s and this one still agree; 2.0 s would be an hour off.
    let next = u64::try_from(now_ms()).unwrap() * 30 / 60_060;
    put(format!("{}/v/{next}.m4s", event.publish), "media").expect(201);
    put(format!("{}/v/{}.m4s", event.publish, next + 40), "media").expect_problem(422, "");
}

#[test]
fn an_empty_document_is_the_default_one() {
    let server = Server::start();
    let event = Event::at(&server, "game", 0, 2_000);
    event.put_document(&json!({}));
    let document = event.read_document();
    assert_eq!(document["segment"], json!({"duration": 2, "timescale": 1}));
    assert_eq!(document["pipelines"], json!(["a", "b"]));
    assert_eq!(document["media"], "$RepresentationID$/$Number$.m4s");
    assert_eq!((&document["hold_max_ms"], &document["inspect"]), (&json!(4000), &json!("mark")));
}

#[test]
fn putting_the_same_document_again_changes_nothing() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let document = event.read_document();
    let (one, two) = (event.put_document(&document).json(), event.put_document(&document).json());
    assert_eq!(one["rev"], two["rev"]);
    assert!(one["rev"].is_u64(), "{one}");
}

#[test]
fn a_time_names_the_nearest_segment() {
    let server = Server::start();
    let changes = json!({"media": "$RepresentationID$/t$Time$.m4s", "renditions": [{"id": "v", "timescale": 48_000}]});
    let event = Event::with_duration(&server, "game", (1_920, 1_000), changes);
    for (time, number) in [(92_160 * 10, "10"), (92_160 * 9 + 1_024, "9"), (92_160 * 9 - 1_024, "9")] {
        let reply = put(format!("{}/v/t{time}.m4s", event.publish), format!("media at {time}"));
        assert_eq!(reply.header("headwater-segment"), number, "time {time}: {} {}", reply.status, reply.text());
    }
    let served = get(format!("{}/v/t{}.m4s", event.deliver, 92_160 * 10)).expect(200);
    assert_eq!(served.header("headwater-segment"), "10");
}

#[test]
fn a_time_without_a_timescale_is_422() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"media": "$RepresentationID$/$Time$.m4s"}));
    put(format!("{}/v/90000.m4s", event.publish), "media").expect_problem(422, "timescale");
}

#[test]
fn before_any_media_everything_may_change() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    put(format!("{}/live.mpd", event.publish), "a manifest is no media").expect(201);
    event.put_document(&event.changed(json!({"segment": {"duration": 3, "timescale": 1}, "start_number": 4})));
    event.put_document(&event.changed(json!({"media": "$RepresentationID$-$Number$.m4s"})));
}

#[test]
fn timing_and_templates_are_fixed_once_media_is_stored() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    let fixed = [
        ("segment", json!({"duration": 3, "timescale": 1})),
        ("start_number", json!(1)),
        ("availability_start_time", json!("2026-01-01T00:00:00Z")),
        ("media", json!("$RepresentationID$-$Number$.m4s")),
        ("init", json!("$RepresentationID$-init.mp4")),
    ];
    for (field, value) in fixed {
        event.try_document(&event.changed(json!({field: value}))).expect_problem(409, field);
    }
    event.put_document(&event.changed(json!({"hold_max_ms": 100, "end_number": 5000})));
}

#[test]
fn an_order_of_pipelines_changes_after_the_last_published_segment() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "of a").expect(201);
    event.put("b", NEXT, "of b").expect(201);
    let answer = event.put_document(&event.changed(json!({"pipelines": ["b", "a"]}))).json();
    let from = answer["effective_from"].as_u64().unwrap_or_else(|| panic!("no effective_from in {answer}"));
    assert!(from > NEXT && from <= NEXT + 2, "{from}");
    for pipeline in ["a", "b"] {
        event.put(pipeline, from, &format!("of {pipeline}")).expect(201);
    }
    assert_eq!(event.get(NEXT).expect(200).text(), "of a");
    assert_eq!(event.get(from).expect(200).text(), "of b");
}

#[test]
fn a_pipeline_may_publish_from_where_it_is_listed() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    let answer = event.put_document(&event.changed(json!({"pipelines": ["a", "c"]}))).json();
    let from = answer["effective_from"].as_u64().expect("a number");
    event.put("c", from, "media").expect(201);
    event.put("b", from, "media").expect_problem(403, "b");
    event.put("b", NEXT, "media").expect(201);
    event.put("c", NEXT, "media").expect_problem(403, "c");
}

#[test]
fn the_first_put_to_an_unknown_event_creates_it() {
    let server = Server::start();
    put(format!("{}/live/news/live.mpd", server.publish), "manifest").expect(201);
    let event = Event::at(&server, "news", 0, 2_000);
    assert_eq!(event.read_document()["pipelines"], json!(["a", "b"]));
    let list = get(format!("{}/v1/tenants/live/events", server.ops)).expect(200);
    assert!(list.text().contains("news"), "{}", list.text());
}

#[test]
fn an_unknown_tenant_is_404() {
    let server = Server::start();
    put(format!("{}/nobody/game/live.mpd", server.publish), "manifest").expect_problem(404, "nobody");
    get(format!("{}/v1/tenants/nobody/events/game", server.ops)).expect_problem(404, "nobody");
    get(format!("{}/nobody/game/live.mpd", server.deliver)).expect_row(404, "max-age=5", "unknown");
}

#[test]
fn deleting_and_creating_again_never_repeats_a_counter() {
    let server = Server::start();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = Event::new(&server, "game", json!({}));
        event.put("a", NEXT, "media").expect(201);
        let version: u64 = event.get(NEXT).expect(200).header("headwater-cache-version").parse().expect("a number");
        let rev = event.put_document(&event.read_document()).json()["rev"].as_u64().expect("a number");
        seen.push((version, rev));
        assert!(matches!(delete(&event.document).status, 200 | 204));
        assert!(matches!(delete(&event.document).status, 200 | 204), "DELETE is idempotent");
        event.get(NEXT).expect_row(404, "max-age=5", "unknown");
    }
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{seen:?}");
}
