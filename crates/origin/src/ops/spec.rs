//! The OpenAPI document: generated from the handlers, so that a route cannot be served without being described. Adds
//! what no handler says by itself: that every refusal is a problem document.

use std::sync::{Arc, LazyLock};

use axum::Router;
use http::header;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{events, feed, invalidations, masks, notifications, status, timeline, watch};
use crate::Origin;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headwater ops API",
        description = "Events, status and health of a Headwater live origin. Errors are RFC 9457 problem documents.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(ProblemDocument))
)]
struct Spec;

/// Why a request was refused (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what wire::Problem writes; a test compares them")]
struct ProblemDocument {
    /// Stable, like `urn:headwater:problem:unknown-event`.
    r#type: String,
    /// The same for every problem of the type.
    title: String,
    /// The HTTP status.
    status: u16,
    /// This occurrence: the offending value and the next step.
    detail: String,
    /// The header, parameter or document field at fault.
    field: Option<String>,
}

/// The document, as text.
static TEXT: LazyLock<String> = LazyLock::new(|| parts().1.to_pretty_json().unwrap_or_default());

/// The OpenAPI document, as served.
#[must_use]
pub fn openapi() -> String {
    TEXT.clone()
}

/// Every route of the ops listener, and the document that describes them.
pub(super) fn parts() -> (Router<Arc<Origin>>, utoipa::openapi::OpenApi) {
    let (router, mut spec) = OpenApiRouter::with_openapi(Spec::openapi())
        .merge(events::router())
        .merge(masks::router())
        .merge(invalidations::router())
        .merge(notifications::router())
        .merge(timeline::router())
        .merge(status::router())
        .merge(watch::router())
        .merge(feed::router())
        .routes(routes!(document))
        .split_for_parts();
    for item in spec.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        operations.into_iter().flatten().for_each(name_problems);
    }
    (router, spec)
}

/// Gives every refusal that says nothing else the body that it has.
fn name_problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5']) && response.content.is_empty() {
            let body = Content::new(Some(Ref::from_schema_name("ProblemDocument")));
            response.content.insert("application/problem+json".into(), RefOr::T(body));
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, content_type = "application/json", body = Object)))]
async fn document() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], &TEXT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use headwater_wire::Problem;

    use super::*;

    #[test]
    fn every_route_of_the_router_is_in_the_document() {
        let (router, spec) = parts();
        // axum tells its routes only here.
        let debug = format!("{router:?}");
        let (_, node) = debug.split_once("node: Node { paths: ").expect("axum's Debug lists the paths");
        let (paths, _) = node.split_once('}').map(|_| node.split_once("} }").unwrap()).unwrap();
        let routed: BTreeSet<&str> = paths.split('"').filter(|text| text.starts_with('/')).collect();
        let described: BTreeSet<&str> = spec.paths.paths.keys().map(String::as_str).collect();
        assert!(routed.len() > 10, "{debug}");
        assert_eq!(routed, described);
    }

    #[test]
    fn a_refusal_has_the_fields_that_are_described() {
        let problem = Problem::new(422, "code", "Title", "detail").field("field").to_json();
        let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
        let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
        let described = &document["components"]["schemas"]["ProblemDocument"]["properties"];
        let keys = |object: &serde_json::Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(&problem), keys(described));
    }
}
