//! Contract §2: names, URLs, pipelines, loose objects and init segments.

use std::time::Duration;

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::http::request;
use crate::support::{Event, Raw, Server, get, let_pass, put};

#[test]
fn the_same_url_is_put_and_got() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    put(format!("{}/v/10.m4s", event.publish), "media").expect(201);
    let reply = event.get(10).expect(200);
    assert_eq!(reply.text(), "media");
    assert_eq!(reply.header("headwater-pipeline"), "a", "with no pipeline named it is the event's first");
}

#[test]
fn a_publisher_names_its_pipeline_in_the_path_or_in_a_header() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let by_path = event.put("b", 10, "media").expect(201);
    assert_eq!(by_path.header("headwater-pipeline"), "b");
    let by_header = request("PUT", format!("{}/v/10.m4s", event.publish)).header("headwater-pipeline", "b");
    by_header.body("media").send().expect(200);
    let by_both = event.upload("b", 10, "media").header("headwater-pipeline", "b");
    by_both.send().expect(200);
}

#[test]
fn pipelines_that_disagree_or_are_not_listed_are_refused() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.upload("b", 10, "media").header("headwater-pipeline", "a").send().expect_problem(403, "");
    event.put("c", 10, "media").expect_problem(403, "c");
    let by_header = request("PUT", format!("{}/v/10.m4s", event.publish)).header("headwater-pipeline", "c");
    by_header.body("media").send().expect_problem(403, "c");
}

#[test]
fn the_deliver_listener_shows_one_pipelines_own_candidate() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", 10, "of a").expect(201);
    event.put("b", 10, "of b").expect(201);
    assert_eq!(event.get(10).expect(200).text(), "of a");
    let own = get(format!("{}/@b/v/10.m4s", event.deliver)).expect(200);
    assert_eq!((own.text().as_str(), own.header("cache-control").as_str()), ("of b", "no-store"));
}

#[test]
fn paths_that_mean_nothing_are_400() {
    let server = Server::start();
    Event::new(&server, "game", json!({}));
    let long = format!("/live/game/{}", "x".repeat(1100));
    let paths =
        ["/live/game/../x", "/live/game/a//b", "/live//x", "/live/game/a%2Fb", "/live/game/a%00b", "/-x/game/y"];
    for path in paths.into_iter().chain([long.as_str()]) {
        let put = format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(Raw::send(server.publish_address(), &put).status(), 400, "PUT {path}");
        let get = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let (status, head) = Raw::send(server.deliver_address(), &get).read_head();
        let head = head.to_ascii_lowercase();
        assert_eq!(status, 400, "GET {path}");
        assert!(head.contains("cache-control: max-age=60\r\n"), "{head}");
        assert!(head.contains("headwater-outcome: bad-request\r\n"), "{head}");
    }
}

#[test]
fn only_the_canonical_spelling_of_a_number_fits_a_template() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let loose = put(format!("{}/v/0010.m4s", event.publish), "no segment").expect(201);
    assert!(!loose.has("headwater-segment"));
    put(format!("{}/v/0010.m4s", event.publish), "again").expect(201);
    let reply = get(format!("{}/v/0010.m4s", event.deliver)).expect_row(200, "public, max-age=5", "hit");
    assert_eq!(reply.text(), "again");
}

#[test]
fn a_padded_template_takes_padded_numbers() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"media": "$RepresentationID$/$Number%05d$.m4s"}));
    let reply = put(format!("{}/v/00010.m4s", event.publish), "media").expect(201);
    assert_eq!(reply.header("headwater-segment"), "10");
    get(format!("{}/v/00010.m4s", event.deliver)).expect(200);
    assert!(!put(format!("{}/v/11.m4s", event.publish), "media").expect(201).has("headwater-segment"));
}

#[test]
fn event_json_is_reserved() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    put(format!("{}/event.json", event.publish), "{}").expect_problem(400, "event.json");
}

#[test]
fn what_nobody_has_published_is_absent() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    get(format!("{}/manifest.mpd", event.deliver)).expect_row(404, "max-age=1", "absent");
    get(format!("{}/v/init.mp4", event.deliver)).expect_row(404, "max-age=1", "absent");
}

#[test]
fn manifests_and_init_segments_come_from_the_first_healthy_pipeline() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    for (pipeline, path) in [("a", "live.mpd"), ("b", "live.mpd"), ("a", "v/init.mp4"), ("b", "v/init.mp4")] {
        put(format!("{}/@{pipeline}/{path}", event.publish), format!("{path} of {pipeline}")).expect(201);
    }
    let check = |pipeline: &str| {
        let manifest = get(format!("{}/live.mpd", event.deliver)).expect_row(200, "public, max-age=5", "hit");
        let init = get(format!("{}/v/init.mp4", event.deliver)).expect_row(200, "public, max-age=10", "hit");
        assert_eq!(manifest.text(), format!("live.mpd of {pipeline}"));
        assert_eq!(init.text(), format!("v/init.mp4 of {pipeline}"));
    };
    check("a");
    event.put("b", NEXT, "media").expect(201);
    check("b");
    event.put("a", NEXT, "media").expect(201);
    check("a");
}

#[test]
fn a_pipeline_that_falls_silent_loses_its_manifest_to_a_healthy_one() {
    let server = Server::start();
    let event = Event::with_duration(&server, "game", (1, 1), json!({}));
    for pipeline in ["a", "b"] {
        put(format!("{}/@{pipeline}/live.mpd", event.publish), format!("of {pipeline}")).expect(201);
    }
    event.put("a", NEXT, "media").expect(201);
    let_pass(Duration::from_millis(3_300));
    event.put("b", NEXT + 3, "media").expect(201);
    let manifest = get(format!("{}/live.mpd", event.deliver)).expect_row(200, "public, max-age=1", "hit");
    assert_eq!(manifest.text(), "of b");
}

#[test]
fn without_a_healthy_publisher_the_first_that_has_a_manifest_is_taken() {
    let server = Server::start();
    let event = Event::with_duration(&server, "game", (1, 2), json!({}));
    put(format!("{}/@b/live.mpd", event.publish), "of b").expect(201);
    event.put("a", NEXT, "media").expect(201);
    assert_eq!(get(format!("{}/live.mpd", event.deliver)).expect(200).text(), "of b", "a is healthy but has none");
    let_pass(Duration::from_millis(1_700));
    put(format!("{}/@a/live.mpd", event.publish), "of a").expect(201);
    assert_eq!(get(format!("{}/live.mpd", event.deliver)).expect(200).text(), "of a");
}
