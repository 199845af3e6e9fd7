//! One memcached server: a few connections, a deadline for each question, a breaker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_store::stamp::Clock;
use memcache::exp::{AsyncMetaClient, MetaClientBuilder, Ttl};

use super::breaker::Breaker;
use crate::OpenError;

/// Connections to a server: a segment's chunks side by side, for several requests at once.
const CONNECTIONS_MAX: usize = 32;
/// memcached's own limit for a time to live that counts from now: 30 days. Longer ones would be moments.
const TTL_MAX_S: i32 = 30 * 86_400;

/// There was no answer, or nobody was asked.
#[derive(Debug)]
pub(crate) struct NoAnswer;

/// A server.
pub(crate) struct Server {
    address: SocketAddr,
    client: AsyncMetaClient,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl Server {
    pub(crate) async fn new(address: SocketAddr, timeout: Duration, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let client = MetaClientBuilder::new()
            .max_connections(Some(CONNECTIONS_MAX))
            .max_idle(CONNECTIONS_MAX)
            .connect_timeout(Some(timeout))
            .io_timeout(Some(timeout))
            .connect_async(address.to_string())
            .await
            .map_err(|error| OpenError::Option { field: "memcached.zones", problem: format!("{address}: {error}") })?;
        Ok(Self { address, client, breaker: Breaker::default(), clock, timeout })
    }

    /// The bytes under `key`, if there are any.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>, NoAnswer> {
        let found = self.ask(async { self.client.get(key).send().await }).await?;
        Ok(found.value.map(Bytes::from))
    }

    /// Keeps `bytes` under `key` for `ttl_s` seconds, 0 for as long as there is room.
    pub(crate) async fn set(&self, key: &str, bytes: &Bytes, ttl_s: i32) -> Result<(), NoAnswer> {
        let seconds = u32::try_from(ttl_s.min(TTL_MAX_S)).unwrap_or(0);
        let ttl = if seconds == 0 { Ttl::NEVER } else { Ttl::secs(seconds) };
        self.ask(async { self.client.set(key, bytes).ttl(ttl).send().await }).await.map(drop)
    }

    /// Removes what is under `key`.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), NoAnswer> {
        self.ask(async { self.client.delete(key).send().await }).await.map(drop)
    }

    /// Asks unless the breaker is open, and gives up after the timeout.
    async fn ask<T>(&self, question: impl Future<Output = memcache::exp::Result<T>>) -> Result<T, NoAnswer> {
        if !self.breaker.allows(self.clock.monotonic()) {
            return Err(NoAnswer);
        }
        // The client has a deadline for each step; this one is for all of them.
        let answer = tokio::select! {
            biased;
            answer = question => answer.map_err(|error| error.to_string()),
            () = self.clock.sleep(self.timeout) => Err("no answer in time".to_owned()),
        };
        match answer {
            Ok(answer) => {
                self.breaker.succeeded();
                Ok(answer)
            }
            Err(error) => {
                tracing::debug!(server = %self.address, error, "memcached did not answer");
                self.breaker.failed(self.clock.monotonic());
                Err(NoAnswer)
            }
        }
    }
}
