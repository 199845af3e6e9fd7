//! Contract §4: what our own inspection finds in real media.

use headwater_media::content::fault;
use serde_json::json;

use crate::support::event::NEXT;
use crate::support::media::{event, put, put_init, rendition, segment};
use crate::support::{Server, get};

#[test]
fn sound_media_has_no_defects() {
    let server = Server::start();
    let event = event(&server, "game", json!({}));
    for id in ["v360", "v180", "audio"] {
        let rendition = rendition(id);
        put_init(&event, "a", &rendition).expect(201);
        for number in NEXT - 2..=NEXT {
            let whole = put(&event, "a", &rendition, number, segment(&rendition, number)).expect(201);
            assert_eq!(whole.header("headwater-defects"), "", "{id} {number}");
            let chunked = fault::chunked(&segment(&rendition, number), 10);
            let chunked = put(&event, "b", &rendition, number, chunked).expect(201);
            assert_eq!(chunked.header("headwater-defects"), "", "{id} {number} in chunks");
        }
        let served = get(format!("{}/{id}/{NEXT}.m4s", event.deliver)).expect(200);
        assert!(served.body == segment(&rendition, NEXT), "other bytes");
    }
}

#[test]
fn each_fault_of_a_packager_is_found_and_told() {
    let server = Server::start();
    let event = event(&server, "game", json!({"pipelines": ["a"]}));
    let video = rendition("v360");
    put_init(&event, "a", &video).expect(201);
    let sound = |number| segment(&video, number);
    let cases = [
        ("short", fault::short(&sound(3))),
        ("discontinuity", fault::shifted(&sound(4), 3_003)),
        ("incomplete", fault::truncated(&sound(5))),
        ("malformed", fault::garbled(&sound(6))),
        ("filler", fault::filler(&sound(7))),
        ("no-sync", fault::no_sync(&sound(8))),
        ("disorder", fault::disorder(&sound(9))),
    ];
    for (number, (kind, body)) in (3..).zip(cases) {
        let told = put(&event, "a", &video, number, body).expect(201).header("headwater-defects");
        let served =
            get(format!("{}/v360/{number}.m4s", event.deliver)).expect_row(200, "public, max-age=1", "defective");
        assert_eq!(served.header("headwater-defects"), told);
        let kinds: Vec<_> = told.split(", ").filter_map(|defect| defect.split(';').next()).collect();
        assert_eq!(kinds, [kind], "{told}");
        put(&event, "a", &video, number, sound(number)).expect(201);
        get(format!("{}/v360/{number}.m4s", event.deliver)).expect_row(200, IMMUTABLE, "hit");
    }
}

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

#[test]
fn what_the_packager_reports_and_what_we_find_are_told_together() {
    let server = Server::start();
    let event = event(&server, "game", json!({}));
    let video = rendition("v180");
    put_init(&event, "a", &video).expect(201);
    let url = format!("{}/@a/v180/{NEXT}.m4s", event.publish);
    let upload = crate::support::http::request("PUT", url).header("headwater-defects", "filler");
    let told =
        upload.body(fault::shifted(&segment(&video, NEXT), -9_000)).send().expect(201).header("headwater-defects");
    assert!(told.contains("filler") && told.contains("discontinuity"), "{told}");
}

#[test]
fn a_segment_under_a_wrong_number_is_discontinuous() {
    let server = Server::start();
    let event = event(&server, "game", json!({}));
    let video = rendition("v360");
    put_init(&event, "a", &video).expect(201);
    let told = put(&event, "a", &video, NEXT, segment(&video, NEXT - 1)).expect(201).header("headwater-defects");
    assert!(told.starts_with("discontinuity"), "{told}");
}

#[test]
fn what_is_refused_is_not_stored() {
    let server = Server::start();
    let event = event(&server, "game", json!({"inspect": "reject"}));
    let video = rendition("v360");
    put_init(&event, "a", &video).expect(201);
    let short = fault::short(&segment(&video, NEXT));
    put(&event, "a", &video, NEXT, short).expect_problem(422, "short");
    put(&event, "a", &video, NEXT, segment(&video, NEXT)).expect(201);
}
