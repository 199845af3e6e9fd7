//! Masks: ranges of one pipeline's segments that are not served (contract §7).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use headwater_model::mask::{MASKS_MAX, Mask};
use headwater_model::{Pipeline, Rendition};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Origin;
use crate::control::ControlError;
use crate::ops::events::{found, names, refused};
use crate::ops::{Path, Refused, read};

pub(super) fn router() -> OpenApiRouter<Arc<Origin>> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(remove))
}

/// What to hide.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMask {
    /// Whose segments.
    #[schema(value_type = String)]
    pipeline: Pipeline,
    /// Of which renditions; all of them if absent.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    renditions: Option<Vec<Rendition>>,
    /// The first number.
    from: u64,
    /// The last number; open if absent.
    #[serde(default)]
    to: Option<u64>,
    /// Why, for people.
    #[serde(default)]
    reason: String,
}

/// What is hidden.
#[derive(Serialize, ToSchema)]
struct MaskView {
    /// Its name, for its removal.
    id: u64,
    /// Whose segments.
    pipeline: String,
    /// Of which renditions; all of them if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    renditions: Option<Vec<String>>,
    /// The first number.
    from: u64,
    /// The last number; open if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
    /// Why, for people.
    reason: String,
}

impl From<&Mask> for MaskView {
    fn from(mask: &Mask) -> Self {
        let renditions = mask.renditions.as_ref().map(|all| all.iter().map(ToString::to_string).collect());
        let (pipeline, reason) = (mask.pipeline.to_string(), mask.reason.clone());
        Self { id: mask.id, pipeline, renditions, from: mask.from, to: mask.to, reason }
    }
}

/// A range must not end before it begins.
pub(super) fn check_range(from: u64, to: Option<u64>) -> Result<(), ControlError> {
    match to.filter(|to| *to < from) {
        None => Ok(()),
        Some(to) => {
            let problem = format!("{to} lies before from ({from}); write at least that, or leave it out");
            Err(ControlError::Invalid { field: "to".into(), problem })
        }
    }
}

/// The masks in force.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/{event}/masks", tag = "masks",
    params(("tenant" = String, Path), ("event" = String, Path)),
    responses((status = 200, body = Vec<MaskView>), (status = 404, description = "no such tenant or event")))]
async fn list(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
) -> Result<Json<Vec<MaskView>>, Refused> {
    let live = found(&origin, &tenant, &event)?;
    Ok(Json(live.event().masks.iter().map(MaskView::from).collect()))
}

/// Hides a range of one pipeline's segments; in force at once, held requests included. What caches hold already is for
/// an invalidation to remove, afterwards.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/events/{event}/masks", tag = "masks",
    params(("tenant" = String, Path), ("event" = String, Path)), request_body = NewMask,
    responses((status = 200, body = MaskView), (status = 404, description = "no such tenant or event"),
        (status = 409, description = "too many masks"), (status = 422, description = "a field breaks a rule"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn add(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Result<Json<MaskView>, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let new: NewMask = read(&body)?;
    check_range(new.from, new.to).map_err(refused)?;
    let mut made = None;
    let changed = origin.control.change(&tenant, &event, |_, event| {
        if event.masks.len() >= MASKS_MAX {
            return Err(ControlError::TooMany(format!(
                "the event has {MASKS_MAX} masks; remove some, or mask a longer range"
            )));
        }
        if !event.rules.iter().any(|rules| rules.rules.pipelines.contains(&new.pipeline)) {
            let problem = format!("the event has no pipeline `{}`", new.pipeline);
            return Err(ControlError::Invalid { field: "pipeline".into(), problem });
        }
        let NewMask { pipeline, renditions, from, to, reason } = new.clone();
        let mask = Mask { id: event.rev + 1, pipeline, renditions, from, to, reason };
        made = Some(MaskView::from(&mask));
        Ok(Some(event.next(|event| event.masks.push(mask))))
    });
    let live = changed.await.map_err(refused)?;
    let Some(mask) = made else { return Err(refused(ControlError::TooMany("no mask was made".into()))) };
    tracing::info!(audit = true, %tenant, %event, rev = live.event().rev, mask = mask.id, pipeline = mask.pipeline, from = mask.from, to = ?mask.to, reason = mask.reason, "mask added");
    Ok(Json(mask))
}

/// Lifts a mask; the old choice is back at once. Idempotent.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/events/{event}/masks/{id}", tag = "masks",
    params(("tenant" = String, Path), ("event" = String, Path), ("id" = u64, Path)),
    responses((status = 204, description = "lifted"), (status = 404, description = "no such tenant or event"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn remove(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event, id)): Path<(String, String, u64)>,
) -> Result<StatusCode, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let changed = origin.control.change(&tenant, &event, |_, event| {
        let is_there = event.masks.iter().any(|mask| mask.id == id);
        Ok(is_there.then(|| event.next(|event| event.masks.retain(|mask| mask.id != id))))
    });
    let live = changed.await.map_err(refused)?;
    tracing::info!(audit = true, %tenant, %event, rev = live.event().rev, mask = id, "mask removed");
    Ok(StatusCode::NO_CONTENT)
}
