//! What a batch of waiting work comes to: each piece stamped and judged in order, against the index and against the
//! earlier pieces of the batch. Writes nothing and answers nobody; the committer does, once the drafts are durable.

use std::collections::{HashMap, HashSet};

use headwater_model::event::Entry;
use headwater_model::row::{Claim, EventId, Key, Object, Row, Verdict, Version, judge};
use headwater_model::{EventName, Tenant};
use tokio::sync::oneshot;

use super::bucket::Draft;
use super::format::Record;
use super::index::{self, Expiry, Index};
use crate::slab::Body;
use crate::stamp::Stamps;
use crate::{Notice, Published, StoreError};

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What somebody waits for.
pub(crate) enum Work {
    Publish { claim: Claim, body: Body, answer: Answer<Published> },
    Remove { key: Key, answer: Answer<()> },
    Entry { entry: Entry, expected: u64, answer: Answer<()> },
}

impl Work {
    /// Bytes it brings.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Publish { body, .. } => body.len(),
            Self::Remove { .. } | Self::Entry { .. } => 0,
        }
    }
}

/// An answer that waits for the commit.
pub(crate) struct Reply {
    answer: Outcome,
    /// Says something that is true only once the batch is durable.
    depends: bool,
}

#[expect(clippy::large_enum_variant, reason = "it lives for one commit, and most are of the large kind")]
enum Outcome {
    Published(Answer<Published>, Result<Published, StoreError>),
    Done(Answer<()>, Result<(), StoreError>),
}

impl Reply {
    /// Answers after a commit that ended in `failure`, if any. Nobody may be waiting any more.
    pub(crate) fn send(self, failure: Option<&StoreError>) {
        let failure = failure.filter(|_| self.depends).cloned();
        match self.answer {
            Outcome::Published(to, result) => drop(to.send(failure.map_or(result, Err))),
            Outcome::Done(to, result) => drop(to.send(failure.map_or(result, Err))),
        }
    }
}

/// What a plan is drawn against.
pub(crate) struct View<'a> {
    pub(crate) index: &'a Index,
    pub(crate) stamps: &'a Stamps,
    pub(crate) expiry: Expiry,
    /// Highest bucket that can hold what a removal removes.
    pub(crate) horizon: u64,
    /// Bytes of media that may still be written.
    pub(crate) room: u64,
}

/// Drafts to commit, and the answers to give then.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) drafts: Vec<Draft>,
    pub(crate) replies: Vec<Reply>,
    rows: HashMap<Key, Option<Row>>,
    entries: HashMap<(Tenant, EventName), Entry>,
    ended: HashSet<EventId>,
    taken: u64,
}

impl Plan {
    /// Stamps and judges `batch` in order.
    pub(crate) fn draw(batch: Vec<Work>, view: &View<'_>) -> Self {
        let mut plan = Self::default();
        for work in batch {
            let reply = match work {
                Work::Publish { claim, body, answer } => {
                    let depends = plan.rows.contains_key(&claim.key);
                    let result = plan.publish(claim, body, view);
                    let stored = matches!(result, Ok(Published::Stored(_)));
                    Reply { answer: Outcome::Published(answer, result), depends: depends || stored }
                }
                Work::Remove { key, answer } => {
                    plan.remove(key, view);
                    Reply { answer: Outcome::Done(answer, Ok(())), depends: true }
                }
                Work::Entry { entry, expected, answer } => {
                    let result = plan.entry(entry, expected, view);
                    Reply { answer: Outcome::Done(answer, result), depends: true }
                }
            };
            plan.replies.push(reply);
        }
        plan
    }

