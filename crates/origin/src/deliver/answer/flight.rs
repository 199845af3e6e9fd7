//! The answer with a segment that is still arriving: what is known of a stored one at its end is not told.

use std::sync::Arc;

use headwater_model::decision::Ttl;
use headwater_model::{Outcome, Row};
use headwater_store::Body;
use headwater_wire::Response;
use http::header;

use super::{Answer, Freshness, Media, describe};
use crate::metrics::Class;
use crate::tail::Candidate;
use crate::tail::flight::Flight;

impl Answer {
    /// A candidate's bytes as they arrive, with the TTL of row 8.
    #[must_use]
    pub fn following(flight: Arc<Flight>, outcome: Outcome, ttl: Ttl) -> Self {
        let freshness = Freshness::For(ttl);
        let outcome = if flight.row.defects.is_empty() { outcome } else { Outcome::Defective };
        Self { outcome, class: Class::Unknown, freshness, media: None, flight: Some(flight), json: None, event: None }
    }

    /// The record of what is served.
    pub(super) fn row(&self) -> Option<&Row> {
        let stored = self.media.as_ref().map(|media| &*media.row);
        stored.or_else(|| self.flight.as_ref().map(|flight| &flight.row))
    }
}

/// 200 without validators or a length: ranges and conditions go by what only the end will tell.
pub(super) fn follow(response: &mut Response, flight: &Arc<Flight>) {
    let row = Candidate::alone(flight.row.clone());
    describe(response.headers_mut(), &Media { row, body: Body::default(), source: "memory", kind: None });
    for unknown in [header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES] {
        response.headers_mut().remove(unknown);
    }
    *response.body_mut() = flight.flow.follow().into();
}
