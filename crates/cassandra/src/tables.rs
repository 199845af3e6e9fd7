//! What the engine asks of the cluster beside chunks: records, entries, listings and notes of changes. One trait, so that
//! the engine also runs on a cluster that is simulated (`crates/sim`), with the faults of a real one. Decides nothing.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use headwater_model::row::{EventId, Row};
use headwater_model::{EventName, Rendition, Tenant, Timestamp};
use headwater_store::StoreError;

pub use crate::changes::{Note, Token};
pub use crate::chunks::{Chunk, Chunks, Source};
pub use crate::entries::Standing;
pub use crate::place::Place;
pub use crate::rows::Swap;

use headwater_model::event::Entry;

use crate::session::Cluster;

/// Whether an entry was written, else the revision that stands.
pub type Written = Result<(), u64>;

/// Lives of an event that are over.
pub type Lives = [EventId];

/// Which records count.
pub type Keeps<'a> = &'a (dyn Fn(&Row) -> bool + Send + Sync);

/// The tables of the control plane. Every call fails with [`StoreError::Unavailable`] if the cluster does not answer: a
/// write may have happened then, or may yet happen.
#[async_trait]
pub trait Tables: Send + Sync {
    /// Sets the record of `place` to `next` (`None` removes it) if it is `before`. Who finds `next` there succeeded
    /// earlier. `ttl_s` in seconds, 0 for ever.
    async fn swap(
        &self,
        place: &Place,
        before: Option<&Row>,
        next: Option<&Row>,
        ttl_s: i32,
    ) -> Result<Swap, StoreError>;

    /// The record at `place` as a local quorum has it: everything that was acked, and perhaps what is just being.
    async fn row(&self, place: &Place) -> Result<Option<Row>, StoreError>;

    /// The record at `place` after everything that was begun before: what is half done is done or given up first.
    async fn row_serial(&self, place: &Place) -> Result<Option<Row>, StoreError>;

