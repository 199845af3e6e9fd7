//! The cache of what was read back from the disk, apart from the live window, so that a scan of the past cannot push
//! out the live edge. Readers of one object at once cost one read.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_model::Timestamp;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::slab::Body;
use crate::{StoreError, Tier};

/// A shard must have room for the largest objects there are (contract §4: 64 MiB), or they would never be kept.
const SHARD_BYTES_MIN: u64 = 256 << 20;
/// More shards than this no small machine needs.
const SHARDS_MAX: u64 = 16;
/// What the cache expects objects to weigh, for the first size of its tables.
const OBJECT_BYTES_USUAL: u64 = 512 << 10;
/// What an entry costs besides its bytes.
const ENTRY_BYTES: u64 = 256;

#[derive(Clone)]
struct ByMemory;

impl Weighter<Timestamp, Body> for ByMemory {
    fn weight(&self, _: &Timestamp, body: &Body) -> u64 {
        body.len() + ENTRY_BYTES
    }
}

/// Verified bodies read from the disk, by stamp.
pub struct Dvr {
    cache: Cache<Timestamp, Body, ByMemory>,
    lookups: AtomicU64,
    misses: AtomicU64,
}

impl Dvr {
    /// A cache of at most `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let shards = (bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let built = OptionsBuilder::new()
            .shards(shards as usize)
            .weight_capacity(bytes_max)
            .estimated_items_capacity((bytes_max / OBJECT_BYTES_USUAL).max(16) as usize)
            .build();
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let cache = match built {
            Ok(options) => Cache::with_options(options, ByMemory, hasher, lifecycle),
            Err(_) => Cache::with_weighter(16, bytes_max, ByMemory),
        };
        Self { cache, lookups: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The body stamped `stamp`, if it is here.
    #[must_use]
    pub fn get(&self, stamp: Timestamp) -> Option<Body> {
        let body = self.cache.get(&stamp)?;
        self.lookups.fetch_add(1, Ordering::Relaxed);
        Some(body)
    }

    /// The body stamped `stamp`; `read` fetches it unless it is here or on its way, and tells from where.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn get_or_read<F>(&self, stamp: Timestamp, read: impl FnOnce() -> F) -> Result<(Body, Tier), StoreError>
    where
        F: Future<Output = Result<(Body, Tier), StoreError>>,
    {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let mut tier = Tier::Memory;
        let read = async {
            self.misses.fetch_add(1, Ordering::Relaxed);
            let body;
            (body, tier) = read().await?;
            Ok(body)
        };
        let body = self.cache.get_or_insert_async(&stamp, read).await?;
        Ok((body, tier))
    }

    /// Lookups that this cache answered, and those that read the disk.
    #[must_use]
    pub fn lookups(&self) -> (u64, u64) {
        let misses = self.misses.load(Ordering::Relaxed);
        (self.lookups.load(Ordering::Relaxed).saturating_sub(misses), misses)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn only_the_first_lookup_of_a_body_reads_it() {
        let dvr = Dvr::new(1 << 20);
        for tier in [Tier::Store, Tier::Memory, Tier::Memory] {
            let read = || async { Ok((Body::from(Bytes::from_static(b"media")), Tier::Store)) };
            assert_eq!(dvr.get_or_read(Timestamp::from_millis(1), read).await.unwrap().1, tier);
        }
        assert_eq!(dvr.lookups(), (2, 1));
        assert!(dvr.get(Timestamp::from_millis(1)).is_some() && dvr.get(Timestamp::from_millis(2)).is_none());
        assert_eq!(dvr.lookups(), (3, 1), "what is not here will be read and counted then");
    }
}
