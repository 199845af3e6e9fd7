//! Work that waits for the committer: bounded, in order of arrival, gathered in batches. The next batch fills while
//! the last one syncs; that is all there is to group commit.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::plan::Work;
use crate::StoreError;

/// Most pieces of work that may wait. Their bodies are bounded by the pool of slabs; this bounds the rest.
const WAITING_MAX: usize = 16_384;
/// Most pieces of one commit: enough to keep a disk busy, few enough to be indexed within a millisecond.
const BATCH_MAX: usize = 512;
/// Most bytes of one commit, beyond its first piece: what a slow disk writes in a fraction of a second.
const BATCH_BYTES_MAX: u64 = 64 << 20;

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    closed: bool,
}

/// What [`Queue::gather`] found.
pub(crate) enum Gathered {
    /// Work, or none within the time.
    Batch(Vec<Work>),
    /// No work is left and none will come.
    Closed,
}

impl Queue {
    /// Adds work, unless too much waits or the log is closing.
    pub(crate) fn push(&self, work: Work) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Unavailable("the log is closing".into()));
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(StoreError::Unavailable(format!("{WAITING_MAX} writes are waiting; retry later")));
        }
        state.waiting.push_back(work);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next batch; waits up to `wait` for its first piece.
    pub(crate) fn gather(&self, wait: Duration) -> Gathered {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && !state.closed && !wait.is_zero() {
            self.arrived.wait_for(&mut state, wait);
        }
        if state.waiting.is_empty() && state.closed {
            return Gathered::Closed;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.waiting.front() {
            bytes += next.bytes();
            if batch.len() >= BATCH_MAX || (bytes > BATCH_BYTES_MAX && !batch.is_empty()) {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        Gathered::Batch(batch)
    }

    /// Takes no more work; what waits is still gathered.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Takes no more work and drops what waits: whoever asked is told that nobody will answer.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// Pieces waiting.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }
}
