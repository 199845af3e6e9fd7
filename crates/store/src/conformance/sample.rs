//! Keys, bodies, claims and events for tests of stores: short to write and valid by construction.

use bytes::Bytes;
use headwater_model::defect::{Defect, DefectKind, Defects};
use headwater_model::document::Document;
use headwater_model::event::{Counters, Event};
use headwater_model::row::{Claim, EventId, Keep, Key, Object};
use headwater_model::{EventName, Pipeline, Region, Rendition, Tenant, Timestamp};

use crate::slab::Body;

/// The event all properties use.
pub const EVENT: EventId = EventId(7);

/// The key of a segment.
#[must_use]
pub fn segment(rendition: &str, number: u64, pipeline: &str) -> Key {
    let rendition = Rendition::new(rendition).expect("a name");
    key(Object::Segment { rendition, number }, pipeline)
}

/// The key of a loose object.
#[must_use]
pub fn loose(path: &str, pipeline: &str) -> Key {
    key(Object::Loose { path: path.into() }, pipeline)
}

/// The key of an init segment.
#[must_use]
pub fn init(rendition: &str, pipeline: &str) -> Key {
    key(Object::Init { rendition: Rendition::new(rendition).expect("a name") }, pipeline)
}

fn key(object: Object, pipeline: &str) -> Key {
    Key { event: EVENT, object, pipeline: Pipeline::new(pipeline).expect("a name") }
}

/// Bytes that differ by `seed`, in pieces as a slab pool would give them.
#[must_use]
pub fn body(seed: u64, length: usize) -> Body {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
    bytes.chunks(crate::slab::SLAB_BYTES).map(Bytes::copy_from_slice).collect::<Vec<_>>().into()
}

/// A claim for `body`, free of defects, kept for an hour after `now` if it is a segment.
#[must_use]
pub fn claim(key: Key, body: &Body, now: Timestamp) -> Claim {
    let keep = match key.object {
        Object::Segment { .. } => Keep::Until(now.offset_nanos(3_600_000_000_000)),
        _ => Keep::Standing,
    };
    Claim {
        key,
        size: body.len(),
        digest: body.digest(),
        content_type: "video/mp4".into(),
        defects: Defects::default(),
        region: Region::new("local").expect("a name"),
        keep,
        create_only: false,
        arrived: None,
        passed: Box::default(),
    }
}

/// The same claim with a defect.
#[must_use]
pub fn defective(claim: Claim) -> Claim {
    let defects = [Defect::new(DefectKind::Short, &[("have", 48), ("want", 50)])].into_iter().collect();
    Claim { defects, ..claim }
}

/// An event as its first life has it.
#[must_use]
pub fn event(id: EventId, name: &str, earlier: Counters) -> Event {
    let (tenant, name) = (Tenant::new("live").expect("a name"), EventName::new(name).expect("a name"));
    Event::new(id, tenant, name, Document::from_json(b"{}").expect("a document"), earlier)
}
