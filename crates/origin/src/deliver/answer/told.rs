//! The header values that say what a stored object is. They are the same in every answer, so they are written once.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use headwater_media::init::TrackKind;
use headwater_model::row::{Object, Row};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::deliver::answer::condition::etag;

/// Header values of one record.
#[derive(Debug)]
pub struct Told {
    /// `ETag`.
    pub etag: HeaderValue,
    /// `Last-Modified`.
    pub last_modified: HeaderValue,
    /// `Content-Type`.
    pub content_type: HeaderValue,
    /// `Headwater-Pipeline`.
    pub pipeline: HeaderValue,
    /// `Headwater-Region`.
    pub region: HeaderValue,
    /// `Headwater-Defects`; `None` if there are none.
    pub defects: Option<HeaderValue>,
    /// `Headwater-Segment`; `None` if it is no segment.
    pub segment: Option<HeaderValue>,
    ready: ArcSwapOption<Ready>,
}

/// All headers of the answer that most readers get, under one revision of the event.
#[derive(Debug)]
struct Ready {
    rev: u64,
    kind: Option<TrackKind>,
    headers: HeaderMap,
}

/// A map that is shared with whoever was given it.
pub(super) struct Shared(Arc<Ready>);

impl Deref for Shared {
    type Target = HeaderMap;
    fn deref(&self) -> &HeaderMap {
        &self.0.headers
    }
}

/// Sets a header whose value was made here; one that no header can hold is left out.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

impl Told {
    /// Writes the values of `row`.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        let defects = (!row.defects.is_empty()).then(|| value(&row.defects.to_string()));
        let segment = match row.key.object {
            Object::Segment { number, .. } => Some(number.into()),
            Object::Init { .. } | Object::Loose { .. } => None,
        };
        Self {
            etag: value(&etag(row)),
            last_modified: value(&row.published.to_http_date()),
            content_type: value(&row.content_type),
            pipeline: value(row.key.pipeline.as_str()),
            region: value(row.region.as_str()),
            defects,
            segment,
            ready: ArcSwapOption::empty(),
        }
    }

    /// The headers written under revision `rev` for a track of this kind, or those that `write` writes now.
    pub(super) fn ready(&self, rev: u64, kind: Option<TrackKind>, write: impl FnOnce() -> HeaderMap) -> Shared {
        if let Some(ready) = self.ready.load_full().filter(|ready| ready.rev == rev && ready.kind == kind) {
            return Shared(ready);
        }
        let ready = Arc::new(Ready { rev, kind, headers: write() });
        self.ready.store(Some(Arc::clone(&ready)));
        Shared(ready)
    }
}
