//! Contract §5: the decision table's rows, and the HTTP of an answer.

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::http::request;
use crate::support::{Event, Server, get, head, now_ms, post, put};

const FOR_EVER: &str = "public, max-age=31536000, immutable";

#[test]
fn what_nobody_knows_is_404_for_five_seconds() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    for url in [
        format!("{}/nobody/game/v/10.m4s", server.deliver),
        format!("{}/live/match/v/10.m4s", server.deliver),
        format!("{}/live/match/live.mpd", server.deliver),
        format!("{}/w/10.m4s", event.deliver),
    ] {
        get(url).expect_row(404, "max-age=5", "unknown");
    }
}

#[test]
fn numbers_outside_of_the_event_never_come() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"start_number": 2, "end_number": 4}));
    event.get(1).expect_row(410, "max-age=3600", "never");
    event.get(5).expect_row(410, "max-age=3600", "never");
}

#[test]
fn after_the_end_nobody_caches_past_the_segment_of_an_overtime() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"end_number": 8}));
    let number = NEXT + 3;
    let before = now_ms();
    let reply = event.get(number).expect(410);
    let bound = event.expected_ms(number) - before - 50;
    let age = i64::try_from(reply.max_age()).unwrap();
    assert_eq!(reply.outcome(), "never");
    assert!(age * 1000 <= bound && age * 1000 > bound - 4_000, "{age} s of {bound} ms");
}

#[test]
fn what_is_too_early_may_be_cached_until_just_before_it_comes() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"early_guard_ms": 250}));
    for number in [NEXT + 1, NEXT + 4, NEXT + 1000] {
        let (before, reply, after) = (now_ms(), event.get(number).expect(404), now_ms());
        assert_eq!(reply.outcome(), "too-early");
        let due = event.expected_ms(number) - 250;
        let (least, most) = (due - after - 1, due - before);
        let told = i64::try_from(reply.max_age_ms()).unwrap();
        assert!((least..=most).contains(&told), "{least} <= {told} <= {most}");
        assert_eq!(reply.max_age(), reply.max_age_ms() / 1000, "whole seconds, rounded down");
    }
}

#[test]
fn a_guard_longer_than_the_wait_gives_no_negative_ttl() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"early_guard_ms": 60_000}));
    let reply = event.get(NEXT + 1).expect_row(404, "max-age=0", "too-early");
    assert_eq!(reply.max_age_ms(), 0);
}

#[test]
fn a_publish_delay_moves_what_is_expected() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"publish_delay_ms": 20_000}));
    // Without the delay segment 9 is missing and 10 is next.
    event.get(9).expect(404);
    let (before, reply) = (now_ms(), event.get(NEXT).expect(404));
    assert_eq!(reply.outcome(), "too-early");
    let most = event.expected_ms(NEXT) + 20_000 - 50 - before;
    assert!(i64::try_from(reply.max_age_ms()).unwrap() <= most);
    assert!(i64::try_from(reply.max_age_ms()).unwrap() > most - 5_000);
}

#[test]
fn what_did_not_come_in_time_is_missing() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"retry_deadline_ms": 1_000}));
    event.get(NEXT - 1).expect_row(410, "max-age=10", "missing");
    event.get(0).expect_row(410, "max-age=10", "missing");
}

#[test]
fn ttls_of_a_segment_are_whole_seconds_and_at_least_one() {
    let server = Server::start();
    for (name, duration, loose, segment) in [("half", (1, 2), 1, 1), ("more", (5, 2), 1, 2), ("most", (59, 10), 2, 5)] {
        let event = Event::with_duration(&server, name, duration, json!({"pipelines": ["a"]}));
        event.get(0).expect_row(410, &format!("max-age={segment}"), "missing");
        put(format!("{}/live.mpd", event.publish), "x").expect(201);
        let url = format!("{}/live.mpd", event.deliver);
        get(url).expect_row(200, &format!("public, max-age={loose}"), "hit");
        event.put_defective("a", 5, "media", "short").expect(201);
        event.get(5).expect_row(200, &format!("public, max-age={segment}"), "defective");
    }
}

#[test]
fn a_valid_segment_is_served_for_ever_with_everything_said_about_it() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    let reply = event.get(NEXT).expect_row(200, FOR_EVER, "hit");
    assert_eq!(reply.text(), "media");
    assert_eq!(reply.header("content-length"), "5");
    assert_eq!(reply.header("accept-ranges"), "bytes");
    assert_eq!(reply.header("headwater-segment"), "10");
    assert_eq!(reply.header("headwater-pipeline"), "a");
    assert_eq!(reply.header("timing-allow-origin"), "*");
    assert!(reply.header("cache-status").starts_with("headwater; hit"), "{reply:?}");
    assert!(reply.header("cmsd-static").contains("st=l"), "{reply:?}");
    assert!(reply.header("cmsd-static").contains("d=10000"), "{reply:?}");
    for name in ["last-modified", "headwater-region", "headwater-cache-version", "cmsd-dynamic", "server-timing"] {
        assert!(reply.has(name), "no {name} in {reply:?}");
    }
    assert!(!reply.has("set-cookie") && !reply.has("headwater-defects"));
}

