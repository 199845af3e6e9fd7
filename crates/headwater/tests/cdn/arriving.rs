//! Segments that are passed on while they are still being uploaded.

use serde_json::json;

use crate::origin;
use crate::shield::{KINDS, Kind, Shield};
use crate::support::event::NEXT;
use crate::support::media::chunks;
use crate::support::raw::Piece;
use crate::support::{Event, Raw, Server, get};

/// An event with the low-latency rendition `v`, whose publishers are alive.
fn event(server: &Server, kind: Kind) -> Event {
    let changes = json!({
        "renditions": [{"id": "v", "low_latency": true, "timescale": 12_800}], "pipelines": ["a"],
        "hold_max_ms": 20_000, "retry_deadline_ms": 60_000,
    });
    let event = Event::new(server, &format!("{kind:?}.arriving").to_lowercase(), changes);
    event.put("a", NEXT - 1, "before").expect(201);
    event
}

/// An upload that takes its time.
struct Upload(Raw);

impl Upload {
    fn begin(server: &Server, event: &Event) -> Self {
        let path = format!("/live/{}/@a/v/{NEXT}.m4s", event.name);
        let head = format!("PUT {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        Self(Raw::send(server.publish_address(), &head))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }

    #[track_caller]
    fn end(&mut self) {
        self.0.write(b"0\r\n\r\n");
        assert_eq!(self.0.status(), 201);
    }
}

fn ask(shield: &Shield, event: &Event) -> Raw {
    let path = format!("/live/{}/v/{NEXT}.m4s", event.name);
    Raw::send(shield.address(), &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
}

/// What a reader sees of a chunk before the next has come: nginx passes on whole buffers alone.
fn seen_in_flight(kind: Kind, chunk: &[u8]) -> &[u8] {
    if matches!(kind, Kind::Nginx) { &chunk[..1_000] } else { chunk }
}

/// Reads these bytes, and what has come with them.
#[track_caller]
fn expect(kind: Kind, reader: &mut Raw, bytes: &[u8]) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        match reader.read_piece() {
            Piece::Data(data) => got.extend(data),
            other => panic!("{kind:?}: {other:?} after {} of {} bytes", got.len(), bytes.len()),
        }
    }
    assert!(got.starts_with(bytes), "{kind:?}: other bytes");
    got
}

#[test]
fn a_segment_is_passed_on_while_it_arrives() {
    let server = origin();
    for kind in KINDS {
        let (shield, event, chunks) = (Shield::start(kind, &server), event(&server, kind), chunks(NEXT));
        let mut first = ask(&shield, &event);
        let mut upload = Upload::begin(&server, &event);
        upload.send(&chunks[0]);
        assert_eq!(first.status(), 200, "{kind:?}");
        let mut second = ask(&shield, &event);
        let seen = seen_in_flight(kind, &chunks[0]);
        let got = expect(kind, &mut first, seen);
        // In the others, who comes second gets it when it is complete.
        if matches!(kind, Kind::Varnish) {
            assert_eq!(second.status(), 200, "{kind:?}");
            expect(kind, &mut second, seen);
        }
        upload.send(&chunks[1..].concat());
        upload.end();
        expect(kind, &mut first, &chunks.concat()[got.len()..]);
        if matches!(kind, Kind::Varnish) {
            expect(kind, &mut second, &chunks[1..].concat());
        }
        assert_eq!(first.read_piece(), Piece::End, "{kind:?}");
        assert!(get(shield.segment(&event, NEXT)).expect(200).body == chunks.concat(), "{kind:?}");
    }
}

#[test]
fn an_upload_that_dies_leaves_no_half_segment_in_a_cache() {
    let server = origin();
    for kind in KINDS {
        let (shield, event, chunks) = (Shield::start(kind, &server), event(&server, kind), chunks(NEXT));
        let mut reader = ask(&shield, &event);
        let mut upload = Upload::begin(&server, &event);
        upload.send(&chunks[0]);
        assert_eq!(reader.status(), 200, "{kind:?}");
        expect(kind, &mut reader, seen_in_flight(kind, &chunks[0]));
        drop(upload);
        let end = std::iter::repeat_with(|| reader.read_piece()).find(|piece| !matches!(piece, Piece::Data(_)));
        assert_eq!(end, Some(Piece::Broken), "{kind:?}: its end looks like that of a whole segment");
        let mut again = Upload::begin(&server, &event);
        again.send(&chunks.concat());
        again.end();
        assert!(get(shield.segment(&event, NEXT)).expect(200).body == chunks.concat(), "{kind:?}");
    }
}
