//! What the engine asks of the cluster beside chunks, by name: the engine also runs on a cluster that is simulated
//! (`crates/sim`), with the faults of a real one. Decides nothing.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use headwater_model::Rendition;
use headwater_model::row::{EventId, Row};
use headwater_store::StoreError;

pub use crate::changes::{Note, Notes, Token};
pub use crate::chunks::{Chunk, Chunks, Source};
pub use crate::copies::Copies;
pub use crate::entries::{Entries, Standing, Written};
pub use crate::place::Place;
pub use crate::rows::Swap;

/// Which datacentres are asked when everything is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This one: a quorum of its nodes.
    Here,
    /// Each, by a quorum: together they have what was acked in either. What is missing in one is put back there.
    Both,
}

/// Which records count.
pub type Keeps<'a> = &'a (dyn Fn(&Row) -> bool + Send + Sync);

/// Candidate records and the listing that finds them. Every call fails with [`StoreError::Unavailable`] if the cluster
/// does not answer: a write may have happened then, or may yet happen.
#[async_trait]
pub trait Records: Send + Sync {
    /// Sets the own record of `place` to `next` (`None` removes it) if it is `before`. A record names the upload's token,
    /// so who finds `next` there succeeded earlier. `ttl_s` in seconds, 0 for ever.
    async fn swap(
        &self,
        place: &Place,
        before: Option<&Row>,
        next: Option<&Row>,
        ttl_s: i32,
    ) -> Result<Swap, StoreError>;

    /// The records at `place` as a local quorum has them: everything that was acked here, and perhaps what is just being.
    async fn row(&self, place: &Place) -> Result<Copies, StoreError>;

    /// The records at `place` after everything that was begun here before: what is half done is done or given up first.
    async fn row_serial(&self, place: &Place) -> Result<Copies, StoreError>;

    /// Records that count of a rendition's segments in `numbers`, by number, then pipeline; not those that `keeps` drops.
    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
        keeps: Keeps<'_>,
    ) -> Result<Vec<Row>, StoreError>;

    /// Calls `see` with every record there is, and whether it is an own one. With [`Reach::Both`] listings are put back
    /// like records, or what came back would be in none.
    async fn scan(&self, reach: Reach, see: &mut (dyn FnMut(bool, Row) + Send)) -> Result<(), StoreError>;

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

    /// Removes the records of a place without asking, of an event that is gone.
    async fn erase_row(&self, place: &Place) -> Result<(), StoreError>;

    /// Removes a block of the listing.
    async fn delete_listing(&self, event: i64, shelf: &str, block: i64) -> Result<(), StoreError>;

    /// Removes the list of a shelf's partitions.
    async fn delete_blocks(&self, event: i64, shelf: &str) -> Result<(), StoreError>;

    /// Removes the list of an event's shelves.
    async fn delete_shelves(&self, event: i64) -> Result<(), StoreError>;
}

/// The tables of the control plane.
pub trait Tables: Records + Entries + Notes {}

impl<T: Records + Entries + Notes> Tables for T {}
