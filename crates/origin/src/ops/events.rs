//! Events: put, show, list, end, delete (contract §8).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use headwater_model::document::Document;
use headwater_model::event::Event;
use headwater_model::{EventName, Tenant};
use headwater_wire::Problem;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Origin;
use crate::control::{ControlError, Put};
use crate::live::Live;
use crate::ops::{Path, Refused};
use crate::publish::answer::control_problem;

pub(super) fn router() -> OpenApiRouter<Arc<Origin>> {
    OpenApiRouter::new().routes(routes!(show, put, delete)).routes(routes!(list)).routes(routes!(end))
}

/// An event as an operator sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Whose event.
    tenant: String,
    /// Its name.
    event: String,
    /// Counts every change of the event.
    rev: u64,
    /// Part of an edge's cache key.
    cache_version: u64,
    /// The first segment for which the newest `pipelines`, waits, `retry_deadline_ms` and `inspect` hold.
    effective_from: u64,
    /// The highest segment number stored; absent if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    highest_number: Option<u64>,
    /// Every rendition that is declared or has been published.
    renditions: Vec<String>,
    /// The newest document, every field written out (contract §3).
    #[schema(value_type = EventDocument)]
    document: serde_json::Value,
}

/// An event document. In a request every field is optional; protocol §3 says what each means.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes model::Document; a test compares them")]
struct EventDocument {
    /// RFC 3339.
    availability_start_time: String,
    segment: SegmentLength,
    start_number: u64,
    #[schema(required)]
    end_number: Option<u64>,
    /// In the order of preference.
    pipelines: Vec<String>,
    /// Path template of init segments.
    init: String,
    /// Path template of media segments.
    media: String,
    renditions: Vec<RenditionView>,
    publish_delay_ms: u64,
    hold_max_ms: u64,
    retry_deadline_ms: u64,
    prefer_wait_ms: u64,
    defect_wait_ms: u64,
    early_guard_ms: u64,
    publish_ahead_max_s: u64,
    dvr_window_s: u64,
    live_window_s: u64,
    /// `off`, `mark` or `reject`.
    inspect: String,
}

/// `duration / timescale` seconds.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a part of model::Document")]
struct SegmentLength {
    duration: u32,
    timescale: u32,
}

/// A declared rendition.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a part of model::Document")]
struct RenditionView {
    /// What `$RepresentationID$` stands for.
    id: String,
    /// Units a second of its media timeline.
    timescale: Option<u32>,
    /// Whether a segment is served while it is still being uploaded.
    #[schema(required = false)]
    low_latency: bool,
}

impl EventView {
    fn of(live: &Live) -> Self {
        let event: Arc<Event> = live.event();
        let highest_number = match live.published() {
            headwater_model::event::Published::Nothing => None,
            headwater_model::event::Published::UpTo(number) => Some(number),
        };
        let mut renditions: Vec<_> = live.tails().keys().map(ToString::to_string).collect();
        renditions.sort();
        Self {
            tenant: event.tenant.to_string(),
            event: event.name.to_string(),
            rev: event.rev,
            cache_version: event.cache_version,
            effective_from: event.effective_from(),
            highest_number,
            renditions,
            document: event.document.to_value(),
        }
    }
}

/// The names in a path, checked.
pub(super) fn names(tenant: &str, event: &str) -> Result<(Tenant, EventName), Refused> {
    let bad = |field: &str, error: headwater_model::name::NameError| {
        Refused::from(Problem::new(400, "bad-name", "Bad name", error.to_string()).field(field))
    };
    let tenant = Tenant::new(tenant).map_err(|error| bad("tenant", error))?;
    let event = EventName::new(event).map_err(|error| bad("event", error))?;
    Ok((tenant, event))
}

pub(super) fn refused(error: ControlError) -> Refused {
    control_problem(&error).into()
}

pub(super) fn found(origin: &Origin, tenant: &str, event: &str) -> Result<Arc<Live>, Refused> {
    let (tenant, event) = names(tenant, event)?;
    if origin.control.tenant(tenant.as_str()).is_none() {
        return Err(refused(ControlError::UnknownTenant(tenant.to_string())));
    }
    let live = origin.catalog.live(tenant.as_str(), event.as_str());
    live.ok_or_else(|| refused(ControlError::UnknownEvent { tenant: tenant.to_string(), event: event.to_string() }))
}

/// One event.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/{event}", tag = "events",
    params(("tenant" = String, Path), ("event" = String, Path)),
    responses((status = 200, body = EventView), (status = 404, description = "no such tenant or event")))]
async fn show(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
) -> Result<Json<EventView>, Refused> {
    Ok(Json(EventView::of(&*found(&origin, &tenant, &event)?)))
}

/// Makes an event or replaces its document. Idempotent.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/events/{event}", tag = "events",
    params(("tenant" = String, Path), ("event" = String, Path)),
    request_body(content = EventDocument, description = "an event document; every field is optional"),
    responses((status = 200, body = EventView, description = "replaced, or the same already"),
        (status = 201, body = EventView, description = "made"),
        (status = 404, description = "no such tenant"),
        (status = 409, description = "timing or template of stored media; the field is named"),
        (status = 422, description = "the document breaks a rule; the field is named"),
        (status = 507, description = "the tenant's quota of events or renditions is used up"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn put(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Result<impl IntoResponse, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let document = Document::from_json(&body).map_err(|invalid| {
        Problem::new(422, "invalid-event", "Invalid event document", invalid.to_string()).field(invalid.field)
    })?;
    let (live, put) = origin.control.put(&tenant, &event, document).await.map_err(refused)?;
    tracing::info!(audit = true, %tenant, %event, rev = live.event().rev, ?put, "event put");
    let status = if put == Put::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(EventView::of(&live))))
}

/// Deletes an event with its media. Idempotent.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/events/{event}", tag = "events",
    params(("tenant" = String, Path), ("event" = String, Path)),
    responses((status = 204, description = "gone"), (status = 404, description = "no such tenant"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn delete(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let existed = origin.control.delete(&tenant, &event).await.map_err(refused)?;
    tracing::info!(audit = true, %tenant, %event, existed, "event deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// The events of a tenant, by name.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events", tag = "events", params(("tenant" = String, Path)),
    responses((status = 200, body = Vec<EventView>), (status = 404, description = "no such tenant")))]
async fn list(State(origin): State<Arc<Origin>>, Path(tenant): Path<String>) -> Result<Json<Vec<EventView>>, Refused> {
    let (tenant, _) = names(&tenant, "any")?;
    if origin.control.tenant(tenant.as_str()).is_none() {
        return Err(refused(ControlError::UnknownTenant(tenant.to_string())));
    }
    Ok(Json(origin.catalog.of_tenant(tenant.as_str()).iter().map(|live| EventView::of(live)).collect()))
}

/// Ends an event with its highest stored segment. Idempotent.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/events/{event}/end", tag = "events",
    params(("tenant" = String, Path), ("event" = String, Path)),
    responses((status = 200, body = EventView), (status = 404, description = "no such tenant or event"),
        (status = 409, description = "nothing is published"),
        (status = 503, description = "the store does not answer; ask again")))]
async fn end(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
) -> Result<Json<EventView>, Refused> {
    let (tenant, event) = names(&tenant, &event)?;
    let live = origin.control.end(&tenant, &event).await.map_err(refused)?;
    tracing::info!(audit = true, %tenant, %event, end_number = ?live.event().document.end_number, "event ended");
    Ok(Json(EventView::of(&live)))
}
