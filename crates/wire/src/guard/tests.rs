use super::*;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// What becomes of `bytes` in one piece.
fn whole(bytes: &[u8]) -> Seen {
    Guard::default().look(bytes)
}

/// What becomes of `bytes` when they come one by one: all that passed, and why it ended.
fn trickled(bytes: &[u8]) -> Seen {
    let (mut guard, mut pass) = (Guard::default(), 0);
    for end in 0..=bytes.len() {
        let seen = guard.look(&bytes[pass..end]);
        pass += seen.pass;
        if seen.stop.is_some() {
            return Seen { pass, stop: seen.stop };
        }
    }
    Seen { pass, stop: None }
}

#[track_caller]
fn check(text: &str, expected: Result<usize, Stop>) {
    for seen in [whole(text.as_bytes()), trickled(text.as_bytes())] {
        assert_eq!(seen.stop.map_or(Ok(seen.pass), Err), expected, "{text:?}");
    }
}

#[track_caller]
fn check_refused(text: &str, refusal: Refusal) {
    check(text, Err(Stop::Refused(refusal)));
}

#[track_caller]
fn check_passes(text: &str) {
    check(text, Ok(text.len()));
}

#[test]
fn requests_of_real_clients_pass() {
    for text in [
        "GET /live/game/v/1.m4s HTTP/1.1\r\nHost: cdn.example:7080\r\nRange: bytes=0-1\r\n\r\n",
        "HEAD /live/game/a.mpd?CMCD=bl%3D2%2Csid%3D%22x%22&a[]={x} HTTP/1.1\r\nhost:\r\n\r\n",
        "GET http://cdn.example/live/game/v/1.m4s HTTP/1.1\r\nHost: cdn.example\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\nabc",
        "DELETE /x HTTP/1.1\r\nIcy-MetaData: 1\r\nHost: h\r\nTransfer-Encoding:chunked\r\n\r\n0\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n00\r\nX: y\r\n\r\n",
        "\r\nGET /\u{e9} HTTP/1.1\r\nHost: h\r\nX-Text: caf\u{e9}\t!\r\n\r\n",
    ] {
        check_passes(text);
    }
}

#[test]
fn pipelined_requests_are_told_apart() {
    let put = "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\nX:\0";
    let get = "GET /y HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunked = "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n";
    check_passes(&format!("{put}{get}{chunked}{get}\r\n{put}"));
    let bad = "GET /y HTTP/1.1\r\n\r\n";
    let seen = whole(format!("{get}{chunked}{bad}").as_bytes());
    assert_eq!(seen.pass, get.len() + chunked.len());
    assert_eq!(seen.stop, Some(Stop::Refused(Refusal::NoHost)));
}

#[test]
fn of_a_part_of_a_head_nothing_passes() {
    let get = "GET /y HTTP/1.1\r\nHost: h\r\n\r\n";
    for end in 0..get.len() {
        assert_eq!(whole(&get.as_bytes()[..end]), Seen { pass: 0, stop: None });
    }
}

#[test]
fn framing_that_two_readers_could_read_differently_is_refused() {
    use Refusal::*;
    for (headers, refusal) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", LengthAndEncoding),
        ("Content-Length: 4\r\nContent-Length: 5\r\n", SeveralLengths),
        ("Content-Length: 4\r\nContent-Length: 4\r\n", SeveralLengths),
        ("Content-Length: 4, 4\r\n", Length),
        ("Content-Length: +4\r\n", Length),
        ("Content-Length: -1\r\n", Length),
        ("Content-Length: 0x4\r\n", Length),
        ("Content-Length:\r\n", Length),
        ("Content-Length: 18446744073709551615\r\n", Length),
        ("Content-Length: 99999999999999999999\r\n", Length),
        ("Transfer-Encoding: gzip, chunked\r\n", UnknownEncoding),
        ("Transfer-Encoding: chunked, gzip\r\n", EncodingNotChunked),
        ("Transfer-Encoding: identity\r\n", EncodingNotChunked),
        ("Transfer-Encoding: xchunked\r\n", EncodingNotChunked),
        ("Transfer-Encoding:\r\n", EncodingNotChunked),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", EncodingNotChunked),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", EncodingNotChunked),
        ("Transfer-Encoding : chunked\r\n", SpaceBeforeColon),
        ("Transfer-Encoding\t: chunked\r\n", SpaceBeforeColon),
        (" Transfer-Encoding: chunked\r\n", FoldedHeader),
        ("X: y\r\n\tz\r\n", FoldedHeader),
        ("Transfer-Encoding: chunked\n", BareLineEnd),
        ("Transfer-Encoding:\rchunked\r\n", ControlCharacter),
        ("Transfer-Encoding: \u{b}chunked\r\n", ControlCharacter),
        ("X: a\0b\r\n", ControlCharacter),
        ("X: a\u{7f}b\r\n", ControlCharacter),
        ("X\0: a\r\n", HeaderLine),
        ("X(): a\r\n", HeaderLine),
        (": a\r\n", HeaderLine),
        ("no colon\r\n", HeaderLine),
        ("Host: other\r\n", SeveralHosts),
        ("Expect: 200-ok\r\n", Expectation),
        ("Expect: 100-continue, x\r\n", Expectation),
    ] {
        let text = format!("PUT /x HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        let seen = whole(text.as_bytes());
        assert_eq!(seen, Seen { pass: 0, stop: Some(Stop::Refused(refusal)) }, "{text:?}");
        // Byte by byte a control character is seen before its line is whole.
        let stop = trickled(text.as_bytes()).stop;
        assert!([refusal, ControlCharacter].map(Stop::Refused).map(Some).contains(&stop), "{text:?}: {stop:?}");
    }
    check_refused("PUT /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", EncodingInHttp10);
}

