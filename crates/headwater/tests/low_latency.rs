//! Contract §5, low latency: readers follow a segment while it is being uploaded, chunk by chunk.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

mod support;

use std::time::{Duration, Instant};

use headwater_media::boxes::TopLevel;
use headwater_media::content::{Clip, Letter, fault};
use serde_json::{Value, json};
use support::event::NEXT;
use support::raw::Piece;
use support::{Event, Raw, Server, get, head, let_pass};

const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Row 8 of an event of 10 s segments.
const FOR_NOW: &str = "public, max-age=10";

/// An event with the low-latency rendition `v` whose segments come some time, and whose readers wait for them.
fn event(server: &Server, changes: Value) -> Event {
    let mut document = json!({
        "renditions": [{"id": "v", "low_latency": true, "timescale": 12_800}],
        "hold_max_ms": 20_000, "retry_deadline_ms": 60_000, "prefer_wait_ms": 300,
    });
    support::event::merge(&mut document, changes);
    let document_allows_anything = document["inspect"] != "reject";
    let event = Event::new(server, "game", document);
    // Its publishers are alive, so that a reader who is faster than the upload is held; too far back to say which
    // pipeline is healthy.
    if document_allows_anything {
        event.put("a", NEXT - 3, "earlier").expect(201);
    }
    event
}

/// The chunks of a segment of the test clip: everything up to the end of each `mdat`.
fn chunks(letter: Letter, number: u64) -> Vec<Vec<u8>> {
    let clip = Clip::builtin();
    let segment = fault::chunked(&clip.rendition("v180").expect("in the clip").segment(letter, number, 0), 12);
    let boxes = TopLevel::new(&segment).map(|header| header.expect("sound boxes"));
    let ends = boxes.filter(|header| header.is(b"mdat")).map(|header| header.end as usize);
    let (chunks, _) = ends.fold((Vec::new(), 0), |(mut chunks, from), end| {
        chunks.push(segment[from..end].to_vec());
        (chunks, end)
    });
    assert_eq!((chunks.len(), chunks.concat()), (4, segment));
    chunks
}

/// An upload that takes its time.
struct Upload(Raw);

