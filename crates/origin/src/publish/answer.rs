//! What a publisher is told.

use headwater_model::row::{Object, Row};
use headwater_store::{Published, StoreError};
use headwater_wire::{Outbound, Problem, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::control::ControlError;
use crate::publish::inspect::DEFECTS_HEADER;

/// The answer to an upload that the store has judged. `late`: after the segment's retry deadline.
pub fn published(published: &Published, late: bool) -> Response {
    match published {
        Published::Stored(row) => stored(StatusCode::CREATED, row, late),
        Published::Same(row) => stored(StatusCode::OK, row, false),
        Published::Final(row) => {
            let detail = "a sound candidate of this pipeline is stored and stays: caches hold it for a year; number a new segment instead";
            refused(409, "final-candidate", "The candidate is final", detail, row)
        }
        Published::Exists(row) => {
            let detail = "the object exists; leave out If-None-Match to replace what may be replaced";
            refused(412, "exists", "The object exists", detail, row)
        }
    }
}

fn stored(status: StatusCode, row: &Row, late: bool) -> Response {
    let mut response = Response::new(Outbound::Empty);
    *response.status_mut() = status;
    describe(response.headers_mut(), row);
    if late {
        response.headers_mut().insert("headwater-late", HeaderValue::from_static("?1"));
    }
    response
}

fn refused(status: u16, code: &'static str, title: &'static str, detail: &str, row: &Row) -> Response {
    let mut response: Response = Problem::new(status, code, title, detail).into();
    describe(response.headers_mut(), row);
    response
}

/// Which candidate this is about.
fn describe(headers: &mut HeaderMap, row: &Row) {
    let mut set = |name: http::HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if let Object::Segment { number, .. } = row.key.object {
        set(http::HeaderName::from_static("headwater-segment"), number.to_string());
    }
    set(http::HeaderName::from_static("headwater-pipeline"), row.key.pipeline.to_string());
    if !row.defects.is_empty() {
        set(http::HeaderName::from_static(DEFECTS_HEADER), row.defects.to_string());
    }
    set(header::ETAG, format!("\"{}\"", row.digest));
}

/// What the store's refusal means to a publisher.
pub fn store_problem(error: &StoreError) -> Problem {
    let detail = error.to_string();
    match error {
        StoreError::Full(_) => Problem::new(507, "store-full", "The store is full", detail),
        StoreError::Conflict { .. } => Problem::new(409, "conflict", "Changed meanwhile", detail),
        StoreError::Unavailable(_) | StoreError::Damaged(_) | StoreError::Gone => {
            Problem::new(503, "store-unavailable", "The store is unavailable", detail).header(header::RETRY_AFTER, "1")
        }
    }
}

/// What a refused change of an event means, on publish and ops alike.
pub fn control_problem(error: &ControlError) -> Problem {
    let detail = error.to_string();
    match error {
        ControlError::UnknownTenant(_) => Problem::new(404, "unknown-tenant", "Unknown tenant", detail),
        ControlError::UnknownEvent { .. } => Problem::new(404, "unknown-event", "Unknown event", detail),
        ControlError::Revision(headwater_model::event::RevisionError::Fixed { field }) => {
            Problem::new(409, "fixed-field", "The field is fixed once media is stored", detail).field(*field)
        }
        ControlError::Revision(_) => {
            Problem::new(409, "too-many-changes", "Too many changes", detail).field("pipelines")
        }
        ControlError::NothingToEnd => Problem::new(409, "nothing-to-end", "Nothing is published", detail),
        ControlError::TooManyEvents => Problem::new(429, "too-many-events", "Too many events", detail),
        ControlError::Invalid { field, .. } => Problem::new(422, "invalid-field", "Invalid field", detail).field(field),
        ControlError::Notify(_) => {
            Problem::new(422, "notification-refused", "Notification refused", detail).field("name")
        }
        ControlError::TooMany(_) => Problem::new(409, "too-many", "Too many", detail),
        ControlError::Quota(exceeded) => exceeded.problem(),
        ControlError::Store(error) => store_problem(error),
    }
}
