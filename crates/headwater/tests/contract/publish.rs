//! Contract §4: what a PUT is answered.

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::http::request;
use crate::support::{Event, Raw, Server, delete, get, post, put};

#[test]
fn the_answer_names_the_segment_the_pipeline_and_the_bytes() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let reply = event.put_defective("b", NEXT, "media", "short;have=48;want=50, discontinuity;offset=3003").expect(201);
    assert_eq!(reply.header("headwater-segment"), "10");
    assert_eq!(reply.header("headwater-pipeline"), "b");
    assert_eq!(reply.header("headwater-defects"), "short;have=48;want=50, discontinuity;offset=3003");
    let etag = reply.header("etag");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "a strong ETag: {etag}");
    assert_eq!(get(format!("{}/@b/v/10.m4s", event.deliver)).expect(200).header("etag"), etag);
}

#[test]
fn put_and_post_mean_the_same() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let posted = post(event.candidate("a", NEXT), "media").expect(201);
    let put = event.put("a", NEXT, "media").expect(200);
    assert_eq!(posted.header("etag"), put.header("etag"));
}

#[test]
fn any_content_type_is_taken_and_the_extension_decides_what_is_served() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let upload = event.upload("a", NEXT, "media").header("content-type", "application/octet-stream");
    upload.send().expect(201);
    assert_eq!(event.get(NEXT).expect(200).header("content-type"), "video/iso.segment");
    for (path, kind) in [("live.mpd", "application/dash+xml"), ("live.m3u8", "application/vnd.apple.mpegurl")] {
        put(format!("{}/{path}", event.publish), "manifest").expect(201);
        let served = get(format!("{}/{path}", event.deliver)).expect(200).header("content-type");
        assert!(served.starts_with(kind), "{served}");
    }
}

#[test]
fn a_rendition_that_no_document_lists_is_created_by_its_first_segment() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    get(format!("{}/w/10.m4s", event.deliver)).expect_row(404, "max-age=5", "unknown");
    put(format!("{}/w/10.m4s", event.publish), "media before its init segment").expect(201);
    get(format!("{}/w/10.m4s", event.deliver)).expect(200);
}

#[test]
fn too_early_a_segment_tells_that_a_clock_is_wrong() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"publish_ahead_max_s": 60}));
    event.put("a", NEXT + 3, "media").expect(201);
    event.get(NEXT + 3).expect_row(200, "public, max-age=31536000, immutable", "hit");
    // E(n) - d of the 17th segment is 65 s away, of the 26th 155 s.
    event.put("a", NEXT + 7, "media").expect_problem(422, "clock");
    let reply = event.put("a", NEXT + 16, "media").expect_problem(422, "clock");
    let told = reply.text();
    assert!(
        ["95", "94", "93", "155", "154", "153"].iter().any(|seconds| told.contains(seconds)),
        "by how much: {told}"
    );
    event.get(NEXT + 7).expect(404);
}

#[test]
fn a_late_segment_replaces_the_410() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.get(4).expect_row(410, "max-age=10", "missing");
    let late = event.put("a", 4, "media").expect(201);
    assert_eq!(late.header("headwater-late"), "?1");
    event.put("b", 4, "media").expect(201);
    event.get(4).expect_row(200, "public, max-age=31536000, immutable", "hit");
    assert!(!event.put("a", NEXT, "media").expect(201).has("headwater-late"));
}

#[test]
fn what_is_older_than_the_window_is_410() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"dvr_window_s": 30}));
    event.put("a", 2, "media").expect_problem(410, "");
    event.get(2).expect_row(410, "max-age=3600", "expired");
}

#[test]
fn numbers_outside_of_the_event_are_422() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"start_number": 3, "end_number": 12}));
    event.put("a", 2, "media").expect_problem(422, "start_number");
    event.put("a", 13, "media").expect_problem(422, "end_number");
    event.put("a", 12, "media").expect(201);
}

