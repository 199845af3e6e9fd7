//! Request heads that are ambiguous, malformed or too large: a problem document with the right status, then the end.

use std::time::Duration;

use crate::support::{Event, Raw, Server};

/// A head as `text`, with whatever `status` answers it on both listeners.
struct Case {
    text: String,
    status: u16,
}

fn case(text: impl Into<String>, status: u16) -> Case {
    Case { text: text.into(), status }
}

/// The statuses of all answers in `text`.
fn statuses(text: &str) -> Vec<&str> {
    let starts = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]);
    starts.filter(|status| status.bytes().all(|digit| digit.is_ascii_digit())).collect()
}

fn cases() -> Vec<Case> {
    let with = |header: &str, status| case(format!("GET /live/game/x HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n"), status);
    let first = |line: &str, status| case(format!("{line}\r\nHost: h\r\n\r\n"), status);
    let long = "x".repeat(20_000);
    vec![
        with("Content-Length: 3\r\nTransfer-Encoding: chunked", 400),
        with("Content-Length: 3\r\nContent-Length: 4", 400),
        with("Content-Length: 3\r\nContent-Length: 3", 400),
        with("Content-Length: 3 3", 400),
        with("Transfer-Encoding: gzip, chunked", 501),
        with("Transfer-Encoding: chunked, identity", 400),
        with("Transfer-Encoding : chunked", 400),
        with("X: a\r\n b", 400),
        with("X: a\0b", 400),
        with("X: a\nY: b", 400),
        with("Host: other", 400),
        with("Expect: something", 417),
        with(&format!("X: {long}"), 431),
        with(&"X: y\r\n".repeat(100), 431),
        case("GET /live/game/x HTTP/1.1\r\n\r\n", 400),
        case("GET /live/game/x HTTP/1.1\nHost: h\n\n", 400),
        first("GET /live/game/\0 HTTP/1.1", 400),
        first("GET /live/game x HTTP/1.1", 400),
        first("GET live/game/x HTTP/1.1", 400),
        first("GET /live/game/x", 400),
        first("GET /live/game/x HTTP/3.0", 505),
        first(&format!("GET /{long} HTTP/1.1"), 414),
        first("CONNECT h:80 HTTP/1.1", 501),
        case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        case("\u{16}\u{3}\u{1}\u{2}", 400),
    ]
}

#[test]
fn what_is_ambiguous_is_refused_with_a_reason() {
    let server = Server::start();
    for address in [server.publish_address(), server.deliver_address()] {
        for Case { text, status } in cases() {
            let mut raw = Raw::send(address, &text);
            let (got, head) = raw.read_head();
            let shown = &text[..text.len().min(100)];
            assert_eq!(got, status, "{shown:?}: {head}");
            let head = head.to_ascii_lowercase();
            for line in
                ["content-type: application/problem+json\r\n", "cache-control: no-store\r\n", "connection: close\r\n"]
            {
                assert!(head.contains(line), "{shown:?}: {head}");
            }
            let body = String::from_utf8(raw.rest()).expect("text");
            let problem: serde_json::Value =
                serde_json::from_str(&body).unwrap_or_else(|_| panic!("{shown:?}: {body}"));
            assert_eq!(problem["status"], status, "{shown:?}");
        }
    }
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let server = Server::start();
    let mut raw = Raw::send(server.deliver_address(), "HEAD /live/game/x HTTP/1.1\r\n\r\n");
    let (status, head) = raw.read_head();
    assert_eq!(status, 400, "{head}");
    assert_eq!(raw.rest(), b"");
}

#[test]
fn requests_before_a_refused_one_are_answered_first() {
    let server = Server::start();
    crate::live_event(&server);
    let good = "GET /live/game/v/9.m4s HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut raw =
        Raw::send(server.deliver_address(), &format!("{good}{good}GET /live/game/v/9.m4s HTTP/1.1\r\n\r\n{good}"));
    let all = String::from_utf8(raw.rest()).expect("text");
    let statuses = statuses(&all);
    assert_eq!(statuses, ["200", "200", "400"], "{all}");
    assert!(all.contains("urn:headwater:problem:no-host"), "{all}");
}

#[test]
fn a_refused_head_waits_for_the_held_request_before_it() {
    let server = Server::start();
    let event = crate::live_event(&server);
    let held = "GET /live/game/v/10.m4s HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut raw = Raw::send(server.deliver_address(), &format!("{held}GET / HTTP/1.1\nHost: h\n\n"));
    assert!(raw.is_silent_for(Duration::from_millis(300)), "it is held");
    event.put("a", 10, "media").expect(201);
    let all = String::from_utf8(raw.rest()).expect("text");
    assert!(all.starts_with("HTTP/1.1 200") && all.contains("bare-line-end"), "{all}");
}

