//! HTTP for everyone in Headwater: the accept loop, bodies in and out, limits and deadlines, problem documents and a
//! client. The only crate that names hyper, so that the rules of the wire stand in one place.
//!
//! It knows nothing of events, segments or pipelines.

pub mod accept;
pub mod body;
pub mod client;
pub mod guard;
pub mod limits;
mod places;
pub mod problem;
mod socket;

use std::future::Future;
use std::net::SocketAddr;

pub use body::{BodyError, Inbound, Outbound};
pub use places::Traffic;
pub use problem::Problem;

/// A request whose body has not been read yet.
pub struct Request {
    /// Method, target and headers.
    pub head: http::request::Parts,
    /// The body; reading its first frame sends `100 Continue` to a client that waits for it.
    pub body: Inbound,
    /// Who sent it.
    pub peer: SocketAddr,
}

/// What goes back.
pub type Response = http::Response<Outbound>;

/// Answers requests. Implementations must expect to be dropped at any await when the client goes away.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send;
}
