//! A small HTTP client with persistent connections, for the command line, the rig and the tests.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::limits::CONNECT_TIMEOUT;
use crate::{BodyError, Inbound, Outbound};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be called.
    #[error("`{0}` is no http:// URL")]
    BadUrl(String),
    /// Nobody answers there, or the connection broke.
    #[error("no answer from {authority}: {reason}")]
    Unreachable {
        /// Where we called.
        authority: String,
        /// What happened.
        reason: String,
    },
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Body(#[from] BodyError),
    /// The answer is larger than expected.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Calls servers; clones share their connections.
#[derive(Clone)]
pub struct Client {
    pooled: Pooled<HttpConnector, Outbound>,
}

impl Default for Client {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { pooled: Pooled::builder(TokioExecutor::new()).build(connector) }
    }
}

impl Client {
    /// Sends a request and waits for the whole answer, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ClientError`]; any status is an answer, not an error.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Outbound,
        limit: usize,
    ) -> Result<Answer, ClientError> {
        let uri: Uri = url.parse().map_err(|_| ClientError::BadUrl(url.to_owned()))?;
        let Some(authority) = uri.authority().map(ToString::to_string).filter(|_| uri.scheme_str() == Some("http"))
        else {
            return Err(ClientError::BadUrl(url.to_owned()));
        };
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let unreachable = |error: hyper_util::client::legacy::Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            ClientError::Unreachable { authority, reason: cause.unwrap_or_else(|| error.to_string()) }
        };
        let (head, incoming) = self.pooled.request(request).await.map_err(unreachable)?.into_parts();
        let body = Inbound::new(incoming).collect(limit).await?.ok_or(ClientError::TooLarge(limit))?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