impl Upload {
    fn begin(server: &Server, pipeline: &str, number: u64) -> Self {
        let path = format!("/live/game/@{pipeline}/v/{number}.m4s");
        Self(Raw::send(
            server.publish_address(),
            &format!("PUT {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }

    #[track_caller]
    fn end(&mut self, status: u16) {
        self.0.write(b"0\r\n\r\n");
        let (told, head) = self.0.read_head();
        assert_eq!(told, status, "{head}");
    }
}

/// A reader of segment [`NEXT`].
struct Follower(Raw);

impl Follower {
    fn ask(server: &Server) -> Self {
        Self::ask_with(server, "HTTP/1.1", "")
    }

    fn ask_with(server: &Server, version: &str, headers: &str) -> Self {
        let text = format!("GET /live/game/v/{NEXT}.m4s {version}\r\nHost: h\r\n{headers}\r\n");
        Self(Raw::send(server.deliver_address(), &text))
    }

    /// The head, which must be that of an answer in flight.
    #[track_caller]
    fn head(&mut self, pipeline: &str) -> String {
        let (status, head) = self.0.read_head();
        let head = head.to_ascii_lowercase();
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("cmsd-static: at=") && head.contains("server-timing: "), "{head}");
        for line in ["transfer-encoding: chunked", &format!("cache-control: {FOR_NOW}"), "headwater-segment: 10"] {
            assert!(head.contains(&format!("{line}\r\n")), "no `{line}` in {head}");
        }
        assert!(head.contains(&format!("headwater-pipeline: {pipeline}\r\n")), "{head}");
        for absent in ["etag:", "content-length:", "accept-ranges:", "last-modified:", "content-range:"] {
            assert!(!head.contains(absent), "`{absent}` in {head}");
        }
        head
    }

    /// Exactly these bytes come next, in however many pieces.
    #[track_caller]
    fn expect(&mut self, bytes: &[u8]) {
        let mut got = Vec::new();
        while got.len() < bytes.len() {
            match self.0.read_piece() {
                Piece::Data(data) => got.extend(data),
                other => panic!("{other:?} after {} of {} bytes", got.len(), bytes.len()),
            }
        }
        assert!(got == bytes, "other bytes");
    }

    #[track_caller]
    fn expect_end(&mut self) {
        assert_eq!(self.0.read_piece(), Piece::End);
    }
}

#[test]
fn a_held_reader_gets_each_chunk_before_the_next_is_sent() {
    let server = Server::start();
    let event = event(&server, json!({}));
    event.put("a", NEXT - 1, "before").expect(201);
    let mut follower = Follower::ask(&server);
    let mut upload = Upload::begin(&server, "a", NEXT);
    assert!(follower.0.is_silent_for(Duration::from_millis(200)));
    let chunks = chunks(Letter::A, NEXT);
    for (index, chunk) in chunks.iter().enumerate() {
        let (most, last) = chunk.split_at(chunk.len() - 1);
        upload.send(most);
        assert!(follower.0.is_silent_for(Duration::from_millis(100)), "a chunk that is not complete");
        let sent = Instant::now();
        upload.send(last);
        if index == 0 {
            assert!(follower.head("a").contains("headwater-outcome: held\r\n"));
        }
        follower.expect(chunk);
        // Within 20 ms where nothing else runs; a machine that tests runs much else.
        assert!(sent.elapsed() < Duration::from_secs(10), "{:?}", sent.elapsed());
    }
    assert!(follower.0.is_silent_for(Duration::from_millis(100)), "the end comes with the end of the upload");
    upload.end(201);
    follower.expect_end();
    let whole = event.get(NEXT).expect_row(200, FOR_EVER, "hit");
    assert!(whole.body == chunks.concat() && whole.has("etag"));
}

#[test]
fn who_comes_in_mid_flight_gets_everything_from_the_first_byte() {
    let server = Server::start();
    let _event = event(&server, json!({}));
    let chunks = chunks(Letter::A, NEXT);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&[&chunks[0][..], &chunks[1], &chunks[2][..100]].concat());
    let mut early: Vec<Follower> = (0..8).map(|_| Follower::ask(&server)).collect();
    for follower in &mut early {
        follower.head("a");
        follower.expect(&chunks[..2].concat());
    }
    upload.send(&chunks[2][100..]);
    let mut late = Follower::ask(&server);
    assert!(late.head("a").contains("headwater-outcome: hit\r\n"));
    late.expect(&chunks[..3].concat());
    upload.send(&chunks[3]);
    upload.end(201);
    for follower in &mut early {
        follower.expect(&chunks[2..].concat());
        follower.expect_end();
    }
    late.expect(&chunks[3]);
    late.expect_end();
}

#[test]
fn ranges_and_conditions_are_ignored_in_flight() {
    let server = Server::start();
    let event = event(&server, json!({}));
    let chunks = chunks(Letter::A, NEXT);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&chunks[0]);
    let mut follower = Follower::ask_with(&server, "HTTP/1.1", "Range: bytes=0-3\r\nIf-None-Match: \"x\"\r\n");
    follower.head("a");
    follower.expect(&chunks[0]);
    upload.send(&chunks[1..].concat());
    upload.end(201);
    let range = support::http::request("GET", event.segment(NEXT)).header("range", "bytes=0-3").send();
    assert_eq!(range.expect(206).body, chunks[0][..4]);
}

#[test]
fn head_waits_for_the_end() {
    let server = Server::start();
    let event = event(&server, json!({}));
    let chunks = chunks(Letter::A, NEXT);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&chunks[0]);
    Follower::ask(&server).head("a");
    let url = event.segment(NEXT);
    let asking = std::thread::spawn(move || head(url));
    let_pass(Duration::from_millis(300));
    assert!(!asking.is_finished());
    upload.send(&chunks[1..].concat());
    upload.end(201);
    let reply = asking.join().expect("an answer").expect_row(200, FOR_EVER, "held");
    assert_eq!(reply.header("content-length"), chunks.concat().len().to_string());
}

