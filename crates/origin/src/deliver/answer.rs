//! The answer to a reader: headers, conditions, ranges (RFC 9110), always with an explicit `Cache-Control`.

mod condition;
mod cors;
mod flight;
mod freshness;
mod subject;
pub(crate) mod told;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_media::init::TrackKind;
use headwater_model::decision::Ttl;
use headwater_model::event::Event;
use headwater_model::row::{Key, Object, Row};
use headwater_model::{Outcome, Pipeline};
use headwater_store::{Body, StoreError, Tier};
use headwater_wire::{Outbound, Response};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use self::condition::{Condition, Requested, condition, requested};
pub use self::cors::{ALLOWED, preflight};
pub use self::freshness::Freshness;
use crate::Origin;
use crate::admit::Refusal;
use crate::deliver::cmsd;
use crate::metrics::Class;
use crate::publish::inspect::DEFECTS_HEADER;
use crate::surrogate::Subject;
use crate::tail::Candidate;
use crate::tail::flight::Flight;

/// What a reader gets.
pub struct Answer {
    /// The one word for it.
    pub outcome: Outcome,
    /// What kind of request it was.
    pub class: Class,
    freshness: Freshness,
    media: Option<Media>,
    /// The bytes of `media` while they are still arriving.
    flight: Option<Arc<Flight>>,
    /// A document made for this answer.
    json: Option<String>,
    event: Option<Arc<Event>>,
    /// What surrogate keys tell.
    subject: Option<Subject>,
}

struct Media {
    row: Candidate,
    body: Body,
    /// Where the bytes were, for `Cache-Status`.
    tier: Tier,
    /// What the rendition's init segment says it is.
    kind: Option<TrackKind>,
}

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Rows 11 and 12: the store is under stress.
    #[error("not admitted: {0:?}")]
    Refused(Refusal),
    /// As the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads from the store if `class` is admitted, and tells the admission how long it took.
async fn read(origin: &Origin, row: &Row, class: Class) -> Result<(Body, Tier), ReadError> {
    let started = origin.clock.monotonic();
    let permit = origin.admission.admit(class, row.size, started).map_err(ReadError::Refused)?;
    let body = origin.store.read(row, 0..row.size).await;
    permit.end(origin.clock.monotonic());
    if let Err(StoreError::Damaged(why)) = &body {
        let Key { object, pipeline, .. } = &row.key;
        tracing::error!(%pipeline, ?object, why, "stored bytes are damaged; publish them again or mask them");
        origin.metrics.damaged();
    }
    Ok(body?)
}

impl Answer {
    /// An answer without media.
    #[must_use]
    pub fn refusal(outcome: Outcome, ttl: Ttl) -> Self {
        let (class, freshness) = (Class::Unknown, Freshness::For(ttl));
        Self { outcome, class, freshness, media: None, flight: None, json: None, event: None, subject: None }
    }

    /// A candidate's bytes, from memory or, if `class` is admitted, from the store; for HEAD they are not read.
    ///
    /// # Errors
    /// Not admitted, or as the store says.
    pub async fn media(
        origin: &Origin,
        row: Candidate,
        outcome: Outcome,
        freshness: Freshness,
        method: &Method,
        class: Class,
    ) -> Result<Self, ReadError> {
        let (body, tier) = match origin.store.hot(&row) {
            Some(body) => (body, Tier::Memory),
            None if method == Method::HEAD => (Body::default(), Tier::Store),
            None => read(origin, &row, class).await?,
        };
        let media = Some(Media { row, body, tier, kind: None });
        Ok(Self { outcome, class, freshness, media, flight: None, json: None, event: None, subject: None })
    }

    /// The choice of a segment, for ever, with its bytes that are in memory.
    #[must_use]
    pub fn hit(row: Candidate, body: Body, kind: Option<TrackKind>, class: Class) -> Self {
        let media = Some(Media { row, body, tier: Tier::Memory, kind });
        let (outcome, freshness) = (Outcome::Hit, Freshness::Immutable);
        Self { outcome, class, freshness, media, flight: None, json: None, event: None, subject: None }
    }

    /// A document that no cache may keep.
    #[must_use]
    pub fn json(json: String) -> Self {
        let (outcome, class, freshness) = (Outcome::Hit, Class::Unknown, Freshness::Never);
        Self { outcome, class, freshness, media: None, flight: None, json: Some(json), event: None, subject: None }
    }

