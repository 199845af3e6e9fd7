//! A store that tells the metrics how long its operations take. It changes nothing else: every answer is the inner
//! store's.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use async_trait::async_trait;
use headwater_model::event::Entry;
use headwater_model::row::{Claim, EventId, Key, Row};
use headwater_model::{Rendition, Timestamp};
use headwater_store::stamp::Clock;
use headwater_store::{Body, Caches, Published, Shared, Store, StoreError, Tier, Usage, Volume};
use metrics::Histogram;

use crate::metrics::Metrics;

/// What is timed: the label `op`.
#[derive(Clone, Copy)]
enum Op {
    Publish,
    Remove,
    Rows,
    Standing,
    Read,
    Entries,
    WriteEntry,
}

/// The words of [`Op`], in its order.
const OPS: [&str; 7] = ["publish", "remove", "rows", "standing", "read", "entries", "write_entry"];

/// A store being timed.
pub struct Timed {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    durations: [Histogram; OPS.len()],
}

impl Timed {
    /// `inner`, an engine of that name.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, engine: &str, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let durations = OPS.map(|op| metrics.store_duration(engine, op));
        Self { inner, clock, durations }
    }

    async fn timed<T>(&self, op: Op, call: impl Future<Output = T> + Send) -> T {
        let started = self.clock.monotonic();
        let answer = call.await;
        self.durations[op as usize].record(self.clock.monotonic().saturating_sub(started));
        answer
    }
}

#[async_trait]
impl Store for Timed {
    async fn publish(&self, claim: Claim, body: Body) -> Result<Published, StoreError> {
        self.timed(Op::Publish, self.inner.publish(claim, body)).await
    }

    async fn remove(&self, key: Key) -> Result<(), StoreError> {
        self.timed(Op::Remove, self.inner.remove(key)).await
    }

    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.timed(Op::Rows, self.inner.rows(event, rendition, numbers, limit)).await
    }

    async fn standing(&self, event: EventId, recent: usize) -> Result<Vec<Row>, StoreError> {
        self.timed(Op::Standing, self.inner.standing(event, recent)).await
    }

    async fn read(&self, row: &Row, range: Range<u64>) -> Result<(Body, Tier), StoreError> {
        self.timed(Op::Read, self.inner.read(row, range)).await
    }

    fn hot(&self, row: &Row) -> Option<Body> {
        self.inner.hot(row)
    }

    fn caches(&self) -> Caches {
        self.inner.caches()
    }

    fn volume(&self) -> Option<Volume> {
        self.inner.volume()
    }

    fn usage(&self, events: &[EventId]) -> Usage {
        self.inner.usage(events)
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        self.timed(Op::Entries, self.inner.entries()).await
    }

    async fn write_entry(&self, entry: Entry, expected: u64) -> Result<(), StoreError> {
        self.timed(Op::WriteEntry, self.inner.write_entry(entry, expected)).await
    }

    fn settled(&self) -> Timestamp {
        self.inner.settled()
    }

    fn arrive(&self, tell: &mut dyn FnMut(Timestamp)) {
        self.inner.arrive(tell);
    }

    fn shared(&self) -> Option<&dyn Shared> {
        self.inner.shared()
    }

    fn stamp(&self) -> Timestamp {
        self.inner.stamp()
    }
}
