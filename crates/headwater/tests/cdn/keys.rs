//! What is one object to a cache, and for how long it is kept.

use std::time::Duration;

use serde_json::json;

use crate::shield::{KINDS, Shield, is_hit};
use crate::support::event::NEXT;
use crate::support::http::request;
use crate::support::{self, Event, PATIENCE, Raw, get, let_pass, post, put};
use crate::{metric, origin};

#[test]
fn queries_make_no_second_copy_and_ranges_are_served_from_the_whole() {
    let server = origin();
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        let event = Event::new(&server, &format!("{kind:?}.query").to_lowercase(), json!({}));
        let number = support::event::NEXT;
        event.put("a", number, "0123456789").expect(201);
        put(format!("{}/v/init.mp4", event.publish), "init").expect(201);
        let url = shield.segment(&event, number);
        get(format!("{url}?CMCD=bl%3D1")).expect(200);
        let second = get(format!("{url}?CMCD=bl%3D2")).expect(200);
        assert!(is_hit(&second), "{kind:?}");
        assert!(is_hit(&get(format!("{url}?anything")).expect(200)), "{kind:?}");
        let head = request("HEAD", &url).send().expect(200);
        assert_eq!((head.header("content-length").as_str(), is_hit(&head)), ("10", true), "{kind:?}");
        let range = request("GET", &url).header("range", "bytes=2-4").send().expect(206);
        assert_eq!((range.text().as_str(), is_hit(&range)), ("234", true), "{kind:?}");
        let json = format!("{}/live/{}/event.json", shield.url, event.name);
        let revision = get(&json).expect(200).json()["rev"].as_u64().expect("a revision");
        // Held until something changes, and never cached.
        let waiting = std::thread::spawn(move || get(format!("{json}?since={revision}")));
        let_pass(Duration::from_millis(200));
        post(format!("{}/flush", event.document), "").expect(200);
        let told = waiting.join().expect("an answer").expect(200);
        assert!(told.took < PATIENCE && told.json()["rev"].as_u64() > Some(revision), "{kind:?}");
    }
}

/// Asks for a path as it stands, without tidying it up as clients do.
fn status_of(shield: &Shield, path: &str) -> u16 {
    Raw::send(shield.address(), &format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).status()
}

#[test]
fn a_path_that_the_origin_refuses_spoils_no_other() {
    let server = origin();
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        let event = Event::new(&server, &format!("{kind:?}.paths").to_lowercase(), json!({}));
        let (name, number) = (&event.name, NEXT);
        for path in [
            format!("/live//{name}/v/{number}.m4s"),
            format!("/live/{name}/x/../v/{number}.m4s"),
            format!("/live/{name}/v/x%2f..%2f{number}.m4s"),
            format!("/live/{name}/./v/{number}.m4s"),
            format!("/live/{name}/v/{number}.m4s/"),
        ] {
            assert_eq!(status_of(&shield, &path), 400, "{kind:?}: {path}");
        }
        event.put("a", number, "sound").expect(201);
        assert_eq!(get(shield.segment(&event, number)).expect(200).text(), "sound", "{kind:?}");
    }
}

#[test]
fn errors_are_kept_as_the_table_says() {
    let server = origin();
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        let event = Event::new(&server, &format!("{kind:?}.rows").to_lowercase(), json!({"end_number": NEXT + 100}));
        event.put("a", NEXT, "a segment").expect(201);
        let name = &event.name;
        for (path, status, is_kept) in [
            (format!("live/{name}/v/{}.m4s/x%2fy", NEXT), 400, true),
            (format!("live/none-{name}/v/1.m4s"), 404, true),
            (format!("live/{name}/v/{}.m4s", NEXT + 5), 404, true),
            (format!("live/{name}/v/{}.m4s", NEXT - 5), 410, true),
            (format!("live/{name}/v/{}.m4s", NEXT + 10_000), 410, true),
            (format!("live/{name}/v/{NEXT}.m4s"), 200, true),
            (format!("live/{name}/@a/v/{NEXT}.m4s"), 200, false),
            (format!("live/{name}/event.json"), 200, false),
        ] {
            let (url, answers) = (format!("{}/{path}", shield.url), "headwater_responses_total{listener=\"deliver\"");
            let before = metric(&server, answers);
            for _ in 0..3 {
                get(&url).expect(status);
            }
            let asked = metric(&server, answers) - before;
            assert_eq!(asked, if is_kept { 1.0 } else { 3.0 }, "{kind:?}: {path}: requests at the origin of 3");
        }
    }
}
