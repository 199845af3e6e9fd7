//! The answer with a segment that is still arriving: all that is told of a stored one, but for what only its end tells.

use std::sync::Arc;

use headwater_model::Outcome;
use headwater_model::decision::Ttl;
use headwater_store::{Body, Tier};
use headwater_wire::Response;
use http::header;

use super::{Answer, Freshness, Media};
use crate::tail::Candidate;
use crate::tail::flight::Flight;

impl Answer {
    /// A candidate's bytes as they arrive, with the TTL of row 8.
    #[must_use]
    pub fn following(flight: Arc<Flight>, outcome: Outcome, ttl: Ttl) -> Self {
        let outcome = if flight.row.defects.is_empty() { outcome } else { Outcome::Defective };
        let row = Candidate::alone(flight.row.clone());
        let media = Some(Media { row, body: Body::default(), tier: Tier::Memory, kind: None });
        let freshness = Freshness::PublicFor(ttl);
        Self { freshness, media, flight: Some(flight), ..Self::refusal(outcome, ttl) }
    }
}

/// 200 without validators or a length: ranges and conditions go by what only the end will tell.
pub(super) fn follow(response: &mut Response, flight: &Arc<Flight>) {
    for unknown in [header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES, header::CONTENT_LENGTH] {
        response.headers_mut().remove(unknown);
    }
    *response.body_mut() = flight.flow.follow().into();
}