    /// What to tell the listener of the drafts, in stamp order.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        let notice = |draft: &Draft| match &draft.record {
            Record::Row(row) => Some(Notice::Published(row.clone())),
            Record::Removal { key, .. } => Some(Notice::Removed(key.clone())),
            Record::Entry { entry, .. } => Some(Notice::Entry(entry.clone())),
            Record::Void { .. } | Record::Mark => None,
        };
        self.drafts.iter().filter_map(notice).collect()
    }

    fn row(&self, key: &Key, view: &View<'_>) -> Option<Row> {
        if let Some(row) = self.rows.get(key) {
            return row.clone();
        }
        view.index.current(key).and_then(|stored| index::row(stored)).filter(|row| view.expiry.keeps(row)).cloned()
    }

    fn is_ended(&self, event: EventId, view: &View<'_>) -> bool {
        view.index.is_ended(event) || self.ended.contains(&event)
    }

    fn publish(&mut self, claim: Claim, body: Body, view: &View<'_>) -> Result<Published, StoreError> {
        if self.is_ended(claim.key.event, view) {
            return Err(StoreError::Gone);
        }
        if claim.size != body.len() {
            let told = format!("a claim of {} bytes came with {}", claim.size, body.len());
            return Err(StoreError::Damaged(told));
        }
        let existing = self.row(&claim.key, view);
        let stamp = view.stamps.next();
        let row = match judge(existing.as_ref(), &claim, Version(stamp.nanos() as u128), stamp) {
            Verdict::Same(row) => return Ok(Published::Same(row)),
            Verdict::Final(row) => return Ok(Published::Final(row)),
            Verdict::Exists(row) => return Ok(Published::Exists(row)),
            Verdict::Store(row) => row,
        };
        if self.taken + body.len() > view.room {
            return Err(StoreError::Full(format!("no room for {} more bytes", body.len())));
        }
        self.taken += body.len();
        self.rows.insert(row.key.clone(), Some(row.clone()));
        self.drafts.push(Draft { record: Record::Row(row.clone()), stamp, digest: row.digest, payload: body });
        Ok(Published::Stored(row))
    }

    fn remove(&mut self, key: Key, view: &View<'_>) {
        if self.is_ended(key.event, view) {
            // All of it is gone with its event; a record of a removal would stay behind.
            return;
        }
        let Some(row) = self.row(&key, view).filter(|row| !is_removed(row)) else { return };
        if let Object::Segment { .. } = key.object {
            let removed = row.removed(Body::default().digest());
            self.rows.insert(key, Some(removed.clone()));
            let (stamp, digest, payload) = (view.stamps.next(), removed.digest, Body::default());
            self.drafts.push(Draft { record: Record::Row(removed), stamp, digest, payload });
            return;
        }
        self.rows.insert(key.clone(), None);
        self.standing(Record::Removal { key, horizon: view.horizon + BUCKETS_PER_COMMIT }, view);
    }

    fn entry(&mut self, entry: Entry, expected: u64, view: &View<'_>) -> Result<(), StoreError> {
        let (tenant, name) = entry.names();
        let names = (tenant.clone(), name.clone());
        let stands = self.entries.get(&names).or_else(|| {
            view.index.entry(tenant, name).and_then(|stored| match &stored.record {
                Record::Entry { entry, .. } => Some(entry),
                _ => None,
            })
        });
        let current = stands.map_or(0, |entry| entry.counters().rev);
        if current != expected {
            return Err(StoreError::Conflict { current });
        }
        let life = |entry: &Entry| entry.alive().map(|event| event.id);
        let ended = stands.and_then(life).filter(|id| life(&entry) != Some(*id));
        self.ended.extend(ended);
        self.entries.insert(names, entry.clone());
        self.standing(Record::Entry { entry, ended, horizon: view.horizon + BUCKETS_PER_COMMIT }, view);
        Ok(())
    }

    fn standing(&mut self, record: Record, view: &View<'_>) {
        self.drafts.push(Draft::bare(record, view.stamps.next()));
    }
}

/// Only of segments a record stays.
fn is_removed(row: &Row) -> bool {
    matches!(row.key.object, Object::Segment { .. }) && row.is_removed()
}

/// A commit may open a bucket for each class before the record that ends an event is durable.
const BUCKETS_PER_COMMIT: u64 = 64;