    /// Records of a rendition's segments in `numbers`, by number, then pipeline; those that `keeps` drops do not count.
    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
        keeps: Keeps<'_>,
    ) -> Result<Vec<Row>, StoreError>;

    /// Records of init segments and loose objects, and of the last `recent` numbers of each rendition.
    async fn standing(&self, event: EventId, recent: usize, keeps: Keeps<'_>) -> Result<Vec<Row>, StoreError>;

    /// Calls `see` with every record there is.
    async fn scan(&self, see: &mut (dyn FnMut(Row) + Send)) -> Result<(), StoreError>;

    /// Makes sure that listings find the candidate at `place`, for `ttl_s` seconds at least.
    async fn list_row(&self, place: &Place, ttl_s: i32) -> Result<(), StoreError>;

    /// Makes sure that listings find the block of `place`.
    async fn list_block(&self, place: &Place, ttl_s: i32) -> Result<(), StoreError>;

    /// Makes sure that listings find the shelf of `place`.
    async fn list_shelf(&self, place: &Place) -> Result<(), StoreError>;

    /// What a block of a shelf may have.
    async fn listed(
        &self,
        event: EventId,
        shelf: &str,
        block: i64,
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<Place>, StoreError>;

    /// Every shelf of an event.
    async fn shelves(&self, event: EventId) -> Result<Vec<String>, StoreError>;

    /// Every block of a shelf, the newest first.
    async fn all_blocks(&self, event: EventId, shelf: &str) -> Result<Vec<i64>, StoreError>;

    /// Removes a record without asking, of an event that is gone.
    async fn erase_row(&self, place: &Place) -> Result<(), StoreError>;

    /// Removes a block of the listing.
    async fn delete_listing(&self, event: i64, shelf: &str, block: i64) -> Result<(), StoreError>;

    /// Removes the list of a shelf's partitions.
    async fn delete_blocks(&self, event: i64, shelf: &str) -> Result<(), StoreError>;

    /// Removes the list of an event's shelves.
    async fn delete_shelves(&self, event: i64) -> Result<(), StoreError>;

    /// The entry of an event as a local quorum has it.
    async fn entry(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError>;

    /// The entry of an event after everything that was begun before.
    async fn entry_serial(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError>;

    /// Every entry.
    async fn entries(&self) -> Result<Vec<Standing>, StoreError>;

    /// Writes `entry` with `ended` if the one that stands has revision `expected` (0: none stands); whether it did, else
    /// the revision that stands.
    async fn swap_entry(&self, entry: &Entry, ended: &Lives, expected: u64) -> Result<Written, StoreError>;

    /// The media of `freed` is gone; `false` if another list stands by now.
    async fn mark_freed(&self, of: &Standing, freed: EventId) -> Result<bool, StoreError>;

    /// Notes a change that process `node` is about to make at `wall`.
    async fn note(&self, note: &Note, node: i64, wall: Timestamp) -> Result<(), StoreError>;

    /// Notes from `from` on, in nanoseconds since the epoch, in one partition, with their tokens and nodes.
    async fn notes(&self, shard: i32, bucket: i64, from: i64) -> Result<Vec<(Token, i64, Note)>, StoreError>;
}

#[async_trait]
impl Tables for Cluster {
    async fn swap(
        &self,
        place: &Place,
        before: Option<&Row>,
        next: Option<&Row>,
        ttl_s: i32,
    ) -> Result<Swap, StoreError> {
        Self::swap(self, place, before, next, ttl_s).await
    }

    async fn row(&self, place: &Place) -> Result<Option<Row>, StoreError> {
        Self::row(self, place).await
    }

    async fn row_serial(&self, place: &Place) -> Result<Option<Row>, StoreError> {
        Self::row_serial(self, place).await
    }

    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
        keeps: Keeps<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        Self::rows(self, event, rendition, numbers, limit, keeps).await
    }

    async fn standing(&self, event: EventId, recent: usize, keeps: Keeps<'_>) -> Result<Vec<Row>, StoreError> {
        Self::standing(self, event, recent, keeps).await
    }

    async fn scan(&self, see: &mut (dyn FnMut(Row) + Send)) -> Result<(), StoreError> {
        Self::scan(self, see).await
    }

    async fn list_row(&self, place: &Place, ttl_s: i32) -> Result<(), StoreError> {
        Self::list_row(self, place, ttl_s).await
    }

    async fn list_block(&self, place: &Place, ttl_s: i32) -> Result<(), StoreError> {
        Self::list_block(self, place, ttl_s).await
    }

    async fn list_shelf(&self, place: &Place) -> Result<(), StoreError> {
        Self::list_shelf(self, place).await
    }

    async fn listed(
        &self,
        event: EventId,
        shelf: &str,
        block: i64,
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<Place>, StoreError> {
        Self::listed(self, event, shelf, block, numbers).await
    }

    async fn shelves(&self, event: EventId) -> Result<Vec<String>, StoreError> {
        Self::shelves(self, event).await
    }

    async fn all_blocks(&self, event: EventId, shelf: &str) -> Result<Vec<i64>, StoreError> {
        Self::all_blocks(self, event, shelf).await
    }

    async fn erase_row(&self, place: &Place) -> Result<(), StoreError> {
        Self::erase_row(self, place).await
    }

    async fn delete_listing(&self, event: i64, shelf: &str, block: i64) -> Result<(), StoreError> {
        Self::delete_listing(self, event, shelf, block).await
    }

    async fn delete_blocks(&self, event: i64, shelf: &str) -> Result<(), StoreError> {
        Self::delete_blocks(self, event, shelf).await
    }

    async fn delete_shelves(&self, event: i64) -> Result<(), StoreError> {
        Self::delete_shelves(self, event).await
    }

    async fn entry(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError> {
        Self::entry(self, tenant, name).await
    }

    async fn entry_serial(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError> {
        Self::entry_serial(self, tenant, name).await
    }

    async fn entries(&self) -> Result<Vec<Standing>, StoreError> {
        Self::entries(self).await
    }

    async fn swap_entry(&self, entry: &Entry, ended: &Lives, expected: u64) -> Result<Written, StoreError> {
        Self::swap_entry(self, entry, ended, expected).await
    }

    async fn mark_freed(&self, of: &Standing, freed: EventId) -> Result<bool, StoreError> {
        Self::mark_freed(self, of, freed).await
    }

    async fn note(&self, note: &Note, node: i64, wall: Timestamp) -> Result<(), StoreError> {
        Self::note(self, note, node, wall).await
    }

    async fn notes(&self, shard: i32, bucket: i64, from: i64) -> Result<Vec<(Token, i64, Note)>, StoreError> {
        Self::notes(self, shard, bucket, from).await
    }
}