    /// Never to be cached.
    #[must_use]
    pub fn uncached(self) -> Self {
        Self { freshness: Freshness::Never, ..self }
    }

    /// Of a rendition whose track is of this kind.
    #[must_use]
    pub fn kind(mut self, kind: Option<TrackKind>) -> Self {
        if let Some(media) = &mut self.media {
            media.kind = kind;
        }
        self
    }

    /// Of this class.
    #[must_use]
    pub fn class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// About this event.
    #[must_use]
    pub fn of_event(self, event: &Arc<Event>) -> Self {
        Self { event: Some(Arc::clone(event)), ..self }
    }

    /// Whose candidate is served.
    #[must_use]
    pub fn pipeline(&self) -> Option<&Pipeline> {
        self.media.as_ref().map(|media| &media.row.key.pipeline)
    }

    /// The response to a request of `method` with `headers` that took `spent` to answer.
    #[must_use]
    pub fn into_response(self, method: &Method, headers: &HeaderMap, spent: Duration) -> Response {
        let mut response = Response::new(Outbound::Empty);
        *response.headers_mut() = self.ready(spent).unwrap_or_else(|| self.headers(spent));
        if let Some(json) = self.json {
            let out = response.headers_mut();
            out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            out.insert(header::CONTENT_LENGTH, json.len().into());
            if method != Method::HEAD {
                *response.body_mut() = json.into();
            }
            return response;
        }
        if let Some(flight) = &self.flight {
            flight::follow(&mut response, flight);
            return response;
        }
        let Some(media) = self.media else { return refused(response, self.outcome, method) };
        match condition(headers, &media.row) {
            Condition::NotModified => {
                response.headers_mut().remove(header::CONTENT_TYPE);
                response.headers_mut().remove(header::CONTENT_LENGTH);
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
            Condition::Failed => {
                response.headers_mut().remove(header::CONTENT_LENGTH);
                *response.status_mut() = StatusCode::PRECONDITION_FAILED;
            }
            Condition::Send => send(&mut response, media, method, headers),
        }
        response
    }

    /// The headers of a final segment in memory, which are the same for all who get it at once, but for the time it
    /// took: written for the first of them and copied for the rest, because the live edge is asked for thousands of
    /// times.
    fn ready(&self, spent: Duration) -> Option<HeaderMap> {
        let is_common = self.outcome == Outcome::Hit && self.freshness == Freshness::Immutable;
        let (Some(media), Some(event), true) = (&self.media, &self.event, is_common) else { return None };
        if media.tier != Tier::Memory {
            return None;
        }
        let ready = media.row.told().ready(event.rev, media.kind, || self.headers(Duration::ZERO));
        let mut headers = HeaderMap::clone(&ready);
        if spent >= Duration::from_millis(1) {
            told::put(&mut headers, CMSD_DYNAMIC, cmsd::of_this_answer(&media.row, spent));
        }
        headers.insert(SERVER_TIMING, timing(self.outcome, spent));
        Some(headers)
    }

    /// All headers of an answer with the whole of what there is.
    fn headers(&self, spent: Duration) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        self.freshness.tell(&mut headers);
        headers.insert(OUTCOME, HeaderValue::from_static(self.outcome.word()));
        if let Some(event) = &self.event {
            headers.insert(CACHE_VERSION, event.cache_version.into());
            headers.insert(NOTIFICATIONS, notifications(event, self.media.as_ref()));
        }
        cors::open(&mut headers);
        self.tell_subject(&mut headers);
        if let Some(media) = &self.media {
            describe(&mut headers, media);
            if let Some(event) = &self.event {
                hint(&mut headers, media, event, self.outcome, spent);
            }
        }
        headers
    }
}

/// Room for the headers of a segment.
const HEADERS: usize = 24;

/// What rides on the answer: on a segment what holds at it, else the latest set (contract §6).
fn notifications(event: &Event, media: Option<&Media>) -> HeaderValue {
    if event.notifications.is_empty() {
        return HeaderValue::from_static("rev=0");
    }
    let set = match media.map(|media| &media.row.key.object) {
        Some(Object::Segment { number, .. }) => event.notifications.as_of(*number),
        _ => event.notifications.latest(),
    };
    HeaderValue::try_from(set.to_string()).unwrap_or_else(|_| HeaderValue::from_static("rev=0"))
}