#[test]
fn http_1_0_waits_for_the_end_because_it_could_not_tell_a_death() {
    let server = Server::start();
    let _event = event(&server, json!({}));
    let chunks = chunks(Letter::A, NEXT);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&chunks[0]);
    Follower::ask(&server).head("a");
    let mut old = Follower::ask_with(&server, "HTTP/1.0", "");
    assert!(old.0.is_silent_for(Duration::from_millis(300)));
    upload.send(&chunks[1..].concat());
    upload.end(201);
    assert_eq!(old.0.status(), 200);
    assert!(old.0.read_to_end() == chunks.concat());
}

#[test]
fn when_an_upload_dies_its_followers_are_cut_off_and_the_other_pipeline_is_served() {
    let server = Server::start();
    let event = event(&server, json!({}));
    let (of_a, of_b) = (chunks(Letter::A, NEXT), chunks(Letter::B, NEXT).concat());
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&of_a[0]);
    let mut follower = Follower::ask(&server);
    follower.head("a");
    follower.expect(&of_a[0]);
    support::put(event.candidate("b", NEXT), &of_b[..]).expect(201);
    Follower::ask(&server).head("a");
    drop(upload);
    assert_eq!(follower.0.read_piece(), Piece::Broken);
    let reply = event.get(NEXT).expect(200);
    assert!(reply.body == of_b && reply.header("cache-control") == FOR_EVER);
    assert_ne!(get(format!("{}/@a/v/{NEXT}.m4s", event.deliver)).status, 200);
}

#[test]
fn when_an_upload_dies_alone_readers_are_held_until_it_comes_again() {
    let server = Server::start();
    let event = event(&server, json!({}));
    let chunks = chunks(Letter::A, NEXT);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&chunks[0]);
    let mut follower = Follower::ask(&server);
    follower.head("a");
    drop(upload);
    follower.expect(&chunks[0]);
    assert_eq!(follower.0.read_piece(), Piece::Broken);
    let mut held = Follower::ask(&server);
    assert!(held.0.is_silent_for(Duration::from_millis(200)));
    let mut again = Upload::begin(&server, "a", NEXT);
    again.send(&chunks[0]);
    held.head("a");
    again.send(&chunks[1..].concat());
    again.end(201);
    held.expect(&chunks.concat());
    held.expect_end();
    event.get(NEXT).expect_row(200, FOR_EVER, "hit");
}

#[test]
fn of_two_pipelines_in_flight_the_better_ranked_one_is_followed() {
    let server = Server::start();
    let event = event(&server, json!({"prefer_wait_ms": 20_000}));
    let (of_a, of_b) = (chunks(Letter::A, NEXT), chunks(Letter::B, NEXT));
    let (mut a, mut b) = (Upload::begin(&server, "a", NEXT), Upload::begin(&server, "b", NEXT));
    let mut follower = Follower::ask(&server);
    b.send(&of_b.concat());
    b.end(201);
    assert!(follower.0.is_silent_for(Duration::from_millis(200)), "a is waited for");
    a.send(&of_a[0]);
    follower.head("a");
    a.send(&of_a[1..].concat());
    a.end(201);
    follower.expect(&of_a.concat());
    follower.expect_end();
    assert!(event.get(NEXT).expect_row(200, FOR_EVER, "hit").body == of_a.concat());
}

#[test]
fn defects_found_at_the_end_change_no_choice() {
    let server = Server::start();
    // Segments of 1.92 s in an event of 10 s: too short.
    let event = event(&server, json!({"inspect": "mark"}));
    let (of_a, of_b) = (chunks(Letter::A, NEXT), chunks(Letter::B, NEXT).concat());
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&of_a[0]);
    let mut follower = Follower::ask(&server);
    follower.head("a");
    upload.send(&of_a[1..].concat());
    upload.end(201);
    follower.expect(&of_a.concat());
    follower.expect_end();
    support::put(event.candidate("b", NEXT), &of_b[..]).expect(201);
    support::put(event.candidate("a", NEXT), &of_b[..]).expect(409);
    let check = |event: &Event| {
        let reply = event.get(NEXT).expect_row(200, FOR_NOW, "defective");
        assert!(reply.body == of_a.concat() && reply.header("headwater-defects").contains("short"));
    };
    check(&event);
    let server = server.kill_and_restart();
    check(&Event::at(&server, "game", 0, 10_000));
}

