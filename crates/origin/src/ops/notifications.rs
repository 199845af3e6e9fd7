//! Notifications: facts that ride on an event's responses (contract §6).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use headwater_model::event::Event;
use headwater_model::notification::{Source, Value};
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
    OpenApiRouter::new().routes(routes!(list, set)).routes(routes!(remove))
}

/// What is to be told.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewNotification {
    /// Its name: a key of a structured field.
    name: String,
    /// A string, a number or a boolean.
    #[schema(value_type = Object)]
    value: serde_json::Value,
    /// The segment from which on it holds; the next one if absent.
    #[serde(default)]
    from: Option<u64>,
}

/// What is told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct NotificationView {
    /// Its name.
    name: String,
    /// Its value.
    #[schema(value_type = Object)]
    value: serde_json::Value,
    /// The segment from which on it holds.
    from: u64,
    /// The revision by which it came.
    rev: u64,
}

/// The latest set.
pub(crate) fn latest(event: &Event) -> Vec<NotificationView> {
    let set = event.notifications.latest();
    let view = |change: &&headwater_model::notification::Change| {
        let value = change.value.as_ref()?.to_json();
        Some(NotificationView { name: change.name.clone(), value, from: change.number, rev: change.rev })
    };
    set.entries.iter().filter_map(view).collect()
}

/// The latest set.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/{event}/notifications", tag = "notifications",
    params(("tenant" = String, Path), ("event" = String, Path)),
    responses((status = 200, body = Vec<NotificationView>), (status = 404, description = "no such tenant or event")))]
async fn list(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
) -> Result<Json<Vec<NotificationView>>, Refused> {
    Ok(Json(latest(&found(&origin, &tenant, &event)?.event())))
}

/// Sets a notification from a segment on. The answer is the latest set.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/events/{event}/notifications", tag = "notifications",
    params(("tenant" = String, Path), ("event" = String, Path)), request_body = NewNotification,
    responses((status = 200, body = Vec<NotificationView>), (status = 404, description = "no such tenant or event"),
        (status = 422, description = "name, value or the set's size breaks a rule; the state is unchanged"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn set(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Result<Json<Vec<NotificationView>>, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let new: NewNotification = read(&body)?;
    let value = Value::from_json(&new.value)
        .map_err(|problem| refused(ControlError::Invalid { field: "value".into(), problem }))?;
    let wall = origin.clock.wall();
    let changed = origin.control.change(&tenant, &event, |live, event| {
        let number = new.from.unwrap_or_else(|| event.document.next_number(wall));
        let oldest = live.oldest_number(wall);
        let state = event.notifications.with(&new.name, &value, number, event.rev + 1, Source::Operator, oldest)?;
        Ok(state.map(|state| event.next(|event| event.notifications = state)))
    });
    let live = changed.await.map_err(refused)?;
    tracing::info!(audit = true, %tenant, %event, rev = live.event().rev, name = new.name, ?value, from = ?new.from, "notification set");
    Ok(Json(latest(&live.event())))
}

/// Removes a notification from the next segment on, never before its own. Idempotent.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/events/{event}/notifications/{name}", tag = "notifications",
    params(("tenant" = String, Path), ("event" = String, Path), ("name" = String, Path)),
    responses((status = 204, description = "removed"), (status = 404, description = "no such tenant or event"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn remove(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event, name)): Path<(String, String, String)>,
) -> Result<StatusCode, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let wall = origin.clock.wall();
    let changed = origin.control.change(&tenant, &event, |live, event| {
        let (next, oldest) = (event.document.next_number(wall), live.oldest_number(wall));
        let state = event.notifications.without(&name, next, event.rev + 1, oldest)?;
        Ok(state.map(|state| event.next(|event| event.notifications = state)))
    });
    let live = changed.await.map_err(refused)?;
    tracing::info!(audit = true, %tenant, %event, rev = live.event().rev, name, "notification removed");
    Ok(StatusCode::NO_CONTENT)
}
