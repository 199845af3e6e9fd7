//! The feed for other nodes of the cluster. Frames, not JSON: [`crate::feed::frame`] says which.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_wire::Problem;
use http::header;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Origin;
use crate::feed::follow::{GAP_HEADER, PLACE_HEADER};
use crate::feed::{Batch, POLL, Place};
use crate::ops::{Query, Refused};

pub(super) fn router() -> OpenApiRouter<Arc<Origin>> {
    OpenApiRouter::new().routes(routes!(feed))
}

/// Where a follower stands; both or none.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Standing {
    /// Which life of the process, as the last answer said.
    boot: Option<u64>,
    /// The next frame, as the last answer said.
    next: Option<u64>,
}

/// What this node has committed, and what is arriving at it, since the place of the last answer: for other nodes of the
/// cluster. Held until there is something, 25 s at most.
#[utoipa::path(get, path = "/v1/feed", tag = "cluster", params(Standing),
    responses((status = 200, description = "frames; `Headwater-Feed-Place` is where to go on", content_type = "application/octet-stream"),
        (status = 404, description = "this node's store is its own"),
        (status = 422, description = "half a place")))]
async fn feed(State(origin): State<Arc<Origin>>, Query(standing): Query<Standing>) -> Result<Response, Refused> {
    let Some(feed) = &origin.feed else {
        let detail = "the store of this node is its own, so nobody has to hear of it; see `engine` in [store]";
        return Err(Problem::new(404, "no-feed", "No feed", detail).into());
    };
    let place = match (standing.boot, standing.next) {
        (Some(boot), Some(next)) => Some(Place { boot, next }),
        (None, None) => None,
        _ => {
            let detail = "`boot` and `next` go together: give both as the last answer's Headwater-Feed-Place has them";
            return Err(Problem::new(422, "invalid-field", "Invalid field", detail).field("boot").into());
        }
    };
    let batch = tokio::select! {
        batch = feed.since(place) => batch,
        () = origin.clock.sleep(POLL) => nothing(place.unwrap_or_else(|| feed.place())),
        () = origin.drain.started() => nothing(place.unwrap_or_else(|| feed.place())),
    };
    let Batch { place: Place { boot, next }, has_gap, frames } = batch;
    let headers = [
        (PLACE_HEADER, format!("{boot}:{next}")),
        (GAP_HEADER, if has_gap { "?1" } else { "?0" }.to_owned()),
        (header::CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (header::CACHE_CONTROL.as_str(), "no-store".to_owned()),
    ];
    Ok((headers, frames).into_response())
}

fn nothing(place: Place) -> Batch {
    Batch { place, has_gap: false, frames: bytes::Bytes::new() }
}