#[test]
fn an_upload_is_not_harmed_by_the_refused_head_after_it() {
    let server = Server::start();
    let event = crate::live_event(&server);
    let put =
        "PUT /live/game/v/10.m4s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nmedia\r\n0\r\n\r\n";
    let mut raw = Raw::send(server.publish_address(), &format!("{put}GET / HTTP/1.1\r\nX : y\r\n\r\n"));
    let all = String::from_utf8(raw.rest()).expect("text");
    assert!(all.starts_with("HTTP/1.1 201") && all.contains("space-before-colon"), "{all}");
    assert_eq!(event.get(10).expect(200).text(), "media");
}

#[test]
fn odd_but_clear_requests_are_served() {
    let server = Server::start();
    crate::live_event(&server);
    let path = "/live/game/v/9.m4s";
    for text in [
        format!("GET http://cdn.example{path} HTTP/1.1\r\nHost: other\r\n\r\n"),
        format!("\r\nGET {path} HTTP/1.1\r\nHost:\r\n\r\n"),
        format!("GET {path} HTTP/1.0\r\n\r\n"),
        format!("GET {path}?{} HTTP/1.1\r\nHost: h\r\n\r\n", "q".repeat(8000)),
        format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
    ] {
        let mut raw = Raw::connect(server.deliver_address());
        // In pieces, as a slow network would deliver it.
        for piece in text.as_bytes().chunks(text.len().div_ceil(20)) {
            raw.write(piece);
            std::thread::sleep(Duration::from_millis(1));
        }
        let (status, head) = raw.read_head();
        assert_eq!(status, 200, "{:?}: {head}", &text[..text.len().min(100)]);
    }
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let event = crate::live_event(&server);
    let mut raw = Raw::connect(server.deliver_address());
    let asked: String = (0..1000)
        .map(|index| format!("GET /live/game/v/{}.m4s HTTP/1.1\r\nHost: h\r\n\r\n", if index % 2 == 0 { 9 } else { 0 }))
        .collect();
    raw.write(asked.as_bytes());
    raw.write(b"GET /live/game/v/9.m4s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let all = String::from_utf8(raw.rest()).expect("text");
    let statuses = statuses(&all);
    assert_eq!(statuses.len(), 1001);
    let (even, odd) = (event.get(9).status.to_string(), event.get(0).status.to_string());
    assert!(statuses.iter().step_by(2).all(|status| **status == *even));
    assert!(statuses.iter().skip(1).step_by(2).all(|status| **status == *odd));
}

#[test]
fn trailers_are_read_and_forgotten() {
    let server = Server::start();
    let event = crate::live_event(&server);
    let head =
        "PUT /live/game/v/10.m4s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n";
    let mut raw =
        Raw::send(server.publish_address(), &format!("{head}5\r\nmedia\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n"));
    assert_eq!(raw.status(), 201);
    assert_eq!(event.get(10).expect(200).text(), "media");
    for bad in ["0\r\nX: y\n\r\n", "0\r\n\n", &format!("0\r\nX: {}\r\n\r\n", "y".repeat(20_000))] {
        let head = head.replace("10.m4s", "11.m4s");
        let mut raw = Raw::send(server.publish_address(), &format!("{head}5\r\nmedia\r\n{bad}"));
        assert_eq!(raw.status(), 400, "{:?}", &bad[..bad.len().min(40)]);
    }
}

#[test]
fn encoded_slashes_and_nul_name_nothing() {
    let server = Server::start();
    crate::live_event(&server);
    for path in ["/live/game/a%2Fb", "/live/game/a%2fb", "/live/game/%00", "/live/game/%0a", "/live/..%2fgame/x"] {
        for (method, address) in [("GET", server.deliver_address()), ("PUT", server.publish_address())] {
            let text = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(Raw::send(address, &text).status(), 400, "{method} {path}");
        }
    }
}

#[test]
fn a_client_that_goes_on_sending_hears_why_it_is_refused() {
    let server = Server::start();
    let _: Event = crate::live_event(&server);
    let head = format!("PUT /live/game/v/10.m4s HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", 65 << 20);
    let mut raw = Raw::send(server.publish_address(), &head);
    raw.write(&vec![0; 8 << 20]);
    let (status, head) = raw.read_head();
    assert_eq!(status, 413, "{head}");
}
