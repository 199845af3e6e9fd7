//! Conditions and ranges of a request for stored bytes (RFC 9110 §13, §14). Pure.

use std::ops::Range;

use headwater_model::Timestamp;
use headwater_model::row::Row;
use http::HeaderMap;
use http::header::{self, HeaderName};

/// The strong entity tag of a row's bytes.
pub(crate) fn etag(row: &Row) -> String {
    format!("\"{}\"", row.digest)
}

/// What a request's conditions come to.
pub(super) enum Condition {
    Send,
    NotModified,
    Failed,
}

/// RFC 9110 §13.2.2: `If-Match`, then `If-None-Match` or else `If-Modified-Since`.
pub(super) fn condition(headers: &HeaderMap, row: &Row) -> Condition {
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

/// What a request asks for of the bytes.
pub(super) enum Requested {
    All,
    One(Range<u64>),
    Beyond,
}

/// The range that a request asks for. Several ranges, a field that does not parse and an `If-Range` that does not match
/// mean all of it.
pub(super) fn requested(headers: &HeaderMap, row: &Row) -> Requested {
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