#[test]
fn a_part_of_an_object_is_400() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event
        .upload("a", NEXT, "media")
        .header("content-range", "bytes 0-4/10")
        .send()
        .expect_problem(400, "Content-Range");
    event.put("a", NEXT, "other").expect(201);
}

/// SHA-256 of `media`, as RFC 9530 writes it.
const DIGEST_OF_MEDIA: &str = "sha-256=:chyVJa3i6okD00PvJc9oub9KsKrVa7ewH75I0JvH/PQ=:";

#[test]
fn digests_are_checked() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    for name in ["content-digest", "repr-digest"] {
        event.upload("a", NEXT, "other").header(name, DIGEST_OF_MEDIA).send().expect_problem(400, name);
    }
    assert_ne!(get(format!("{}/@a/v/10.m4s", event.deliver)).status, 200, "nothing is stored");
    event.upload("a", NEXT, "media").header("content-digest", DIGEST_OF_MEDIA).send().expect(201);
    event.upload("b", NEXT, "media").header("repr-digest", DIGEST_OF_MEDIA).send().expect(201);
    let unknown = "md5=:lLRkgAFTOvFeYaIJLSgzBA==:";
    event.upload("a", NEXT + 1, "media").header("content-digest", unknown).send().expect(201);
}

#[test]
fn create_only_is_412_for_what_exists() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let create = |body: &str| event.upload("a", NEXT, body).header("if-none-match", "*").send();
    create("media").expect(201);
    create("media").expect_problem(412, "");
    create("other").expect_problem(412, "");
    let manifest = || request("PUT", format!("{}/live.mpd", event.publish)).header("if-none-match", "*").body("x");
    manifest().send().expect(201);
    manifest().send().expect_problem(412, "");
}

#[test]
fn an_empty_body_on_the_base_path_tests_the_publishing_point() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    put(&event.publish, "").expect(200);
    post(&event.publish, "").expect(200);
}

#[test]
fn delete_is_always_204() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let manifest = format!("{}/live.mpd", event.publish);
    put(&manifest, "manifest").expect(201);
    event.put("a", NEXT, "media").expect(201);
    for url in [&manifest, &event.candidate("a", NEXT), &format!("{}/never.mpd", event.publish)] {
        delete(url).expect(204);
        delete(url).expect(204);
    }
    get(format!("{}/live.mpd", event.deliver)).expect_row(404, "max-age=1", "absent");
    assert_eq!(event.get(NEXT).expect(200).text(), "media", "for segments the DVR window decides");
}

#[test]
fn a_delete_with_an_empty_chunked_body_is_a_delete() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    put(format!("{}/live.mpd", event.publish), "manifest").expect(201);
    let text = "DELETE /live/game/live.mpd HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(Raw::send(server.publish_address(), text).status(), 204);
    get(format!("{}/live.mpd", event.deliver)).expect(404);
}

#[test]
fn a_body_over_the_limit_is_413_before_it_is_sent() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let length = 64 * 1024 * 1024 + 1;
    let text = format!("PUT /live/game/v/10.m4s HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(Raw::send(server.publish_address(), &text).status(), 413);
    event.put("a", NEXT, "media").expect(201);
}

#[test]
fn what_we_find_ourselves_is_marked_or_refused() {
    let server = Server::start();
    let marking = Event::new(&server, "marking", json!({"inspect": "mark"}));
    let reply = marking.put("a", NEXT, "these are no boxes at all").expect(201);
    assert!(reply.header("headwater-defects").contains("malformed"), "{reply:?}");
    let refusing = Event::new(&server, "refusing", json!({"inspect": "reject"}));
    refusing.put("a", NEXT, "these are no boxes at all").expect_problem(422, "malformed");
    refusing.put_defective("a", NEXT, "these are no boxes at all", "short").expect_problem(422, "short");
    assert_ne!(get(format!("{}/@a/v/10.m4s", refusing.deliver)).status, 200, "nothing is stored");
    let trusting = Event::new(&server, "trusting", json!({"inspect": "off"}));
    assert!(!trusting.put("a", NEXT, "these are no boxes at all").expect(201).has("headwater-defects"));
}
