//! The server under judgement: where its three listeners are, and how far its clock is from ours.

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::case::Framing;
use crate::client::{Outgoing, Reply, exchange};
use crate::clock::Wall;

/// Clocks that differ by less are taken to agree: asking takes about as long.
const SKEW_IGNORED_MS: f64 = 50.0;

/// A server.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) publish: String,
    pub(crate) deliver: String,
    pub(crate) ops: String,
    pub(crate) wall: Wall,
}

impl World {
    /// By the URL of its ops listener, which tells the others.
    ///
    /// # Errors
    /// If it does not answer `GET /v1/status`.
    pub fn ask(ops: &str) -> Result<Self> {
        let address = address(ops)?;
        let before = Wall::default().now();
        let reply = get(&address, "/v1/status").map_err(|error| anyhow!(error))?;
        let after = Wall::default().now();
        let status: Value =
            serde_json::from_slice(&reply.body).with_context(|| format!("{ops}/v1/status is no JSON"))?;
        let listener = |name: &str| {
            let url = status[name].as_str().with_context(|| format!("{ops}/v1/status tells no `{name}`: {status}"))?;
            self::address(url)
        };
        let skew = status["time"].as_str().and_then(millis).map_or(0.0, |time| time - (before + after) / 2.0);
        let skew = if skew.abs() < SKEW_IGNORED_MS + (after - before) { 0.0 } else { skew };
        Ok(Self { publish: listener("publish")?, deliver: listener("deliver")?, ops: address, wall: Wall { skew } })
    }

    /// By all three URLs.
    ///
    /// # Errors
    /// If one is no `http://` URL.
    pub fn at(publish: &str, deliver: &str, ops: &str) -> Result<Self> {
        Ok(Self { publish: address(publish)?, deliver: address(deliver)?, ops: address(ops)?, wall: Wall::default() })
    }
}

/// `host:port` of an `http://` URL.
fn address(url: &str) -> Result<String> {
    let rest = url.strip_prefix("http://").with_context(|| format!("`{url}` does not begin with http://"))?;
    let host = rest.trim_end_matches('/');
    Ok(if host.contains(':') { host.to_owned() } else { format!("{host}:80") })
}

fn get(address: &str, target: &str) -> Result<Reply, String> {
    let (method, framing) = ("GET".to_owned(), Framing::Length);
    let (headers, body) = (Vec::new(), Vec::new());
    exchange(&Outgoing { address: address.to_owned(), method, target: target.to_owned(), headers, body, framing }, None)
}

fn millis(rfc3339: &str) -> Option<f64> {
    let time: headwater_model::Timestamp = serde_json::from_value(Value::from(rfc3339)).ok()?;
    Some(time.nanos() as f64 / 1e6)
}
