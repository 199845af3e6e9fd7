//! What a tenant may keep and how fast it may publish, and what happens to segments that it deletes.

use serde_json::{Value, json};

use crate::support::event::NEXT;
use crate::support::http::{self, Reply};
use crate::support::server::PATIENT;
use crate::support::{Event, Raw, Server, delete, get, put};

/// A server whose tenant `live` has these options.
fn server(options: &str) -> (Server, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{PATIENT}[tenants.live]\n{options}\n")).expect("a file");
    (Server::start_with(&["--config", file.path().to_str().expect("a path")]), file)
}

#[track_caller]
fn refused(reply: &Reply, status: u16, quota: &str, words: &[&str]) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let problem = reply.json();
    assert_eq!(problem["type"], format!("urn:headwater:problem:quota-{quota}"), "{problem}");
    for word in words {
        assert!(problem["detail"].as_str().expect("a detail").contains(word), "no `{word}`: {problem}");
    }
}

fn usage(server: &Server) -> Value {
    get(format!("{}/v1/status", server.ops)).expect(200).json()["usage"][0].clone()
}

#[test]
fn stored_bytes_are_limited_and_come_back() {
    let (server, _file) = server("max_bytes = 1000\nhonor_delete = true");
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT - 1, &"x".repeat(600)).expect(201);
    let full = event.put("a", NEXT, &"y".repeat(401));
    refused(&full, 507, "bytes", &["max_bytes = 1000", "600 in use", "401", "dvr_window_s"]);
    event.get(NEXT - 1).expect(200);
    // The same bytes again need no room.
    event.put("a", NEXT - 1, &"x".repeat(600)).expect(200);
    refused(&event.put("a", NEXT, &"y".repeat(1001)), 413, "bytes", &["1001"]);
    let (manifest, body) = (format!("{}/live.mpd", event.publish), "m".repeat(400));
    put(&manifest, body.as_str()).expect(201);
    put(&manifest, body.as_str()).expect(201);
    assert_eq!((&usage(&server)["objects"], &usage(&server)["bytes"]), (&2.into(), &1000.into()));
    refused(&put(&manifest, "m".repeat(401)), 507, "bytes", &["1000 in use"]);
    let server = server.kill_and_restart();
    assert_eq!(usage(&server)["bytes"], 1000, "counted anew from what is stored");
    delete(format!("{}/live/game/live.mpd", server.publish)).expect(204);
    assert_eq!(usage(&server)["bytes"], 600);
    delete(format!("{}/v1/tenants/live/events/game", server.ops)).expect(204);
    assert_eq!(usage(&server)["bytes"], 0);
}

