//! A store that misbehaves on command, around any other: it answers late, refuses, or does the work and loses the
//! answer. For tests of what stands on a store. Must never change what the inner store holds in any other way.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_model::event::Entry;
use headwater_model::row::{Claim, EventId, Key, Row};
use headwater_model::{Rendition, Timestamp};
use parking_lot::Mutex;

use crate::slab::Body;
use crate::stamp::Clock;
use crate::{Caches, Published, Shared, Store, StoreError, Tier, Usage, Volume};

/// What happens to calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// They begin after this long.
    Delay(Duration),
    /// They fail at once.
    Error(StoreError),
    /// They are done, and then this is answered.
    LostAnswer(StoreError),
    /// They never answer.
    Silence,
}

/// Which calls a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Publishes, removals, entries.
    Writes,
    /// Bodies that are not hot.
    Reads,
    /// Rows and entries.
    Lists,
}

/// A store whose calls can be made to go wrong.
pub struct Faulty {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    faults: Mutex<[Fault; 3]>,
}

impl Faulty {
    /// `inner`, working as it should until told otherwise; delays pass on `clock`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, faults: Mutex::default() }
    }

    /// From now on `calls` go like this.
    pub fn set(&self, calls: Calls, fault: Fault) {
        self.faults.lock()[calls as usize] = fault;
    }

    async fn through<T>(
        &self,
        calls: Calls,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let fault = self.faults.lock()[calls as usize].clone();
        match fault {
            Fault::None => {}
            Fault::Delay(span) => self.clock.sleep(span).await,
            Fault::Error(error) => return Err(error),
            Fault::LostAnswer(error) => return call.await.and(Err(error)),
            Fault::Silence => std::future::pending().await,
        }
        call.await
    }
}

#[async_trait]
impl Store for Faulty {
    async fn publish(&self, claim: Claim, body: Body) -> Result<Published, StoreError> {
        self.through(Calls::Writes, self.inner.publish(claim, body)).await
    }

    async fn remove(&self, key: Key) -> Result<(), StoreError> {
        self.through(Calls::Writes, self.inner.remove(key)).await
    }

    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.through(Calls::Lists, self.inner.rows(event, rendition, numbers, limit)).await
    }

    async fn standing(&self, event: EventId, recent: usize) -> Result<Vec<Row>, StoreError> {
        self.through(Calls::Lists, self.inner.standing(event, recent)).await
    }

    async fn read(&self, row: &Row, range: Range<u64>) -> Result<(Body, Tier), StoreError> {
        self.through(Calls::Reads, self.inner.read(row, range)).await
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
        self.through(Calls::Lists, self.inner.entries()).await
    }

    async fn write_entry(&self, entry: Entry, expected: u64) -> Result<(), StoreError> {
        self.through(Calls::Writes, self.inner.write_entry(entry, expected)).await
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
