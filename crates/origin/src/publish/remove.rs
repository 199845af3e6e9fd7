//! DELETE: removes a loose object; for a tenant with `honor_delete` segments and init segments too (contract §4).

use headwater_model::row::{Key, Object};
use headwater_store::StoreError;
use headwater_wire::limits::DRAIN_BYTES_MAX;
use headwater_wire::{Outbound, Problem, Request, Response};

use crate::Origin;
use crate::publish::{admit, answer, refuse};
use crate::route;

/// DELETE: removes what may be removed; whatever else it names stays and the answer is the same (contract §4).
pub(super) async fn delete(origin: &Origin, mut request: Request) -> Response {
    let removed = remove(origin, &request).await;
    match removed {
        Ok(()) => {
            request.body.discard(DRAIN_BYTES_MAX).await;
            let mut response = Response::new(Outbound::Empty);
            *response.status_mut() = http::StatusCode::NO_CONTENT;
            response
        }
        Err(problem) => refuse(problem, &request.head.headers, &mut request.body).await,
    }
}

async fn remove(origin: &Origin, request: &Request) -> Result<(), Problem> {
    let (route, pipeline) = admit(origin, &request.head, None, request.peer.ip())?;
    let Some(live) = origin.catalog.live(route.tenant.as_str(), route.event.as_str()) else { return Ok(()) };
    let event = live.event();
    let target = route::target(&event.document, &route.path, |rendition| live.timescale(rendition));
    let honored = origin.control.tenant(route.tenant.as_str()).is_some_and(|(_, spec)| spec.honor_delete);
    let Some(object) = target.object().filter(|object| honored || matches!(object, Object::Loose { .. })) else {
        return Ok(());
    };
    let rules = match object {
        Object::Segment { number, .. } => event.rules_at(number),
        Object::Init { .. } | Object::Loose { .. } => &event.document.rules,
    };
    let pipeline = pipeline.unwrap_or_else(|| rules.pipelines[0].clone());
    match origin.store.remove(Key { event: event.id, object, pipeline }).await {
        Ok(()) | Err(StoreError::Gone) => Ok(()),
        Err(error) => Err(answer::store_problem(&error)),
    }
}
