//! Where media and the control plane are kept. Nobody outside of this crate knows files, Cassandra or memcached.
//!
//! The [`Store`] trait is narrow on purpose: record a candidate with its bytes, list records, read bytes, keep event
//! entries. Whether a candidate may be replaced is decided by [`headwater_model::row::judge`] in every engine alike.
//! An engine is accepted when it passes [`conformance`].

pub mod broken;
pub mod codec;
pub mod conformance;
pub mod disk;
pub mod dvr;
pub mod fault;
pub mod flow;
pub mod log;
pub mod slab;
pub mod stamp;
pub mod usage;
pub mod window;

use std::ops::{Range, RangeInclusive};

use async_trait::async_trait;
use headwater_model::event::Entry;
use headwater_model::row::{Claim, EventId, Keep, Key, Row};
use headwater_model::{Pipeline, Region, Rendition, Timestamp};
use tokio::sync::broadcast;

pub use flow::{Flow, Follower};
pub use log::Log;
pub use slab::Body;
pub use usage::Usage;

/// How an upload ended. All but [`Stored`](Published::Stored) left the store as it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// Durable and announced: 201.
    Stored(Row),
    /// The same bytes were there: 200.
    Same(Row),
    /// Other bytes are there and stay: 409.
    Final(Row),
    /// The object exists and was to be created: 412.
    Exists(Row),
}

/// Why the store did not do what it was asked. Nothing is half-done after any of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: 507. Retry after space has come back.
    #[error("the store is full: {0}; free space on the data volume or shorten dvr_window_s")]
    Full(String),
    /// The store does not answer or refuses for a while: 503. A retry is safe.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The bytes on disk are not those that were stored. A retry gives the same; another candidate may do.
    #[error("stored bytes are damaged: {0}")]
    Damaged(String),
    /// There are no such bytes any more: they expired or were removed while being asked for.
    #[error("the object is gone")]
    Gone,
    /// An event entry was written by somebody else in between: read again and retry.
    #[error("the event was changed meanwhile (rev {current}); read it again and retry")]
    Conflict {
        /// The revision that stands.
        current: u64,
    },
}

/// Where the bytes that a read gives were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In this process, or on their way to another reader in it.
    Memory,
    /// In memcached, all of them.
    Memcached,
    /// In the engine: on its disk or its cluster's.
    Store,
}

/// What an engine's caches of media hold, and how often they were asked since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caches {
    /// Bytes held, of the live window and the DVR cache.
    pub bytes: u64,
    /// Lookups that the live window answered.
    pub window_hits: u64,
    /// Lookups that it did not.
    pub window_misses: u64,
    /// Reads that the DVR cache, or a read in progress, answered.
    pub dvr_hits: u64,
    /// Reads that went to the disk.
    pub dvr_misses: u64,
    /// Chunks that memcached had, in any zone.
    pub memcached_hits: u64,
    /// Chunks that it did not have, or did not answer for in time.
    pub memcached_misses: u64,
    /// Questions and writes to it without an answer, or kept back because of those before.
    pub memcached_failures: u64,
}

/// The volume under an engine that keeps its media in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Bytes that the engine takes up.
    pub used_bytes: u64,
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Bytes of media that went before their time since the start, because the volume was nearly full.
    pub early_bytes: u64,
    /// Files that the last start missed.
    pub missing_files: u64,
    /// Files that the last start found damaged.
    pub damaged_files: u64,
}

/// What a store tells its listener, in stamp order, once it is durable and before the publisher is answered.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it lives for one announcement, and most are of the large kind")]
pub enum Notice {
    /// A candidate was recorded or replaced, or a segment's was removed and its record says so.
    Published(Row),
    /// A loose object or init segment was removed, or an object expired.
    Removed(Key),
    /// An event entry was written.
    Entry(Entry),
}

/// Hears what became durable, from the store's own thread. Must return quickly and must not write to the store.
pub trait Listener: Send + Sync {
    /// These became durable, in stamp order. The watermark passes them only after this returns.
    fn announce(&self, notices: &[Notice]);

    /// The watermark has passed what was announced: time to wake who waits. Also after a failed commit.
    fn settled(&self) {}
}