#[test]
fn an_upload_that_is_rejected_at_its_end_dies() {
    let server = Server::start();
    let event = event(&server, json!({"inspect": "reject", "hold_max_ms": 500}));
    let chunks = chunks(Letter::A, NEXT);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&chunks[0]);
    let mut follower = support::eventually("a reader who may follow", || {
        let mut follower = Follower::ask(&server);
        (follower.0.status() == 200).then_some(follower)
    });
    follower.expect(&chunks[0]);
    upload.send(&chunks[1..].concat());
    upload.end(422);
    // What came last may be lost with the connection.
    let told = std::iter::repeat_with(|| follower.0.read_piece()).find(|piece| !matches!(piece, Piece::Data(_)));
    assert_eq!(told, Some(Piece::Broken));
    event.get(NEXT).expect_row(404, "max-age=0", "held-too-long");
}

#[test]
fn nothing_is_left_of_an_upload_after_a_crash() {
    let server = Server::start();
    let event = event(&server, json!({}));
    let (of_a, of_b) = (chunks(Letter::A, NEXT), chunks(Letter::B, NEXT).concat());
    support::put(event.candidate("b", NEXT), &of_b[..]).expect(201);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&of_a[0]);
    Follower::ask(&server).head("a");
    let server = server.kill_and_restart();
    let event = Event::at(&server, "game", 0, 10_000);
    // The choice may still be closing: b had come when a could still have.
    let reply = event.get(NEXT).expect(200);
    assert!(reply.body == of_b && reply.header("cache-control") == FOR_EVER, "{reply:?}");
}

#[test]
fn a_reader_that_does_not_read_holds_nobody_up() {
    let server = Server::start();
    let _event = event(&server, json!({}));
    let chunks = chunks(Letter::A, NEXT);
    // Large chunks, so that the idle reader's socket fills up.
    let box_of = |kind: &[u8], length: usize| [&(length as u32 + 8).to_be_bytes()[..], kind, &vec![7; length]].concat();
    let large: Vec<Vec<u8>> = (0..8).map(|_| [box_of(b"moof", 8), box_of(b"mdat", 2 << 20)].concat()).collect();
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&chunks[0]);
    let mut idle = Follower::ask(&server);
    idle.head("a");
    for chunk in &large {
        upload.send(chunk);
    }
    upload.end(201);
    let expected = [vec![chunks[0].clone()], large].concat().concat();
    idle.expect(&expected);
    idle.expect_end();
}

#[test]
fn what_has_no_chunks_is_shown_when_it_is_whole() {
    let server = Server::start();
    let event = event(&server, json!({}));
    event.put("a", NEXT - 1, "before").expect(201);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(b"no boxes at all");
    let mut reader = Follower::ask(&server);
    assert!(reader.0.is_silent_for(Duration::from_millis(300)));
    upload.end(201);
    let (status, head) = reader.0.read_head();
    assert!(status == 200 && head.contains(FOR_EVER), "{head}");
}

#[test]
fn a_sound_segment_that_was_followed_is_sound_media() {
    let server = Server::start();
    let changes = json!({
        "renditions": [{"id": "v", "low_latency": true, "timescale": 12_800}], "inspect": "mark",
        "hold_max_ms": 20_000, "retry_deadline_ms": 60_000,
    });
    let event = Event::with_duration(&server, "game", (48, 25), changes);
    let chunks = chunks(Letter::A, NEXT);
    let mut upload = Upload::begin(&server, "a", NEXT);
    upload.send(&chunks[0]);
    let (mut follower, head) = support::eventually("a reader who may follow", || {
        let mut follower = Follower::ask(&server);
        let (status, head) = follower.0.read_head();
        (status == 200).then_some((follower, head))
    });
    assert!(head.to_ascii_lowercase().contains("cache-control: public, max-age=1\r\n"), "{head}");
    upload.send(&chunks[1..].concat());
    upload.end(201);
    follower.expect(&chunks.concat());
    follower.expect_end();
    let whole = event.get(NEXT).expect(200);
    assert!(whole.body == chunks.concat() && whole.header("cache-control") == FOR_EVER, "{whole:?}");
}
