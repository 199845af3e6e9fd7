//! Errors as RFC 9457 problem documents: a stable type, what is wrong, the field at fault and what to do.

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{Outbound, Response};

/// A refusal that a client can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable end of `type`, like `final-candidate`.
    pub code: &'static str,
    /// The short, constant name of the problem.
    pub title: &'static str,
    /// This occurrence: the offending value and the next step.
    pub detail: String,
    /// The header, parameter or document field at fault.
    pub field: Option<String>,
    /// Further response headers.
    pub headers: Vec<(http::HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl Problem {
    /// A problem of `status`.
    #[must_use]
    pub fn new(status: u16, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code, title, detail: detail.into(), field: None, headers: Vec::new() }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Adds a response header; one whose value no header can hold is left out.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            r#type: format!("urn:headwater:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let json = problem.to_json();
        let mut response = Response::new(Outbound::from(bytes::Bytes::from(json)));
        *response.status_mut() = problem.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(problem.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_type_field_and_remedy() {
        let problem = Problem::new(422, "invalid-event", "Invalid event document", "`x`: unknown").field("x");
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(json["type"], "urn:headwater:problem:invalid-event");
        assert_eq!((&json["status"], &json["field"]), (&422.into(), &"x".into()));
    }
}
