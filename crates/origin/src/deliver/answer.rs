//! The answer to a reader: headers, conditions, ranges (RFC 9110), always with an explicit `Cache-Control`.

mod flight;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use headwater_media::init::TrackKind;
use headwater_model::decision::Ttl;
use headwater_model::event::Event;
use headwater_model::row::{Object, Row};
use headwater_model::{Outcome, Pipeline, Timestamp};
use headwater_store::{Body, StoreError};
use headwater_wire::{Outbound, Response};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::Origin;
use crate::admit::Refusal;
use crate::deliver::cmsd;
use crate::metrics::Class;
use crate::publish::inspect::DEFECTS_HEADER;
use crate::tail::Candidate;
use crate::tail::flight::Flight;

/// The methods of this listener.
pub const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// For how long an answer with media may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// For ever: the choice has closed.
    Immutable,
    /// For a while.
    For(Ttl),
    /// For a while, by shared caches too although a credential may have been sent.
    PublicFor(Ttl),
    /// Not at all.
    Never,
}

/// What a reader gets.
pub struct Answer {
    /// The one word for it.
    pub outcome: Outcome,
    /// What kind of request it was.
    pub class: Class,
    freshness: Freshness,
    media: Option<Media>,
    /// Media that is still arriving.
    flight: Option<Arc<Flight>>,
    /// A document made for this answer.
    json: Option<String>,
    event: Option<Arc<Event>>,
}

struct Media {
    row: Candidate,
    body: Body,
    /// `memory` or `store`, for `Cache-Status`.
    source: &'static str,
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
async fn read(origin: &Origin, row: &Row, class: Class) -> Result<Body, ReadError> {
    let started = origin.clock.monotonic();
    let permit = origin.admission.admit(class, row.size, started).map_err(ReadError::Refused)?;
    let body = origin.store.read(row, 0..row.size).await;
    drop(permit);
    let now = origin.clock.monotonic();
    origin.admission.sample(now.saturating_sub(started), now);
    Ok(body?)
}

impl Answer {
    /// An answer without media.
    #[must_use]
    pub fn refusal(outcome: Outcome, ttl: Ttl) -> Self {
        let freshness = Freshness::For(ttl);
        Self { outcome, class: Class::Unknown, freshness, media: None, flight: None, json: None, event: None }
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
        let (body, source) = match origin.store.hot(&row) {
            Some(body) => (body, "memory"),
            None if method == Method::HEAD => (Body::default(), "store"),
            None => (read(origin, &row, class).await?, "store"),
        };
        let media = Some(Media { row, body, source, kind: None });
        Ok(Self { outcome, class, freshness, media, flight: None, json: None, event: None })
    }

    /// A document that no cache may keep.
    #[must_use]
    pub fn json(json: String) -> Self {
        let (outcome, class, freshness) = (Outcome::Hit, Class::Unknown, Freshness::Never);
        Self { outcome, class, freshness, media: None, flight: None, json: Some(json), event: None }
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
        self.row().map(|row| &row.key.pipeline)
    }

