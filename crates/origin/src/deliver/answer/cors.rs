//! What lets pages of any origin read the answers (the Fetch standard's CORS protocol).

use headwater_wire::{Outbound, Response};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// The methods of this listener.
pub const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// Open to every page: segments are public, and a credential is never needed to read them.
pub(super) fn open(headers: &mut HeaderMap) {
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
    open(headers);
    headers.insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOWED));
    let requested = "Range, If-None-Match, CMCD-Request, CMCD-Object, CMCD-Session, CMCD-Status";
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(requested));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}