#[test]
fn head_tells_what_get_tells() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    put(format!("{}/live.mpd", event.publish), "manifest").expect(201);
    let urls = [event.segment(NEXT), event.segment(2), format!("{}/live.mpd", event.deliver), event.segment(NEXT + 1)];
    for url in urls {
        let (got, told) = (get(&url), head(&url));
        assert_eq!(got.status, told.status, "{url}");
        assert!(told.body.is_empty());
        let but_time = |reply: &crate::support::Reply| {
            let mut headers = reply.lasting_headers();
            headers.retain(|(name, _)| !["cmsd-static", "headwater-max-age-ms", "cache-control"].contains(&&**name));
            headers
        };
        assert_eq!(but_time(&got), but_time(&told), "{url}");
    }
}

#[test]
fn ranges_are_cut_from_the_segment() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "0123456789").expect(201);
    let etag = event.get(NEXT).expect(200).header("etag");
    let ask = |range: &str| request("GET", event.segment(NEXT)).header("range", range);
    for (range, body, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=5-500", "56789", "bytes 5-9/10"),
        ("bytes=-500", "0123456789", "bytes 0-9/10"),
    ] {
        let reply = ask(range).send().expect_row(206, FOR_EVER, "hit");
        assert_eq!((reply.text().as_str(), reply.header("content-range").as_str()), (body, content_range));
        assert_eq!(reply.header("etag"), etag);
    }
    let refused = ask("bytes=10-").send().expect(416);
    assert_eq!(refused.header("content-range"), "bytes */10");
    for range in ["bytes=0-1,4-5", "lines=1-2", "bytes=4-2", "bytes=x"] {
        assert_eq!(ask(range).send().expect(200).text(), "0123456789", "{range}");
    }
    assert_eq!(ask("bytes=2-4").header("if-range", &etag).send().expect(206).text(), "234");
    assert_eq!(ask("bytes=2-4").header("if-range", "\"other\"").send().expect(200).text(), "0123456789");
}

#[test]
fn conditions_are_answered_without_the_body() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    let whole = event.get(NEXT).expect(200);
    let (etag, modified) = (whole.header("etag"), whole.header("last-modified"));
    let ask = || request("GET", event.segment(NEXT));
    let unchanged = ask().header("if-none-match", &etag).send().expect_row(304, FOR_EVER, "hit");
    assert_eq!(unchanged.header("etag"), etag);
    assert!(unchanged.body.is_empty());
    ask().header("if-none-match", format!("\"x\", W/{etag}")).send().expect(304);
    ask().header("if-none-match", "*").send().expect(304);
    ask().header("if-none-match", "\"x\"").send().expect(200);
    ask().header("if-modified-since", &modified).send().expect(304);
    ask().header("if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT").send().expect(200);
    let both = ask().header("if-none-match", "\"x\"").header("if-modified-since", &modified);
    both.send().expect(200);
}

#[test]
fn query_strings_change_nothing() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    let plain = event.get(NEXT).expect(200);
    let asked = get(format!("{}?CMCD=br%3D3200&x=../..", event.segment(NEXT))).expect_row(200, FOR_EVER, "hit");
    assert_eq!((plain.text(), plain.header("etag")), (asked.text(), asked.header("etag")));
}

#[test]
fn a_browser_may_ask_from_any_page() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    for reply in [event.get(NEXT).expect(200), event.get(2).expect(410)] {
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        let exposed = reply.header("access-control-expose-headers").to_ascii_lowercase();
        for name in ["headwater-outcome", "headwater-defects", "headwater-pipeline", "cmsd-static"] {
            assert!(exposed.contains(name), "{name} is not exposed: {exposed}");
        }
    }
    let preflight = request("OPTIONS", event.segment(NEXT))
        .header("origin", "https://player.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "range,cmcd-session");
    let reply = preflight.send();
    assert!(matches!(reply.status, 200 | 204), "{}", reply.status);
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("access-control-max-age"), "86400");
    let allowed = reply.header("access-control-allow-headers").to_ascii_lowercase();
    for name in ["range", "if-none-match", "cmcd-request", "cmcd-object", "cmcd-session", "cmcd-status"] {
        assert!(allowed.contains(name), "{name} is not allowed: {allowed}");
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert!(reply.header("access-control-allow-methods").contains(method));
    }
}

#[test]
fn the_deliver_listener_takes_no_uploads() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    for reply in [put(event.segment(NEXT), "media"), post(event.segment(NEXT), "media")] {
        assert_eq!(reply.status, 405, "{}", reply.text());
    }
    assert_ne!(event.get(2).status, 200);
}
