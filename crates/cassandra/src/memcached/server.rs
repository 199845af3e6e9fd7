//! One memcached server: a few connections, a deadline for each question, a breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headwater_store::stamp::Clock;
use memcache::exp::{AsyncMetaClient, MetaClientBuilder, Ttl};
use parking_lot::Mutex;

use super::breaker::Breaker;

/// Connections to a server: a segment's chunks side by side, for several requests at once.
const CONNECTIONS_MAX: usize = 32;
/// memcached's own limit for a time to live that counts from now: 30 days. Longer ones would be moments.
const TTL_MAX_S: i32 = 30 * 86_400;

/// There was no answer, or nobody was asked.
#[derive(Debug)]
pub(crate) struct NoAnswer;

/// A server.
pub(crate) struct Server {
    address: Arc<Address>,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl Server {
    /// The one at `text`, `HOST:PORT`. Needs a tokio runtime.
    pub(crate) fn new(text: String, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        let address = Arc::new(Address {
            text,
            timeout,
            client: Mutex::default(),
            is_sought: false.into(),
            is_unknown: false.into(),
        });
        address.look_up();
        Self { address, breaker: Breaker::default(), clock, timeout }
    }

    /// The bytes under `key`, if there are any.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>, NoAnswer> {
        let found = self.ask(|client| async move { client.get(key).send().await }).await?;
        Ok(found.value.map(Bytes::from))
    }

    /// Keeps `bytes` under `key` for `ttl_s` seconds, 0 for as long as there is room.
    pub(crate) async fn set(&self, key: &str, bytes: &Bytes, ttl_s: i32) -> Result<(), NoAnswer> {
        let seconds = u32::try_from(ttl_s.min(TTL_MAX_S)).unwrap_or(0);
        let ttl = if seconds == 0 { Ttl::NEVER } else { Ttl::secs(seconds) };
        self.ask(|client| async move { client.set(key, bytes).ttl(ttl).send().await }).await.map(drop)
    }

    /// Removes what is under `key`.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), NoAnswer> {
        self.ask(|client| async move { client.delete(key).send().await }).await.map(drop)
    }

    /// Asks unless the breaker is open, and gives up after the timeout.
    async fn ask<T, A: Future<Output = memcache::exp::Result<T>>>(
        &self,
        question: impl FnOnce(AsyncMetaClient) -> A,
    ) -> Result<T, NoAnswer> {
        if !self.breaker.allows(self.clock.monotonic()) {
            return Err(NoAnswer);
        }
        let client = self.address.client.lock().clone();
        // The client has a deadline for each step; this one is for all of them.
        let answer = match client {
            None => Err("its name is still looked up, or means nothing".to_owned()),
            Some(client) => tokio::select! {
                biased;
                answer = question(client) => answer.map_err(|error| error.to_string()),
                () = self.clock.sleep(self.timeout) => Err("no answer in time".to_owned()),
            },
        };
        match answer {
            Ok(answer) => {
                self.breaker.succeeded();
                Ok(answer)
            }
            Err(error) => {
                tracing::debug!(server = self.address.text, error, "memcached did not answer");
                // The name may mean another machine by now.
                if self.breaker.failed(self.clock.monotonic()) {
                    self.address.look_up();
                }
                Err(NoAnswer)
            }
        }
    }
}

/// Where a server is.
struct Address {
    text: String,
    timeout: Duration,
    /// Of what the text meant when it was looked up last.
    client: Mutex<Option<AsyncMetaClient>>,
    is_sought: AtomicBool,
    /// It meant nothing when it was looked up last.
    is_unknown: AtomicBool,
}

impl Address {
    /// Begins to look the text up, unless that is being done: a resolver may take longer than any question has.
    fn look_up(self: &Arc<Self>) {
        if self.is_sought.swap(true, Ordering::AcqRel) {
            return;
        }
        let address = Arc::clone(self);
        tokio::spawn(async move {
            let found = MetaClientBuilder::new()
                .max_connections(Some(CONNECTIONS_MAX))
                .max_idle(CONNECTIONS_MAX)
                .connect_timeout(Some(address.timeout))
                .io_timeout(Some(address.timeout))
                .connect_async(address.text.clone())
                .await;
            match found {
                Ok(client) => {
                    *address.client.lock() = Some(client);
                    address.is_unknown.store(false, Ordering::Relaxed);
                }
                // Said once: it is looked up again and again.
                Err(error) if !address.is_unknown.swap(true, Ordering::Relaxed) => {
                    tracing::warn!(server = address.text, %error, "no such memcached; check `store.memcached`");
                }
                Err(_) => {}
            }
            address.is_sought.store(false, Ordering::Release);
        });
    }
}
