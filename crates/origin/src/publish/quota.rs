//! The tenant's quotas on the way of an upload. All that a head can tell is refused before the body is asked for.

use std::sync::Arc;

use headwater_model::row::{Object, Row};
use headwater_wire::Problem;

use super::{RENDITIONS_MAX, Upload, receive};
use crate::Origin;
use crate::config::TenantSpec;
use crate::live::Live;
use crate::quota::{Exceeded, Quota, Quotas, Reservation};
use crate::route::Route;
use crate::tail::Known;

/// The quotas of the route's tenant.
fn quotas(origin: &Origin, route: &Route) -> Quotas {
    origin.control.tenant(route.tenant.as_str()).map_or_else(Quotas::default, |(_, spec)| spec.quotas)
}

/// Whether an upload of `length` bytes can ever be stored.
pub(super) fn check_size(
    origin: &Origin,
    route: &Route,
    tenant: &TenantSpec,
    length: Option<u64>,
) -> Result<(), Problem> {
    let Some(length) = length else { return Ok(()) };
    if let Some((quota, most)) = tenant.quotas.largest().filter(|(_, most)| length > *most) {
        return Err(Exceeded::alone(quota, &route.tenant, most, Some(length)).problem());
    }
    if length > origin.config.body_bytes_max {
        return Err(receive::too_large(origin.config.body_bytes_max));
    }
    Ok(())
}

/// The largest body that is taken in, whatever its head told.
pub(super) fn limit(origin: &Origin, route: &Route) -> u64 {
    let server = origin.config.body_bytes_max;
    quotas(origin, route).largest().map_or(server, |(_, most)| most.min(server))
}

/// Names the quota where a body outgrew one.
pub(super) fn explain(origin: &Origin, route: &Route, problem: Problem) -> Problem {
    let largest = quotas(origin, route).largest().filter(|(_, most)| *most < origin.config.body_bytes_max);
    match largest {
        Some((quota, most)) if problem.status == http::StatusCode::PAYLOAD_TOO_LARGE => {
            Exceeded::alone(quota, &route.tenant, most, Some(most + 1)).problem()
        }
        _ => problem,
    }
}

/// Counts the upload against the tenant's rate.
pub(super) fn pass(origin: &Origin, route: &Route) -> Result<(), Problem> {
    let passed = origin.meter.pass(&route.tenant, &quotas(origin, route), origin.clock.monotonic());
    passed.map_err(|exceeded| exceeded.problem())
}

/// Whether the upload may make its event.
pub(super) fn check_events(origin: &Origin, route: &Route) -> Result<(), Problem> {
    let quotas = quotas(origin, route);
    if quotas.events.is_none() {
        return Ok(());
    }
    let used = origin.catalog.of_tenant(route.tenant.as_str()).len() as u64;
    quotas.one_more(Quota::Events, &route.tenant, used).map_err(|exceeded| exceeded.problem())
}

/// Whether the upload's rendition is there, or may be added.
pub(super) fn check_renditions(origin: &Origin, upload: &Upload) -> Result<(), Problem> {
    let (Object::Segment { rendition, .. } | Object::Init { rendition }) = &upload.object else { return Ok(()) };
    let used = match &upload.live {
        Some(live) if live.tail(rendition.as_str()).is_some() => return Ok(()),
        Some(live) => live.tails().len(),
        None if upload.event.document.rendition(rendition).is_some() => return Ok(()),
        None => upload.event.document.renditions.len(),
    };
    let quotas = quotas(origin, &upload.route);
    let one_more = quotas.one_more(Quota::Renditions, &upload.route.tenant, used as u64);
    one_more.map_err(|exceeded| exceeded.problem())?;
    if used < RENDITIONS_MAX {
        return Ok(());
    }
    let detail = format!("the event has {RENDITIONS_MAX} renditions; use other names or another event");
    Err(Problem::new(429, "too-many-renditions", "Too many renditions", detail).field("path"))
}

/// Takes the rendition's place among those of the event: of several new ones that come at once, only as many as the
/// quota has room for.
pub(super) fn claim_rendition(origin: &Origin, upload: &Upload, live: &Live) -> Result<(), Problem> {
    let (Object::Segment { rendition, .. } | Object::Init { rendition }) = &upload.object else { return Ok(()) };
    let quotas = quotas(origin, &upload.route);
    if quotas.renditions.is_none() || live.tail(rendition.as_str()).is_some() {
        return Ok(());
    }
    let _turn = origin.meter.turn(&upload.route.tenant);
    if live.tail(rendition.as_str()).is_none() {
        let one_more = quotas.one_more(Quota::Renditions, &upload.route.tenant, live.tails().len() as u64);
        one_more.map_err(|exceeded| exceeded.problem())?;
        live.tail_or_new(rendition);
    }
    Ok(())
}

/// Reserves room for the upload.
pub(super) fn reserve(origin: &Origin, upload: &Upload, length: Option<u64>) -> Result<Option<Reservation>, Problem> {
    let quotas = quotas(origin, &upload.route);
    let replaced = || upload.live.as_deref().and_then(|live| replaced(live, upload));
    let reserved =
        Arc::clone(&origin.meter).reserve((&upload.route.tenant, &upload.route.event), &quotas, length, replaced);
    reserved.map_err(|exceeded| exceeded.problem())
}

/// Bytes of the candidate whose place the upload takes. One of an old segment, which only the store knows, counts as
/// new until the store has found it to be the same.
fn replaced(live: &Live, upload: &Upload) -> Option<u64> {
    let own = |row: &&Row| row.key.pipeline == upload.pipeline;
    match &upload.object {
        Object::Loose { path } => live.loose(path).iter().find(own).map(|row| row.size),
        Object::Init { rendition } => {
            let inits = live.tail(rendition.as_str())?.inits();
            inits.iter().map(|init| &init.row).find(own).map(|row| row.size)
        }
        Object::Segment { rendition, number } => {
            let Known::Slot(Some(slot)) = live.tail(rendition.as_str())?.slot(*number) else { return None };
            slot.rows.iter().find(own).filter(|row| !row.is_removed()).map(|row| row.size)
        }
    }
}
