//! The built-in test content as a packager would publish it, and an event that it fits.

use headwater_media::boxes::TopLevel;
use headwater_media::content::{Clip, ClipRendition, Letter, fault};
use serde_json::{Value, json};

use super::event::{Event, NEXT, merge};
use super::{Server, http, now_ms, rfc3339};

/// Milliseconds of a segment of the content.
const DURATION_MS: i64 = 1_920;

/// An event that begins so that [`NEXT`] is due; our own inspection is on.
pub fn event(server: &Server, name: &str, changes: Value) -> Event {
    let start_ms = now_ms() - DURATION_MS * i64::try_from(NEXT).expect("small") - DURATION_MS / 2;
    let event = Event::at(server, name, start_ms, DURATION_MS);
    let clip = Clip::builtin();
    let renditions = clip.renditions().iter().map(|rendition| json!({"id": rendition.id()}));
    let mut document = json!({
        "availability_start_time": rfc3339(start_ms), "segment": {"duration": 48, "timescale": 25},
        "renditions": renditions.collect::<Vec<_>>(), "inspect": "mark", "retry_deadline_ms": 600_000,
    });
    merge(&mut document, changes);
    event.put_document(&document);
    event
}

/// One rendition of the content.
pub fn rendition(id: &str) -> ClipRendition {
    Clip::builtin().rendition(id).cloned().unwrap_or_else(|| panic!("the content has no {id}"))
}

/// Segment `number` of `rendition`, free of defects.
pub fn segment(rendition: &ClipRendition, number: u64) -> Vec<u8> {
    rendition.segment(Letter::A, number, 0)
}

/// Publishes `body` as segment `number` of `rendition`, by `pipeline`.
pub fn put(event: &Event, pipeline: &str, rendition: &ClipRendition, number: u64, body: Vec<u8>) -> http::Reply {
    http::put(format!("{}/@{pipeline}/{}/{number}.m4s", event.publish, rendition.id()), body)
}

/// Publishes the init segment of `rendition`, by `pipeline`.
pub fn put_init(event: &Event, pipeline: &str, rendition: &ClipRendition) -> http::Reply {
    http::put(format!("{}/@{pipeline}/{}/init.mp4", event.publish, rendition.id()), rendition.init())
}

/// The four CMAF chunks of segment `number` of a small rendition: everything up to the end of each `mdat`.
pub fn chunks(number: u64) -> Vec<Vec<u8>> {
    let segment = fault::chunked(&segment(&rendition("v180"), number), 12);
    let boxes = TopLevel::new(&segment).map(|header| header.expect("sound boxes"));
    let ends: Vec<usize> = boxes.filter(|header| header.is(b"mdat")).map(|header| header.end as usize).collect();
    let begins = std::iter::once(0).chain(ends.iter().copied());
    let chunks: Vec<Vec<u8>> = begins.zip(&ends).map(|(from, to)| segment[from..*to].to_vec()).collect();
    assert_eq!((chunks.len(), chunks.concat()), (4, segment));
    chunks
}