#[test]
fn objects_are_limited_and_chunked_uploads_too() {
    let (server, _file) = server("max_objects = 2\nmax_bytes = 1000\nmax_object_bytes = 700");
    let event = Event::new(&server, "game", json!({}));
    let chunked = |number: u64, length: usize| {
        let head = format!("PUT /live/game/v/{number}.m4s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        let body = "z".repeat(length);
        Raw::send(server.publish_address(), &format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n")).status()
    };
    assert_eq!(chunked(NEXT - 2, 600), 201);
    assert_eq!(chunked(NEXT - 1, 500), 507);
    assert_eq!(chunked(NEXT - 1, 701), 413);
    assert_eq!(chunked(NEXT - 1, 10), 201);
    refused(&event.put("a", NEXT, "one too many"), 507, "objects", &["max_objects = 2", "2 in use"]);
    refused(&event.put("a", NEXT, &"x".repeat(701)), 413, "object-bytes", &["max_object_bytes = 700"]);
    assert_eq!(usage(&server)["objects"], 2);
}

#[test]
fn uploads_at_once_never_exceed_a_quota() {
    let (server, _file) = server("max_bytes = 100000");
    let event = Event::new(&server, "game", json!({}));
    let uploads: Vec<_> = (0..24)
        .map(|index| {
            let url = format!("{}/object-{index}", event.publish);
            std::thread::spawn(move || put(url, vec![b'x'; 10_000]).status)
        })
        .collect();
    let statuses: Vec<_> = uploads.into_iter().map(|upload| upload.join().expect("an answer")).collect();
    assert!(statuses.iter().all(|status| matches!(status, 201 | 507)), "{statuses:?}");
    let stored = statuses.iter().filter(|status| **status == 201).count() as u64;
    assert!((1..=10).contains(&stored), "{statuses:?}");
    assert_eq!(usage(&server)["bytes"], stored * 10_000);
}

#[test]
fn events_and_renditions_are_limited() {
    let (server, _file) = server("max_events = 2\nmax_renditions = 2");
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    put(format!("{}/w/{NEXT}.m4s", event.publish), "media").expect(201);
    refused(&put(format!("{}/x/{NEXT}.m4s", event.publish), "media"), 507, "renditions", &["max_renditions = 2"]);
    let three = event.changed(json!({"renditions": [{"id": "v"}, {"id": "w"}, {"id": "x"}]}));
    refused(&event.try_document(&three), 507, "renditions", &["2 in use"]);
    event.put_document(&event.changed(json!({"renditions": [{"id": "v"}, {"id": "w"}]})));
    put(format!("{}/live/second/live.mpd", server.publish), "manifest").expect(201);
    refused(&put(format!("{}/live/third/live.mpd", server.publish), "manifest"), 507, "events", &["2 in use"]);
    let third = format!("{}/v1/tenants/live/events/third", server.ops);
    refused(&http::request("PUT", &third).body("{}").send(), 507, "events", &["max_events = 2"]);
    delete(format!("{}/v1/tenants/live/events/second", server.ops)).expect(204);
    put(format!("{}/live/third/live.mpd", server.publish), "manifest").expect(201);
}

#[test]
fn a_flood_is_told_to_wait() {
    let (server, _file) = server("max_publish_per_second = 1");
    let url = format!("{}/live/game/live.mpd", server.publish);
    let replies: Vec<_> = (0..6).map(|_| put(&url, "manifest")).collect();
    let told = replies.iter().find(|reply| reply.status == 429).expect("a refusal");
    refused(told, 429, "rate", &["max_publish_per_second = 1", "Retry-After"]);
    assert_eq!(told.header("retry-after"), "1");
}

#[test]
fn who_has_no_room_is_not_asked_for_the_body() {
    let (server, _file) = server("max_bytes = 100");
    let asks = |length: u64| {
        let head = "PUT /live/game/x HTTP/1.1\r\nhost: x\r\nexpect: 100-continue";
        Raw::send(server.publish_address(), &format!("{head}\r\ncontent-length: {length}\r\n\r\n")).status()
    };
    assert_eq!(asks(101), 413, "and no 100");
    put(format!("{}/live/game/y", server.publish), vec![b'y'; 60]).expect(201);
    assert_eq!((asks(41), asks(40)), (507, 100));
}

#[test]
fn a_deleted_segment_gives_way_to_the_other_pipeline() {
    let (server, _file) = server("honor_delete = true");
    let event = Event::new(&server, "game", json!({"retry_deadline_ms": 1000}));
    let number = NEXT - 2;
    event.put("a", number, "of a").expect(201);
    event.put("b", number, "of b").expect(201);
    assert_eq!(event.get(number).expect(200).text(), "of a");
    for _ in 0..2 {
        delete(event.candidate("a", number)).expect(204);
    }
    assert_eq!(event.get(number).expect(200).text(), "of b");
    get(format!("{}/@a/v/{number}.m4s", event.deliver)).expect(404);
    delete(event.candidate("b", number)).expect(204);
    event.get(number).expect_row(410, "max-age=10", "missing");
    let server = server.kill_and_restart();
    let at = |base: &str, path: &str| format!("{base}/live/game/{path}");
    get(at(&server.deliver, &format!("v/{number}.m4s"))).expect_row(410, "max-age=10", "missing");
    // Whoever deletes takes the bytes back: others may come, and are final.
    put(at(&server.publish, &format!("@a/v/{number}.m4s")), "other").expect(201);
    put(at(&server.publish, &format!("@a/v/{number}.m4s")), "again other").expect(409);
    assert_eq!(get(at(&server.deliver, &format!("v/{number}.m4s"))).expect(200).text(), "other");
}

#[test]
fn a_deletion_changes_no_choice_but_its_own() {
    let (server, _file) = server("honor_delete = true");
    let event = Event::new(&server, "game", json!({"prefer_wait_ms": 3000}));
    // Pipeline a is healthy for the second segment by its first one, and is waited for.
    event.put("a", NEXT - 2, "first of a").expect(201);
    event.put("b", NEXT - 1, "second of b").expect(201);
    event.put("a", NEXT - 1, "second of a").expect(201);
    assert_eq!(event.get(NEXT - 1).expect(200).text(), "second of a");
    event.put("b", NEXT - 2, "first of b").expect(201);
    delete(event.candidate("a", NEXT - 2)).expect(204);
    assert_eq!(event.get(NEXT - 1).expect(200).text(), "second of a");
}

#[test]
fn without_the_option_segments_stay() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    delete(event.candidate("a", NEXT)).expect(204);
    assert_eq!(event.get(NEXT).expect(200).text(), "media");
}

#[test]
fn cmcd_is_counted_and_changes_nothing() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    let plain = event.get(NEXT).expect(200);
    let told = http::request("GET", event.segment(NEXT)).header("CMCD-Request", "bl=%%,,=\"").send().expect(200);
    let asked = get(format!("{}?CMCD=br%3D3200%2Cbs", event.segment(NEXT))).expect(200);
    for other in [&told, &asked] {
        assert_eq!((other.lasting_headers(), &other.body), (plain.lasting_headers(), &plain.body));
    }
    let metrics = get(format!("{}/metrics", server.ops)).expect(200).text();
    for (kind, count) in [("header", 1), ("query", 1), ("none", 1)] {
        let line = format!("headwater_cmcd_requests_total{{kind=\"{kind}\"}} {count}");
        assert!(metrics.lines().any(|other| other == line), "no {line} in:\n{metrics}");
    }
}

#[test]
fn one_event_cannot_use_up_what_the_others_need() {
    let (server, _file) = server("max_event_bytes = 1000\nmax_event_objects = 2");
    let (first, second) = (Event::new(&server, "one", json!({})), Event::new(&server, "two", json!({})));
    first.put("a", NEXT - 1, &"x".repeat(900)).expect(201);
    let words = ["max_event_bytes = 1000", "900 in use by event `one`", "dvr_window_s"];
    refused(&first.put("a", NEXT, &"x".repeat(101)), 507, "event-bytes", &words);
    refused(&first.put("a", NEXT, &"x".repeat(1001)), 413, "event-bytes", &["1001"]);
    first.put("a", NEXT, "small").expect(201);
    refused(&first.put("a", NEXT + 1, "x"), 507, "event-objects", &["max_event_objects = 2", "by event `one`"]);
    second.put("a", NEXT, &"x".repeat(1000)).expect(201);
    delete(format!("{}/v1/tenants/live/events/one", server.ops)).expect(204);
    let again = Event::new(&server, "one", json!({}));
    again.put("a", NEXT, &"x".repeat(1000)).expect(201);
}
