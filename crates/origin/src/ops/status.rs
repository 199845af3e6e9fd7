//! Health, status and metrics (contract §1, §8, §9).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use headwater_model::Tenant;
use headwater_store::{Shared, Usage};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Origin;
use crate::config::{EngineKind, Role};

pub(super) fn router() -> OpenApiRouter<Arc<Origin>> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(status))
}

/// What runs here.
#[derive(Serialize, ToSchema)]
struct Status {
    /// The version of the program.
    version: &'static str,
    /// The region of this node.
    region: String,
    /// What the process does: `all`, `publish` or `deliver`.
    role: Role,
    /// The engine that keeps media and events: `log` or `cassandra`.
    engine: EngineKind,
    /// The publish listener's URL; nothing in a process that only delivers.
    publish: Option<String>,
    /// The deliver listener's URL; nothing in a process that only publishes.
    deliver: Option<String>,
    /// The ops listener's URL.
    ops: String,
    /// The tenants.
    tenants: Vec<String>,
    /// Events that are alive.
    events: usize,
    /// What each tenant uses, and may use.
    usage: Vec<TenantUsage>,
    /// Bytes of upload buffers in use: by uploads, the live window and slow readers.
    slab_bytes: usize,
    /// Whether the server is draining.
    draining: bool,
    /// The clock by which segments are due.
    time: String,
}

/// What a tenant uses.
#[derive(Serialize, ToSchema)]
struct TenantUsage {
    /// Who.
    tenant: String,
    /// Events that are alive.
    events: u64,
    /// Objects stored, of all pipelines; media that has expired does not count.
    objects: u64,
    /// Their bytes.
    bytes: u64,
    /// The tenant's quotas by their configuration keys; those that are not set are left out.
    quotas: BTreeMap<&'static str, u64>,
}

impl TenantUsage {
    fn of(origin: &Origin, name: &Tenant) -> Option<Self> {
        let (_, spec) = origin.control.tenant(name.as_str())?;
        let events = origin.catalog.of_tenant(name.as_str()).len() as u64;
        let Usage { objects, bytes } = origin.meter.stored(name);
        let quotas = spec.quotas.all().into_iter().filter_map(|(quota, most)| Some((quota.key(), most?)));
        Some(Self { tenant: name.to_string(), events, objects, bytes, quotas: quotas.collect() })
    }
}

/// The process is up.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// The node can publish and deliver.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200), (status = 503, description = "draining, or the store does not answer")))]
async fn readyz(State(origin): State<Arc<Origin>>) -> (StatusCode, &'static str) {
    if origin.drain.has_started() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    // A shared store is asked all the time; who probes must not ask it for more.
    let answers = match origin.store.shared() {
        Some(shared) => shared.is_current(),
        None => origin.store.entries().await.is_ok(),
    };
    if answers { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n") }
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, content_type = "text/plain")))]
async fn metrics(State(origin): State<Arc<Origin>>) -> ([(header::HeaderName, &'static str); 1], String) {
    origin.metrics.caches(origin.store.caches());
    origin.metrics.hedges(origin.store.shared().map_or(0, Shared::hedges));
    origin.metrics.volume(origin.store.volume().unwrap_or_default());
    origin.admission.report(&origin.metrics, origin.clock.monotonic());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], origin.metrics.render())
}

/// What runs here.
#[utoipa::path(get, path = "/v1/status", tag = "health", responses((status = 200, body = Status)))]
async fn status(State(origin): State<Arc<Origin>>) -> Json<Status> {
    let addresses = origin.addresses;
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        region: origin.config.region.to_string(),
        role: origin.config.role,
        engine: origin.config.store.engine,
        publish: addresses.publish.map(|address| format!("http://{address}")),
        deliver: addresses.deliver.map(|address| format!("http://{address}")),
        ops: format!("http://{}", addresses.ops),
        tenants: origin.control.tenants().map(ToString::to_string).collect(),
        events: origin.catalog.count(),
        usage: origin.control.tenants().filter_map(|tenant| TenantUsage::of(&origin, tenant)).collect(),
        slab_bytes: origin.pool.used_bytes(),
        draining: origin.drain.has_started(),
        time: origin.clock.wall().to_rfc3339(),
    })
}