/// What a store adds that several processes share (architecture §4).
#[async_trait]
pub trait Shared: Send + Sync {
    /// Makes sure that the candidate `key` is not chosen before that of `by`, which is sound, on any node, whenever it
    /// comes: to be called before a choice falls on `by` for ever. `false` if it is sound already: then the listener has
    /// heard of it, and the choice is to be made anew. `keep` and `region` are for a record where there is none.
    async fn pass_over(&self, key: Key, by: &Pipeline, keep: Keep, region: Region) -> Result<bool, StoreError>;

    /// Makes sure that `row` stays the record of its candidate here whatever is published later, on any node: to be called
    /// before it is served for ever. Only two datacentres may have two of one. `false` if another counts by now: then the
    /// listener has heard of it, and the choice is to be made anew.
    async fn hold_to(&self, row: &Row) -> Result<bool, StoreError>;

    /// Whether what others have committed is known up to a moment ago. If not, nobody can say that something is absent
    /// (contract §5, row 12).
    fn is_current(&self) -> bool;

    /// What this process commits from now on, for the others to hear of at once.
    fn commits(&self) -> broadcast::Receiver<Notice>;

    /// Requests since the start that a second node of the store was asked for too, because the first was slow.
    fn hedges(&self) -> u64;

    /// Another process says that it has committed this. It is looked up, not believed; who never hears of it sees it a
    /// little later.
    async fn hear(&self, notice: Notice);
}

/// A store of media and of the control plane. Cheap to share behind an `Arc`.
///
/// Guarantees of every engine: when [`publish`](Store::publish) returns `Stored`, the object is durable, complete and
/// readable in this region, and the listener has heard of it. A crash at any moment leaves an object whole or absent.
/// Bytes read are the bytes published (checksums are verified on the way out) or an error.
#[async_trait]
pub trait Store: Send + Sync {
    /// Records `body` as `claim` says. Durable when it returns. Dropping the future does not undo it.
    async fn publish(&self, claim: Claim, body: Body) -> Result<Published, StoreError>;

    /// Removes an object; succeeds if there is none. Of a segment a record without a candidate stays
    /// ([`Row::is_removed`]) for as long as the record would have stayed: the choices of the next two segments hang on it.
    async fn remove(&self, key: Key) -> Result<(), StoreError>;

    /// The records of a rendition's segments in a range of numbers, by number, then pipeline. At most `limit`.
    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// What a node must know of an event to start: the records of its init segments and loose objects, and for each
    /// rendition the records of its last `recent` segment numbers.
    async fn standing(&self, event: EventId, recent: usize) -> Result<Vec<Row>, StoreError>;

    /// The bytes of a record, `range` of them (within `0..row.size`), verified, and where they were.
    async fn read(&self, row: &Row, range: Range<u64>) -> Result<(Body, Tier), StoreError>;

    /// The bytes of a record if they are in memory, the live edge above all: without waiting, and at no cost to what
    /// lies behind it.
    fn hot(&self, row: &Row) -> Option<Body>;

    /// What the caches hold; nothing for an engine without any.
    fn caches(&self) -> Caches {
        Caches::default()
    }

    /// The volume the media lies on, if it is this machine's.
    fn volume(&self) -> Option<Volume> {
        None
    }

    /// What these events have stored, all pipelines together; media that has expired does not count. From memory.
    fn usage(&self, events: &[EventId]) -> Usage;

    /// Every event entry, the deleted ones too.
    async fn entries(&self) -> Result<Vec<Entry>, StoreError>;

    /// Writes an event entry if the one that stands has revision `expected` (0: none stands). Durable and announced
    /// when it returns. An entry that is gone frees the event's media in the background.
    async fn write_entry(&self, entry: Entry, expected: u64) -> Result<(), StoreError>;

    /// Everything stamped up to this moment has been announced (the watermark of architecture §4).
    fn settled(&self) -> Timestamp;

    /// Stamps what is known before it is recorded, an upload that is still arriving. `tell` makes it known; the
    /// watermark passes the stamp only after that. It must return at once and must not call the store.
    fn arrive(&self, tell: &mut dyn FnMut(Timestamp));

    /// What only a store has into which other processes publish too; `None` for an engine of one process.
    fn shared(&self) -> Option<&dyn Shared> {
        None
    }

    /// The stamp clock: what a record committed now would be stamped. Never runs backwards, over restarts too.
    fn stamp(&self) -> Timestamp;
}
