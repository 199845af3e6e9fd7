//! memcached in front of the chunks: written through to every zone, read from the own one, then from another, then from
//! the cluster. Chunks are immutable, so a cache can be behind but never wrong; their bodies are verified all the same.
//! Must never make a publish or a read fail, nor hold either up for long, and never hold anything but chunks.

mod breaker;
mod ring;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use headwater_store::stamp::Clock;
use headwater_store::{StoreError, Tier};
use tokio::sync::Semaphore;

use crate::OpenError;
use crate::chunks::{Chunk, Chunks, Source};
use ring::Ring;
use server::Server;

/// A chunk that a read brought into a cache stays this long at most. What is written through stays as long as its
/// record; of what is read back nobody here knows how long that is.
const FILLED_FOR_S: i32 = 3600;

/// What can be chosen about memcached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every zone.
    pub zones: Vec<Zone>,
    /// The name of the one to read from.
    pub own: String,
    /// How long one answer may take. A miss costs a read of the cluster, 10 ms or so; waiting longer is no gain.
    pub timeout: Duration,
}

/// Servers that share the chunks of a zone among them.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Its servers, as `NAME:PORT` or `ADDR:PORT`. Their texts decide which chunks each has: the same on every node.
    pub servers: Vec<String>,
}

impl Options {
    /// Zones to write to, and the one to read from.
    #[must_use]
    pub fn new(zones: Vec<Zone>, own: &str) -> Self {
        Self { zones, own: own.to_owned(), timeout: Duration::from_millis(100) }
    }
}

/// How often the caches were asked since the start, in chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reads that the own zone answered.
    pub own_hits: u64,
    /// Reads that another zone answered.
    pub other_hits: u64,
    /// Reads that went to the cluster.
    pub misses: u64,
    /// Questions without an answer, and those that a breaker kept back.
    pub failures: u64,
}

/// Counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    own_hits: AtomicU64,
    other_hits: AtomicU64,
    misses: AtomicU64,
    failures: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        let [own_hits, other_hits, misses, failures] =
            [&self.own_hits, &self.other_hits, &self.misses, &self.failures].map(|count| count.load(Ordering::Relaxed));
        Stats { own_hits, other_hits, misses, failures }
    }
}

/// Chunks of `inner` behind memcached.
pub(crate) struct Cached<C> {
    inner: C,
    /// The own zone first.
    zones: Vec<Ring<Server>>,
    /// In a storm of reads the others wait here, and not in the runtime's queue in front of a publish.
    asking: Semaphore,
    counters: Arc<Counters>,
}

/// Chunks asked for at once, for each core: one that it copies and one on its way. A question is answered or given up
/// within the timeout, so whoever waits here waits for milliseconds.
const ASKED_A_CORE: usize = 2;

impl<C> Cached<C> {
    /// Connects when there is something to ask: a server that is down is none of the engine's worries.
    pub(crate) fn new(
        inner: C,
        options: &Options,
        clock: &Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Result<Self, OpenError> {
        let mut zones = Vec::new();
        let Some(own) = options.zones.iter().position(|zone| zone.name == options.own) else {
            let names = options.zones.iter().map(|zone| zone.name.as_str()).collect::<Vec<_>>().join(", ");
            let problem = format!("`{}` is none of the zones ({names})", options.own);
            return Err(OpenError::Option { field: "memcached.own", problem });
        };
        for zone in std::iter::once(own).chain((0..options.zones.len()).filter(|index| *index != own)) {
            let zone = &options.zones[zone];
            let server = |address: &String| Server::new(address.clone(), options.timeout, Arc::clone(clock));
            zones.extend(Ring::new(zone.servers.iter().map(|address| (address.clone(), server(address))).collect()));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { inner, zones, asking: Semaphore::new(ASKED_A_CORE * cores), counters })
    }

    fn count<T>(&self, answer: Result<T, server::NoAnswer>) -> Option<T> {
        if answer.is_err() {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        answer.ok()
    }

    async fn fill(&self, key: &str, bytes: &Bytes, ttl_s: i32) {
        let own = self.zones.first().into_iter();
        for zone in own {
            self.count(zone.server(key).set(key, bytes, ttl_s).await);
        }
    }

    /// From the own zone, else from the next one.
    async fn cached(&self, key: &str, length: usize) -> Option<Bytes> {
        let _turn = self.asking.acquire().await.ok()?;
        for (index, zone) in self.zones.iter().enumerate().take(2) {
            let found = self.count(zone.server(key).get(key).await).flatten();
            let Some(bytes) = found.filter(|bytes| bytes.len() == length) else { continue };
            let hits = if index == 0 { &self.counters.own_hits } else { &self.counters.other_hits };
            hits.fetch_add(1, Ordering::Relaxed);
            if index > 0 {
                self.fill(key, &bytes, FILLED_FOR_S).await;
            }
            return Some(bytes);
        }
        None
    }
}

#[async_trait]
impl<C: Chunks> Chunks for Cached<C> {
    async fn put(&self, chunk: Chunk, bytes: Bytes, ttl_s: i32) -> Result<(), StoreError> {
        let key = key(chunk);
        let sets = self.zones.iter().map(|zone| zone.server(&key).set(&key, &bytes, ttl_s));
        let (put, sets) = tokio::join!(self.inner.put(chunk, bytes.clone(), ttl_s), join_all(sets));
        for set in sets {
            self.count(set);
        }
        put
    }

    async fn get(&self, chunk: Chunk, length: usize, from: Source) -> Result<Option<(Bytes, Tier)>, StoreError> {
        let key = key(chunk);
        if from == Source::Nearest
            && let Some(bytes) = self.cached(&key, length).await
        {
            return Ok(Some((bytes, Tier::Memcached)));
        }
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
        let found = self.inner.get(chunk, length, from).await?;
        if let Some((bytes, _)) = &found {
            self.fill(&key, bytes, FILLED_FOR_S).await;
        }
        Ok(found)
    }

    async fn delete(&self, chunk: Chunk) -> Result<(), StoreError> {
        let key = key(chunk);
        self.inner.delete(chunk).await?;
        let deletes = join_all(self.zones.iter().map(|zone| zone.server(&key).delete(&key))).await;
        for delete in deletes {
            self.count(delete);
        }
        Ok(())
    }
}

/// What a chunk is called in a cache. A change of what lies there needs another prefix.
fn key(chunk: Chunk) -> String {
    format!("hw1:{:032x}:{}", chunk.version.0, chunk.part)
}

#[cfg(test)]
mod tests {
    use headwater_model::row::Version;

    use super::*;

    #[test]
    fn names_in_caches_never_change() {
        let chunk = Chunk { version: Version(0x0123_4567), part: 12 };
        assert_eq!(key(chunk), "hw1:00000000000000000000000001234567:12");
    }
}