const NOTIFICATIONS: HeaderName = HeaderName::from_static("headwater-notifications");
const CMSD_STATIC: HeaderName = HeaderName::from_static("cmsd-static");
const CMSD_DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const OUTCOME: HeaderName = HeaderName::from_static("headwater-outcome");
const CACHE_VERSION: HeaderName = HeaderName::from_static("headwater-cache-version");
const SEGMENT: HeaderName = HeaderName::from_static("headwater-segment");
const PIPELINE: HeaderName = HeaderName::from_static("headwater-pipeline");
const REGION: HeaderName = HeaderName::from_static("headwater-region");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

fn refused(mut response: Response, outcome: Outcome, method: &Method) -> Response {
    *response.status_mut() = StatusCode::from_u16(outcome.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = format!("{}: {}\n", outcome.word(), outcome.meaning());
    let headers = response.headers_mut();
    match outcome {
        Outcome::Unavailable => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1")),
        Outcome::Shed => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5")),
        _ => None,
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_LENGTH, text.len().into());
    if method != Method::HEAD {
        *response.body_mut() = text.into();
    }
    response
}

/// What the media is. A range, or an answer without a body, changes the length.
fn describe(headers: &mut HeaderMap, media: &Media) {
    let told = media.row.told();
    headers.insert(header::CONTENT_LENGTH, media.row.size.into());
    headers.insert(header::ETAG, told.etag.clone());
    headers.insert(header::LAST_MODIFIED, told.last_modified.clone());
    headers.insert(header::CONTENT_TYPE, told.content_type.clone());
    headers.insert(PIPELINE, told.pipeline.clone());
    headers.insert(REGION, told.region.clone());
    if let Some(defects) = &told.defects {
        headers.insert(HeaderName::from_static(DEFECTS_HEADER), defects.clone());
    }
    if let Some(segment) = &told.segment {
        headers.insert(SEGMENT, segment.clone());
    }
    let status = match media.tier {
        Tier::Memory => "headwater; hit; detail=memory",
        Tier::Memcached => "headwater; hit; detail=memcached",
        Tier::Store => "headwater; hit; detail=store",
    };
    headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// What players and edges may use, and need not: CMSD and `Server-Timing`.
fn hint(headers: &mut HeaderMap, media: &Media, event: &Event, outcome: Outcome, spent: Duration) {
    let held = (outcome == Outcome::Held).then_some(spent);
    told::put(headers, CMSD_STATIC, cmsd::fixed(&media.row, event, media.kind, held));
    told::put(headers, CMSD_DYNAMIC, cmsd::of_this_answer(&media.row, spent));
    headers.insert(SERVER_TIMING, timing(outcome, spent));
}

/// The value of `Server-Timing`, in milliseconds. In every answer and never the same, so written without the machinery
/// of `format!`.
fn timing(outcome: Outcome, spent: Duration) -> HeaderValue {
    let micros = u64::from(spent.subsec_micros()) + spent.as_secs() * 1_000_000;
    let mut text = Vec::with_capacity(32);
    text.extend_from_slice(if outcome == Outcome::Held { b"hold;dur=" } else { b"origin;dur=" });
    text.extend_from_slice(itoa::Buffer::new().format(micros / 1000).as_bytes());
    let thousandths = (micros % 1000) as u16;
    text.extend([b'.', digit(thousandths / 100), digit(thousandths / 10), digit(thousandths)]);
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| unreachable!("letters and digits"))
}

/// The last decimal digit of `number`.
fn digit(number: u16) -> u8 {
    b'0' + (number % 10) as u8
}

/// 200, 206 or 416.
fn send(response: &mut Response, media: Media, method: &Method, headers: &HeaderMap) {
    let size = media.row.size;
    let range = if method == Method::GET { requested(headers, &media.row) } else { Requested::All };
    let out = response.headers_mut();
    let (status, range) = match range {
        Requested::All => (StatusCode::OK, 0..size),
        Requested::One(range) => {
            let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            out.insert(header::CONTENT_RANGE, HeaderValue::try_from(value).unwrap_or_else(|_| unreachable!("digits")));
            (StatusCode::PARTIAL_CONTENT, range)
        }
        Requested::Beyond => {
            let value = format!("bytes */{size}");
            out.insert(header::CONTENT_RANGE, HeaderValue::try_from(value).unwrap_or_else(|_| unreachable!("digits")));
            out.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return;
        }
    };
    if range.end - range.start < size {
        out.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    }
    *response.status_mut() = status;
    if method == Method::GET {
        *response.body_mut() = media.body.slice(range).into();
    }
}

#[cfg(test)]
#[path = "answer/tests.rs"]
mod tests;
