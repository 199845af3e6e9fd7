//! For how long caches may keep an answer: `Cache-Control`, and what tells it more exactly than whole seconds do. Pure.

use headwater_model::decision::Ttl;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

const MAX_AGE_MS: HeaderName = HeaderName::from_static("headwater-max-age-ms");
/// nginx counts from the whole second in which an answer came, and keeps it to the end of the last one: up to a second
/// more than it was told. It obeys this rather than `Cache-Control`, and hands it on to nobody.
const ACCEL_EXPIRES: HeaderName = HeaderName::from_static("x-accel-expires");

/// Largest `max-age`: what RFC 9111 §1.2.2 lets caches take it for.
const SECONDS_MAX: u64 = 1 << 31;
/// Largest integer of a structured field (RFC 9651 §3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

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

impl Freshness {
    /// Adds the headers.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let (prefix, ttl) = match self {
            Self::Immutable => {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
                return;
            }
            Self::Never => {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                return;
            }
            Self::For(ttl) => ("", ttl),
            Self::PublicFor(ttl) => ("public, ", ttl),
        };
        let seconds = match ttl {
            Ttl::Seconds(seconds) => seconds,
            Ttl::Exact(millis) => {
                headers.insert(MAX_AGE_MS, millis.0.min(INTEGER_MAX).into());
                let seconds = millis.0 / 1000;
                headers.insert(ACCEL_EXPIRES, seconds.saturating_sub(1).min(SECONDS_MAX).into());
                seconds
            }
        };
        let value = format!("{prefix}max-age={}", seconds.min(SECONDS_MAX));
        headers.insert(header::CACHE_CONTROL, HeaderValue::try_from(value).unwrap_or_else(|_| unreachable!("digits")));
    }
}
