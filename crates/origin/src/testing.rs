//! Values for the tests of this crate.

use headwater_model::row::{Digest, EventId, Keep, Key, Object, Row, Version};
use headwater_model::{Pipeline, Region, Rendition, Timestamp};

pub(crate) fn rendition(name: &str) -> Rendition {
    Rendition::new(name).unwrap()
}

/// A sound candidate of event 1, stamped `stamp` ms.
pub(crate) fn segment_row(name: &str, number: u64, pipeline: &str, stamp: i64) -> Row {
    let at = Timestamp::from_millis(stamp);
    Row {
        key: Key {
            event: EventId(1),
            object: Object::Segment { rendition: rendition(name), number },
            pipeline: Pipeline::new(pipeline).unwrap(),
        },
        version: Version(stamp as u128),
        size: 3,
        digest: Digest(stamp as u128),
        content_type: "video/iso.segment".into(),
        defects: Default::default(),
        region: Region::new("local").unwrap(),
        keep: Keep::Standing,
        first: at,
        sound: Some(at),
        published: at,
        passed: Box::default(),
    }
}

/// Event 1 with nothing published.
pub(crate) fn live(document: &str) -> crate::live::Live {
    use headwater_model::event::{Counters, Event};
    let document = headwater_model::document::Document::from_json(document.as_bytes()).unwrap();
    let (tenant, name) = ("live".parse().unwrap(), "game".parse().unwrap());
    crate::live::Live::new(Event::new(EventId(1), tenant, name, document, Counters::default()))
}
