//! Contract §4 and §1: bodies as they come over the wire, whole, cut short, slow and malformed.

use std::time::Duration;

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::{Event, Raw, Server, get};

const PATH: &str = "/live/game/v/10.m4s";

/// An event whose segment 10 is [`PATH`].
fn event(server: &Server) -> Event {
    Event::new(server, "game", json!({}))
}

/// Nothing of a failed upload is there, and the next one is taken as the first.
#[track_caller]
fn check_nothing_is_stored(event: &Event) {
    assert_ne!(get(format!("{}/@a/v/10.m4s", event.deliver)).status, 200);
    event.put("a", NEXT, "the whole").expect(201);
    assert_eq!(event.get(NEXT).expect(200).text(), "the whole");
}

#[test]
fn a_chunked_body_is_stored_without_its_chunks() {
    let server = Server::start();
    let event = event(&server);
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nIcy-MetaData: 1\r\n\r\n");
    let mut raw = Raw::send(server.publish_address(), &head);
    for chunk in ["5\r\nfirst\r\n", "8;x=y\r\n, second\r\n", "0\r\n\r\n"] {
        raw.write(chunk.as_bytes());
    }
    assert_eq!(raw.status(), 201);
    assert_eq!(event.get(NEXT).expect(200).text(), "first, second");
}

#[test]
fn one_connection_carries_many_uploads() {
    let server = Server::start();
    let event = event(&server);
    let mut raw = Raw::connect(server.publish_address());
    for number in 5..9 {
        let head = format!("PUT /live/game/v/{number}.m4s HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nmedia");
        raw.write(head.as_bytes());
        let (status, head) = raw.read_head();
        assert_eq!(status, 201, "{head}");
        assert!(head.to_ascii_lowercase().contains("content-length: 0\r\n"), "the test reads no body: {head}");
    }
    event.get(8).expect(200);
}

#[test]
fn a_refusal_comes_after_the_body() {
    let server = Server::start();
    event(&server);
    let refused = [("/live/game/v/9999999.m4s", 422), ("/nobody/game/v/10.m4s", 404), ("/live/game/event.json", 400)];
    for (path, expected) in refused {
        let length = 4 * 1024 * 1024;
        let head = format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        let mut raw = Raw::send(server.publish_address(), &head);
        raw.write(&vec![b'x'; length - 1]);
        assert!(raw.is_silent_for(Duration::from_millis(300)), "{path}: an answer before the body's end");
        raw.write(b"x");
        assert_eq!(raw.status(), expected, "{path}");
    }
}

#[test]
fn a_conflict_comes_after_the_body() {
    let server = Server::start();
    event(&server).put("a", NEXT, "media").expect(201);
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nother\r\n");
    let mut raw = Raw::send(server.publish_address(), &head);
    assert!(raw.is_silent_for(Duration::from_millis(300)), "an answer before the body's end");
    raw.write(b"0\r\n\r\n");
    assert_eq!(raw.status(), 409);
}

#[test]
fn a_body_cut_short_leaves_nothing() {
    let server = Server::start();
    let event = event(&server);
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf");
    let mut raw = Raw::send(server.publish_address(), &head);
    raw.finish();
    assert_eq!(raw.status(), 400);
    check_nothing_is_stored(&event);
}

#[test]
fn a_chunked_body_without_its_end_leaves_nothing() {
    let server = Server::start();
    let event = event(&server);
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    let mut raw = Raw::send(server.publish_address(), &head);
    raw.finish();
    assert_eq!(raw.status(), 400);
    check_nothing_is_stored(&event);
}

#[test]
fn chunks_that_are_none_are_400() {
    let server = Server::start();
    let event = event(&server);
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for body in ["zz\r\nhalf\r\n0\r\n\r\n", "4\r\nhalf, and more\r\n0\r\n\r\n", "fffffffffffffffff\r\nx\r\n"] {
        let mut raw = Raw::send(server.publish_address(), &format!("{head}{body}"));
        assert_eq!(raw.status(), 400, "{body:?}");
    }
    check_nothing_is_stored(&event);
}

#[test]
fn two_lengths_that_disagree_are_400() {
    let server = Server::start();
    let event = event(&server);
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhalf!");
    assert_eq!(Raw::send(server.publish_address(), &head).status(), 400);
    check_nothing_is_stored(&event);
}

#[test]
fn chunks_count_where_a_length_is_told_as_well() {
    let server = Server::start();
    let event = event(&server);
    // RFC 9112 §6.3 leaves the choice: refuse, or go by the chunks alone and close. Smugglers hope for the length.
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut raw = Raw::send(server.publish_address(), &format!("{head}5\r\nmedia\r\n0\r\n\r\n"));
    match raw.status() {
        400 => check_nothing_is_stored(&event),
        201 => assert_eq!(event.get(NEXT).expect(200).text(), "media"),
        status => panic!("{status}"),
    }
}

#[test]
fn an_upload_that_is_aborted_leaves_nothing() {
    let server = Server::start();
    let event = event(&server);
    for _ in 0..20 {
        let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
        let mut raw = Raw::send(server.publish_address(), &head);
        raw.write(&[b'x'; 50_000]);
    }
    check_nothing_is_stored(&event);
}

#[test]
fn nothing_of_an_upload_is_visible_before_its_end() {
    let server = Server::start();
    let event = event(&server);
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nthe wh");
    let mut raw = Raw::send(server.publish_address(), &head);
    assert!(raw.is_silent_for(Duration::from_millis(200)));
    assert_ne!(get(format!("{}/@a/v/10.m4s", event.deliver)).status, 200);
    raw.write(b"ole");
    assert_eq!(raw.status(), 201);
    assert_eq!(event.get(NEXT).expect(200).text(), "the whole");
}

#[test]
fn an_upload_is_invited_only_when_it_is_welcome() {
    let server = Server::start();
    let event = event(&server);
    let ask = |path: &str| {
        let expect = "Expect: 100-continue";
        format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n{expect}\r\n\r\n")
    };
    let mut welcome = Raw::send(server.publish_address(), &ask(PATH));
    assert_eq!(welcome.status(), 100);
    welcome.write(b"media");
    assert_eq!(welcome.status(), 201);
    assert_eq!(event.get(NEXT).expect(200).text(), "media");
    assert_eq!(Raw::send(server.publish_address(), &ask("/live/game/@zz/v/10.m4s")).status(), 403);
}

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    let server = Server::start();
    for address in [server.publish_address(), server.deliver_address()] {
        let mut raw = Raw::send(address, "GET /live/game/x HTTP/1.1\r\nHost: h\r\nX-Slow: ");
        let status = raw.status();
        assert!(matches!(status, 0 | 408), "{status}");
    }
}

#[test]
fn a_body_that_stands_still_is_cut_off_and_leaves_nothing() {
    let server = Server::start();
    let event = event(&server);
    let head = format!("PUT {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
    let mut raw = Raw::send(server.publish_address(), &head);
    assert_eq!(raw.status(), 408);
    assert!(raw.ends_within(Duration::from_secs(5)), "the connection is of no more use");
    check_nothing_is_stored(&event);
}
