//! Flushes and invalidations: what caches must fetch anew (contract §7).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use headwater_model::invalidation::{INVALIDATIONS_MAX, Invalidation};
use headwater_model::{Pipeline, Region, Rendition};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Origin;
use crate::control::ControlError;
use crate::ops::events::{found, names, refused};
use crate::ops::masks::check_range;
use crate::ops::{Path, Refused, read};

pub(super) fn router() -> OpenApiRouter<Arc<Origin>> {
    OpenApiRouter::new().routes(routes!(flush)).routes(routes!(list, add))
}

/// What is to be fetched anew.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewInvalidation {
    /// The first number.
    from: u64,
    /// The last number; open if absent.
    #[serde(default)]
    to: Option<u64>,
    /// Only what came from this pipeline.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pipeline: Option<Pipeline>,
    /// Only what came through this region.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    region: Option<Region>,
    /// Only these renditions.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    renditions: Option<Vec<Rendition>>,
}

/// What edges fetch anew.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes model::Invalidation; a test compares them")]
struct InvalidationView {
    /// The event's revision by which it came: its name.
    rev: u64,
    /// The first number.
    from: u64,
    /// The last number; open if absent.
    to: Option<u64>,
    /// Only what came from this pipeline.
    pipeline: Option<String>,
    /// Only what came through this region.
    region: Option<String>,
    /// Only these renditions.
    renditions: Option<Vec<String>>,
}

/// A flush.
#[derive(Serialize, ToSchema)]
struct Flushed {
    /// Part of an edge's cache key from now on.
    cache_version: u64,
    /// The event's revision.
    rev: u64,
}

/// Everything of the event is to be fetched anew: its cache version grows.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/events/{event}/flush", tag = "invalidations",
    params(("tenant" = String, Path), ("event" = String, Path)),
    responses((status = 200, body = Flushed), (status = 404, description = "no such tenant or event"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn flush(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
) -> Result<Json<Flushed>, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let live = origin.control.change(&tenant, &event, |_, event| Ok(Some(event.flushed()))).await.map_err(refused)?;
    let now = live.event();
    tracing::info!(audit = true, %tenant, %event, rev = now.rev, cache_version = now.cache_version, "flushed");
    Ok(Json(Flushed { cache_version: now.cache_version, rev: now.rev }))
}

/// The invalidations since the last flush, oldest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/{event}/invalidations", tag = "invalidations",
    params(("tenant" = String, Path), ("event" = String, Path)),
    responses((status = 200, body = Vec<InvalidationView>),
        (status = 404, description = "no such tenant or event")))]
async fn list(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
) -> Result<Json<Vec<Invalidation>>, Refused> {
    Ok(Json(found(&origin, &tenant, &event)?.event().invalidations.clone()))
}

/// A range of segments is to be fetched anew, all of it or what came from one pipeline or through one region.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/events/{event}/invalidations", tag = "invalidations",
    params(("tenant" = String, Path), ("event" = String, Path)), request_body = NewInvalidation,
    responses((status = 200, body = InvalidationView),
        (status = 404, description = "no such tenant or event"), (status = 409, description = "too many; flush"),
        (status = 422, description = "a field breaks a rule"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn add(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Result<Json<Invalidation>, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let new: NewInvalidation = read(&body)?;
    check_range(new.from, new.to).map_err(refused)?;
    let NewInvalidation { from, to, pipeline, region, renditions } = new;
    let mut invalidation = Invalidation { rev: 0, from, to, pipeline, region, renditions };
    let changed = origin.control.change(&tenant, &event, |_, event| {
        if event.invalidations.len() >= INVALIDATIONS_MAX {
            return Err(ControlError::TooMany(format!(
                "there are {INVALIDATIONS_MAX} invalidations; flush does the work of all"
            )));
        }
        invalidation.rev = event.rev + 1;
        Ok(Some(event.next(|event| event.invalidations.push(invalidation.clone()))))
    });
    changed.await.map_err(refused)?;
    tracing::info!(audit = true, %tenant, %event, ?invalidation, "invalidated");
    Ok(Json(invalidation))
}
