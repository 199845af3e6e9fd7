//! The demo's buttons as HTTP: how the pipelines are, and what they shall do next. Served by the ops listener of a
//! demo only; a production origin has no such paths.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use headwater_wire::Problem;
use http::{HeaderValue, header};
use serde::Deserialize;

use crate::Rig;
use crate::fault::Fault;
use crate::pipeline::Line;

/// Where the rig will be once it has started: the listener that serves the controls is bound before the rig knows its
/// publish URL.
pub type Slot = Arc<OnceLock<Rig>>;

/// `GET /demo/status` and `POST /demo/pipelines/{p}/kill|revive|damage`. `damage` takes JSON or a query:
/// `{"fault": "short", "segments": 5}`; without `segments` until `{"fault": "none"}`.
pub fn controls(slot: Slot) -> Router {
    Router::new()
        .route("/demo/status", get(status))
        .route("/demo/pipelines/{pipeline}/kill", post(kill))
        .route("/demo/pipelines/{pipeline}/revive", post(revive))
        .route("/demo/pipelines/{pipeline}/damage", post(damage))
        .with_state(slot)
}

async fn status(State(slot): State<Slot>) -> Response {
    match rig(&slot) {
        Ok(rig) => json(&rig.status()),
        Err(refused) => refused.into_response(),
    }
}

async fn kill(State(slot): State<Slot>, Path(name): Path<String>) -> Response {
    with(&slot, &name, |line| {
        line.kill();
        Ok(())
    })
}

async fn revive(State(slot): State<Slot>, Path(name): Path<String>) -> Response {
    with(&slot, &name, |line| {
        line.revive();
        Ok(())
    })
}

/// What shall go wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    fault: Option<String>,
    ms: Option<u64>,
    segments: Option<u64>,
}

async fn damage(
    State(slot): State<Slot>,
    Path(name): Path<String>,
    query: Result<Query<Order>, axum::extract::rejection::QueryRejection>,
    body: Bytes,
) -> Response {
    with(&slot, &name, |line| {
        let order = if body.trim_ascii().is_empty() {
            query.map(|Query(order)| order).map_err(|error| error.body_text())
        } else {
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        };
        let order = order.map_err(|reason| invalid("fault", reason))?;
        match order.fault.as_deref() {
            None => return Err(invalid("fault", "say which, like {\"fault\": \"short\", \"segments\": 5}".into())),
            Some("none") => line.heal(),
            Some(word) => {
                let fault = Fault::parse(word, order.ms).map_err(|reason| invalid("fault", reason))?;
                line.damage(fault, order.segments);
            }
        }
        Ok(())
    })
}

fn invalid(field: &str, reason: String) -> Refused {
    Refused(Problem::new(422, "invalid-damage", "Invalid damage", reason).field(field))
}

/// Does something to a pipeline and answers how it is now.
fn with(slot: &Slot, name: &str, act: impl FnOnce(&Arc<Line>) -> Result<(), Refused>) -> Response {
    let done = rig(slot).and_then(|rig| {
        let line = rig.pipeline(name).ok_or_else(|| {
            let names: Vec<_> = rig.pipelines().iter().map(|line| line.name().as_str()).collect();
            let detail = format!("there is no pipeline `{name}`; there are {}", names.join(", "));
            Refused(Problem::new(404, "unknown-pipeline", "Unknown pipeline", detail).field("pipeline"))
        })?;
        act(line)?;
        Ok(line.status())
    });
    match done {
        Ok(status) => json(&status),
        Err(refused) => refused.into_response(),
    }
}

fn rig(slot: &Slot) -> Result<&Rig, Refused> {
    slot.get().ok_or_else(|| {
        let detail = "the pipelines are about to start; ask again in a moment";
        Refused(Problem::new(503, "starting", "Not started yet", detail).header(header::RETRY_AFTER, "1"))
    })
}

fn json(value: &impl serde::Serialize) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, serde_json::to_vec(value).unwrap_or_default()).into_response()
}

struct Refused(Problem);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.0.to_json().into());
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.0.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};
    use tower::ServiceExt;

    use super::*;
    use crate::testing::World;

    async fn call(router: &Router, method: Method, path: &str, body: &str) -> (u16, serde_json::Value) {
        let body = axum::body::Body::from(body.to_owned());
        let request = Request::builder().method(method).uri(path).body(body).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn the_buttons_do_what_they_say() {
        let world = World::start(&["a", "b"], &["v180"], |_| 201);
        let slot = Slot::default();
        let router = controls(Arc::clone(&slot));
        assert_eq!(call(&router, Method::GET, "/demo/status", "").await.0, 503);
        let _ = slot.set(world.rig.clone());

        let (status, killed) = call(&router, Method::POST, "/demo/pipelines/a/kill", "").await;
        assert_eq!((status, &killed["alive"]), (200, &false.into()));
        let (_, all) = call(&router, Method::GET, "/demo/status", "").await;
        assert_eq!((&all["pipelines"][0]["alive"], &all["pipelines"][1]["alive"]), (&false.into(), &true.into()));
        let (_, revived) = call(&router, Method::POST, "/demo/pipelines/a/revive", "").await;
        assert_eq!(revived["alive"], true);

        let (_, hurt) = call(&router, Method::POST, "/demo/pipelines/b/damage?fault=late&ms=700&segments=2", "").await;
        assert_eq!(hurt["damage"]["fault"], "late");
        let (_, hurt) = call(&router, Method::POST, "/demo/pipelines/b/damage", r#"{"fault": "short"}"#).await;
        assert_eq!((&hurt["damage"]["fault"], &hurt["damage"]["to"]), (&"short".into(), &serde_json::Value::Null));
        let (_, healed) = call(&router, Method::POST, "/demo/pipelines/b/damage?fault=none", "").await;
        assert_eq!(healed["damage"], serde_json::Value::Null);
    }

    #[tokio::test]
    async fn a_wrong_order_is_told_what_is_wrong() {
        let world = World::start(&["a"], &["v180"], |_| 201);
        let slot = Slot::default();
        let _ = slot.set(world.rig.clone());
        let router = controls(slot);
        for (path, status, word) in [
            ("/demo/pipelines/z/kill", 404, "`z`"),
            ("/demo/pipelines/a/damage", 422, "fault"),
            ("/demo/pipelines/a/damage?fault=loud", 422, "short, missing"),
            ("/demo/pipelines/a/damage?fault=short&ms=5", 422, "late"),
            ("/demo/pipelines/a/damage?colour=red", 422, "colour"),
        ] {
            let (got, problem) = call(&router, Method::POST, path, "").await;
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(got == status && detail.contains(word), "{path}: {got} {problem}");
        }
    }
}
