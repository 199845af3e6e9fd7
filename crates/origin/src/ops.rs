//! The ops listener (contract §8): events, status, health, metrics, the OpenAPI page and the watch page. Small answers
//! only; it never carries media.

mod events;
mod feed;
mod invalidations;
mod masks;
pub(crate) mod notifications;
mod spec;
mod status;
mod timeline;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use headwater_wire::{Handler, Outbound, Problem, Request, Response};
use http::request::Parts;
use http::{HeaderValue, header};
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use crate::Origin;
pub use spec::openapi;

/// Largest request body: a document with a thousand renditions has some 60 KiB.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest answer: the metrics of a hundred events.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Answers operators.
pub struct Ops {
    router: Router,
}

impl Ops {
    /// With the routes of `extra` beside its own.
    #[must_use]
    pub fn new(origin: Arc<Origin>, extra: Router) -> Self {
        let router = spec::parts()
            .0
            .with_state(origin)
            .merge(extra)
            .fallback(not_found)
            .method_not_allowed_fallback(wrong_method);
        Self { router }
    }
}

/// Reads a JSON body whose fields are checked.
///
/// # Errors
/// 422 naming the field.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." || path == "?" { "body".to_owned() } else { path };
        let detail = format!("`{field}`: {}", error.into_inner());
        Problem::new(422, "invalid-field", "Invalid field", detail).field(field).into()
    })
}

async fn not_found(uri: http::Uri) -> Refused {
    let detail = format!("`{}` is no path of the ops API; see /openapi.json", uri.path());
    Problem::new(404, "unknown-path", "Unknown path", detail).into()
}

async fn wrong_method(method: http::Method) -> Refused {
    let detail = format!("{method} is not for this path; see /openapi.json");
    Problem::new(405, "wrong-method", "Wrong method", detail).into()
}

/// The names in a path; a refusal is a problem document, as all others are.
pub(crate) struct Path<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        let axum::extract::Path(names) =
            read.map_err(|rejection| Problem::new(400, "bad-path", "Bad path", rejection.body_text()).field("path"))?;
        Ok(Self(names))
    }
}

/// The parameters of a query; a refusal is a problem document.
pub(crate) struct Query<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        let axum::extract::Query(values) = read.map_err(|rejection| {
            Problem::new(422, "invalid-field", "Invalid field", rejection.body_text()).field("query")
        })?;
        Ok(Self(values))
    }
}

/// A problem as an axum answer.
pub(crate) struct Refused(Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        let json = self.0.to_json();
        let mut response = axum::response::Response::new(axum::body::Body::from(json));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.0.headers);
        response
    }
}

impl Handler for Ops {
    async fn handle(&self, mut request: Request) -> Response {
        let body = match request.body.collect(BODY_BYTES_MAX).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                let detail = format!("a request has at most {BODY_BYTES_MAX} bytes here");
                return Problem::new(413, "body-too-large", "The body is too large", detail).into();
            }
            Err(error) => return Problem::new(400, "body-cut-short", "No whole body", error.to_string()).into(),
        };
        let request = http::Request::from_parts(request.head, axum::body::Body::from(body));
        let (head, body) = match self.router.clone().oneshot(request).await {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        match axum::body::to_bytes(body, ANSWER_BYTES_MAX).await {
            Ok(bytes) => http::Response::from_parts(head, Outbound::from(bytes)),
            Err(error) => Problem::new(500, "internal", "Internal error", error.to_string()).into(),
        }
    }
}
