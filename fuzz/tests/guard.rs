//! Request heads and bodies from anyone: the guard never panics, sees the same however the bytes are cut, and passes
//! no head that the HTTP library behind it reads differently.

use headwater_fuzz::{Edit, TIME, spoil};
use headwater_wire::guard::{Guard, Seen, Stop};

fn in_pieces(bytes: &[u8], step: usize) -> Seen {
    let (mut guard, mut pass, mut end) = (Guard::default(), 0, 0);
    loop {
        let seen = guard.look(&bytes[pass..end]);
        pass += seen.pass;
        if seen.stop.is_some() || end == bytes.len() {
            return Seen { pass, stop: seen.stop };
        }
        end = bytes.len().min(end + step);
    }
}

/// Where the head ends for the HTTP library, with its settings: what passes the guard it must accept.
fn library_reads(bytes: &[u8]) -> usize {
    let mut headers = [httparse::EMPTY_HEADER; headwater_wire::limits::HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else {
        panic!("passed, but not read: {:?}", String::from_utf8_lossy(bytes));
    };
    let target = request.path.expect("a whole head");
    let uri: http::Uri = target.parse().unwrap_or_else(|error| panic!("`{target}` passed, but is no URI: {error}"));
    assert!(uri.path() != "*" || request.method == Some("OPTIONS"), "the target that stands for a refusal");
    length
}

fn look_at(bytes: &[u8]) {
    let whole = in_pieces(bytes, bytes.len().max(1));
    for step in [1, 7] {
        let pieces = in_pieces(bytes, step);
        // What is malformed is seen earlier in pieces, but never later, and never otherwise.
        assert_eq!(pieces.stop.is_some(), whole.stop.is_some(), "{:?}", String::from_utf8_lossy(bytes));
        if !matches!(whole.stop, Some(Stop::BrokenBody)) {
            assert_eq!(pieces.pass, whole.pass, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
    let mut guard = Guard::default();
    let mut heads = (0..=bytes.len()).map(|cut| guard.look(&bytes[..cut]));
    // The first whole head, which passes with its last byte and not before.
    let head = heads.find(|seen| seen.pass > 0 || seen.stop.is_some());
    if let Some(Seen { pass: end @ 1.., stop: None }) = head {
        assert_eq!(library_reads(&bytes[..end]), end);
    }
}

#[test]
fn any_bytes() {
    bolero::check!().with_test_time(TIME).for_each(look_at);
}

#[test]
fn spoilt_requests() {
    let seeds = [
        "GET /live/game/v/1.m4s?a=b HTTP/1.1\r\nHost: cdn.example:7080\r\nRange: bytes=0-1\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "PUT http://h/live/game/v/1.m4s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]\r\nX-Empty:\r\n\r\n",
    ];
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec());
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .with_test_time(TIME)
        .for_each(|(which, edits)| look_at(&spoil(&seeds, *which, edits)));
}