    /// The response to a request of `method` with `headers` that took `spent` to answer.
    #[must_use]
    pub fn into_response(self, method: &Method, headers: &HeaderMap, spent: Duration) -> Response {
        let mut response = Response::new(Outbound::Empty);
        let out = response.headers_mut();
        out.reserve(24);
        freshness(out, self.freshness);
        out.insert(OUTCOME, HeaderValue::from_static(self.outcome.word()));
        if let Some(event) = &self.event {
            out.insert(CACHE_VERSION, event.cache_version.into());
            out.insert(NOTIFICATIONS, notifications(event, self.row()));
        }
        cors(out);
        if let Some(json) = self.json {
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
        describe(out, &media);
        if let Some(event) = &self.event {
            hint(out, &media, event, self.outcome, spent);
        }
        match condition(headers, &media.row) {
            Condition::NotModified => {
                out.remove(header::CONTENT_TYPE);
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
            Condition::Failed => *response.status_mut() = StatusCode::PRECONDITION_FAILED,
            Condition::Send => send(&mut response, media, method, headers),
        }
        response
    }
}

/// What rides on the answer: on a segment what holds at it, else the latest set (contract §6).
fn notifications(event: &Event, row: Option<&Row>) -> HeaderValue {
    if event.notifications.is_empty() {
        return HeaderValue::from_static("rev=0");
    }
    let set = match row.map(|row| &row.key.object) {
        Some(Object::Segment { number, .. }) => event.notifications.as_of(*number),
        _ => event.notifications.latest(),
    };
    HeaderValue::try_from(set.to_string()).unwrap_or_else(|_| HeaderValue::from_static("rev=0"))
}

const NOTIFICATIONS: HeaderName = HeaderName::from_static("headwater-notifications");
const OUTCOME: HeaderName = HeaderName::from_static("headwater-outcome");
const MAX_AGE_MS: HeaderName = HeaderName::from_static("headwater-max-age-ms");
const CACHE_VERSION: HeaderName = HeaderName::from_static("headwater-cache-version");
const SEGMENT: HeaderName = HeaderName::from_static("headwater-segment");
const PIPELINE: HeaderName = HeaderName::from_static("headwater-pipeline");
const REGION: HeaderName = HeaderName::from_static("headwater-region");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// Largest `max-age`: what RFC 9111 §1.2.2 lets caches take it for.
const SECONDS_MAX: u64 = 1 << 31;
/// Largest integer of a structured field (RFC 9651 §3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

fn freshness(headers: &mut HeaderMap, freshness: Freshness) {
    let (prefix, ttl) = match freshness {
        Freshness::Immutable => {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
            return;
        }
        Freshness::Never => {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return;
        }
        Freshness::For(ttl) => ("", ttl),
        Freshness::PublicFor(ttl) => ("public, ", ttl),
    };
    let seconds = match ttl {
        Ttl::Seconds(seconds) => seconds,
        Ttl::Exact(millis) => {
            headers.insert(MAX_AGE_MS, millis.0.min(INTEGER_MAX).into());
            millis.0 / 1000
        }
    };
    let value = format!("{prefix}max-age={}", seconds.min(SECONDS_MAX));
    headers.insert(header::CACHE_CONTROL, HeaderValue::try_from(value).unwrap_or_else(|_| unreachable!("digits")));
}

/// Open to every page: segments are public, and a credential is never needed to read them.
fn cors(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.insert(TIMING_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

const EXPOSED: &str = "Date, ETag, Age, Content-Length, Content-Range, Cache-Status, Server-Timing, CMSD-Static, \
    CMSD-Dynamic, Headwater-Outcome, Headwater-Max-Age-Ms, Headwater-Segment, Headwater-Pipeline, Headwater-Region, \
    Headwater-Cache-Version, Headwater-Defects, Headwater-Notifications";

/// What a page may ask for.
#[must_use]
pub fn preflight() -> Response {
    let mut response = Response::new(Outbound::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    cors(headers);
    headers.insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOWED));
    let requested = "Range, If-None-Match, CMCD-Request, CMCD-Object, CMCD-Session, CMCD-Status";
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(requested));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

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

/// The headers that 200, 206, 304 and 416 share.
fn describe(headers: &mut HeaderMap, media: &Media) {
    let row = &media.row;
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, &etag(row));
    set(header::LAST_MODIFIED, &row.published.to_http_date());
    set(header::CONTENT_TYPE, &row.content_type);
    set(PIPELINE, row.key.pipeline.as_str());
    set(REGION, row.region.as_str());
    if !row.defects.is_empty() {
        set(HeaderName::from_static(DEFECTS_HEADER), &row.defects.to_string());
    }
    set(
        CACHE_STATUS,
        if media.source == "memory" { "headwater; hit; detail=memory" } else { "headwater; hit; detail=store" },
    );
    if let Object::Segment { number, .. } = row.key.object {
        headers.insert(SEGMENT, number.into());
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// What players and edges may use, and need not: CMSD and `Server-Timing`.
fn hint(headers: &mut HeaderMap, media: &Media, event: &Event, outcome: Outcome, spent: Duration) {
    let held = (outcome == Outcome::Held).then_some(spent);
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("cmsd-static", cmsd::fixed(&media.row, event, media.kind, held));
    set("cmsd-dynamic", cmsd::of_this_answer(&media.row, spent));
    let word = if held.is_some() { "hold" } else { "origin" };
    set("server-timing", format!("{word};dur={:.3}", spent.as_secs_f64() * 1000.0));
}

fn etag(row: &Row) -> String {
    format!("\"{}\"", row.digest)
}

enum Condition {
    Send,
    NotModified,
    Failed,
}

/// RFC 9110 §13.2.2: `If-Match`, then `If-None-Match` or else `If-Modified-Since`.
fn condition(headers: &HeaderMap, row: &Row) -> Condition {
    if headers.contains_key(header::IF_MATCH) && !names(headers, header::IF_MATCH, row) {
        return Condition::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        return if names(headers, header::IF_NONE_MATCH, row) { Condition::NotModified } else { Condition::Send };
    }
    let since =
        headers.get(header::IF_MODIFIED_SINCE).and_then(|value| Timestamp::parse_http_date(value.to_str().ok()?));
    match since {
        Some(since) if row.published.seconds() <= since.seconds() => Condition::NotModified,
        _ => Condition::Send,
    }
}

/// Whether a list of entity tags names the row, by weak comparison; `*` names anything.
fn names(headers: &HeaderMap, field: HeaderName, row: &Row) -> bool {
    let tag = etag(row);
    let values = headers.get_all(field).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
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
    out.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    *response.status_mut() = status;
    if method == Method::GET {
        *response.body_mut() = media.body.slice(range).into();
    }
}

enum Requested {
    All,
    One(Range<u64>),
    Beyond,
}

/// The range that a request asks for. Several ranges, a field that does not parse and an `If-Range` that does not match
/// mean all of it.
fn requested(headers: &HeaderMap, row: &Row) -> Requested {
    let Some(value) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else { return Requested::All };
    if let Some(condition) = headers.get(header::IF_RANGE) {
        let is_same = match condition.to_str() {
            Ok(tag) if tag.starts_with('"') => tag == etag(row),
            Ok(date) => Timestamp::parse_http_date(date).is_some_and(|date| date.seconds() == row.published.seconds()),
            Err(_) => false,
        };
        if !is_same {
            return Requested::All;
        }
    }
    let unit = value.get(..6).is_some_and(|unit| unit.eq_ignore_ascii_case("bytes="));
    let Some((first, last)) = value.get(6..).filter(|_| unit).and_then(|spec| spec.trim().split_once('-')) else {
        return Requested::All;
    };
    let number = |text: &str| {
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(row.size),
        (Some(first), None) if last.is_empty() => first..row.size,
        (None, Some(suffix)) if first.is_empty() => row.size.saturating_sub(suffix)..row.size,
        _ => return Requested::All,
    };
    if range.start < range.end { Requested::One(range) } else { Requested::Beyond }
}

#[cfg(test)]
#[path = "answer/tests.rs"]
mod tests;