#[test]
fn hosts_are_required_and_plain() {
    check_refused("GET / HTTP/1.1\r\n\r\n", Refusal::NoHost);
    for host in ["a b", "a/b", "a@b", "a,b", "a?b", "caf\u{e9}"] {
        check_refused(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Refusal::Host);
    }
}

#[test]
fn request_lines_that_are_none_are_refused() {
    use Refusal::*;
    for (line, refusal) in [
        ("GET /", RequestLine),
        ("GET  / HTTP/1.1", Target),
        ("GET / HTTP/1.1 ", RequestLine),
        ("GET /a b HTTP/1.1", Target),
        ("GET\t/ HTTP/1.1", RequestLine),
        (" GET / HTTP/1.1", RequestLine),
        ("GET HTTP/1.1", RequestLine),
        ("GET / http/1.1", RequestLine),
        ("GET / HTTP/1.10", RequestLine),
        ("GET / HTTP/1.2", Version),
        ("GET / HTTP/3.0", Version),
        ("PRI * HTTP/2.0", Http2),
        ("GET x HTTP/1.1", Target),
        ("GET * HTTP/1.1", Target),
        ("HEAD * HTTP/1.1", Target),
        ("OPTIONS ** HTTP/1.1", Target),
        ("GET /a#b HTTP/1.1", Target),
        ("GET /<> HTTP/1.1", Target),
        ("GET http:/// HTTP/1.1", Target),
        ("GET ftp://h/ HTTP/1.1", Target),
        ("CONNECT h:80 HTTP/1.1", Connect),
        ("GÉT / HTTP/1.1", RequestLine),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1", RequestLine),
    ] {
        check_refused(&format!("{line}\r\nHost: h\r\n\r\n"), refusal);
    }
}

#[test]
fn what_is_no_http_does_not_wait_for_a_line_end() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00";
    assert_eq!(whole(hello).stop, Some(Stop::Refused(Refusal::Tls)));
    assert_eq!(trickled(hello).stop, Some(Stop::Refused(Refusal::Tls)));
    assert_eq!(whole(b"\x80\x2e").stop, Some(Stop::Refused(Refusal::RequestLine)));
    check_refused("GET /\0", Refusal::ControlCharacter);
    check_refused("\nGET / HTTP/1.1", Refusal::BareLineEnd);
}

#[test]
fn large_heads_are_refused_before_their_end() {
    let long = "x".repeat(HEAD_BYTES_MAX);
    check_refused(&format!("GET /{long}"), Refusal::TargetTooLong);
    check_refused(&format!("GET /{} HTTP/1.1\r\n", &long[..TARGET_BYTES_MAX]), Refusal::TargetTooLong);
    check_refused(&format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}"), Refusal::HeadTooLarge);
    let lines = "X: y\r\n".repeat(HEADERS_MAX);
    check_refused(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}"), Refusal::TooManyHeaders);
    check_passes(&format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", &long[..TARGET_BYTES_MAX - 1]));
}

#[test]
fn chunks_that_are_none_break_the_body() {
    let head = "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "\r\n",
        "x\r\n",
        " 3\r\n",
        "-3\r\n",
        "0x3\r\n",
        "3\nabc\r\n",
        "3\rabc\r\n",
        "3\r\nabcd",
        "3\r\nabc\n",
        "3;a\nb\r\n",
        "3;\0\r\n",
        "00000000000000003\r\n",
        "0\r\n\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX\0: y\r\n",
    ] {
        check(&format!("{head}{body}"), Err(Stop::BrokenBody));
    }
    let long = "x".repeat(HEAD_BYTES_MAX + 1);
    check(&format!("{head}3;{long}"), Err(Stop::BrokenBody));
    check(&format!("{head}0\r\n{long}"), Err(Stop::BrokenBody));
}

#[test]
fn a_refused_head_request_is_known_as_one() {
    for (text, expected) in [("HEAD / HTTP/1.1\r\n\r\n", true), ("GET / HTTP/1.1\r\n\r\n", false), ("HEAD", false)] {
        let mut guard = Guard::default();
        guard.look(text.as_bytes());
        assert_eq!(guard.wants_no_body(), expected, "{text:?}");
    }
}

#[test]
fn every_refusal_says_what_to_do() {
    for refusal in Refusal::ALL {
        let problem = refusal.problem();
        assert!((400..=505).contains(&problem.status.as_u16()), "{refusal:?}");
        assert!(problem.detail.len() > 10 && !problem.code.is_empty(), "{refusal:?}");
        assert_eq!(Refusal::numbered(refusal as u8), Some(refusal));
    }
    let codes: std::collections::BTreeSet<_> = Refusal::ALL.map(|refusal| refusal.problem().code).into();
    assert_eq!(codes.len(), Refusal::ALL.len(), "a code of its own for each");
}
