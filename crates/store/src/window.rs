//! The live window: the bodies published last, in memory, first in first out. A cache that weighs how often something
//! was read evicts segments before their first reader comes; the live edge wants the newest, read or not.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_model::Timestamp;
use parking_lot::RwLock;

use crate::slab::Body;

/// What an entry costs besides its bytes: map, queue and the list of pieces.
const ENTRY_BYTES: usize = 256;

/// Recently published bodies, by stamp.
pub struct Window {
    bytes_max: usize,
    state: RwLock<State>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct State {
    bodies: HashMap<Timestamp, Body>,
    /// In order of publication; may name bodies that were removed.
    order: VecDeque<(Timestamp, usize)>,
    bytes: usize,
}

impl Window {
    /// A window that holds at most `bytes_max` of memory, slabs counted whole.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: RwLock::default(), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Adds the body stamped `stamp`, and lets go of the oldest; a body larger than the window is not kept.
    pub fn insert(&self, stamp: Timestamp, body: Body) {
        let cost = cost(&body);
        if cost > self.bytes_max {
            return;
        }
        // Dropped outside of the lock: giving slabs back takes time that readers would wait.
        let mut dropped = Vec::new();
        let mut state = self.state.write();
        while state.bytes + cost > self.bytes_max {
            let Some((oldest, bytes)) = state.order.pop_front() else { break };
            if let Some(body) = state.bodies.remove(&oldest) {
                state.bytes -= bytes;
                dropped.push(body);
            }
        }
        state.bytes += cost;
        state.order.push_back((stamp, cost));
        state.bodies.insert(stamp, body);
    }

    /// The body stamped `stamp`, if it is here.
    #[must_use]
    pub fn get(&self, stamp: Timestamp) -> Option<Body> {
        let body = self.state.read().bodies.get(&stamp).cloned();
        let count = if body.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        body
    }

    /// Lookups that this window answered, and the others.
    #[must_use]
    pub fn lookups(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Lets go of a body that was replaced or removed.
    pub fn remove(&self, stamp: Timestamp) {
        let mut state = self.state.write();
        let Some(body) = state.bodies.remove(&stamp) else { return };
        state.bytes -= cost(&body);
        // A manifest replaced every second would otherwise leave its name behind for as long as the window is.
        if state.order.len() > 64 && state.order.len() > 2 * state.bodies.len() {
            let State { bodies, order, .. } = &mut *state;
            order.retain(|(stamp, _)| bodies.contains_key(stamp));
        }
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state.read().bytes
    }
}

fn cost(body: &Body) -> usize {
    body.memory() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::SLAB_BYTES;

    fn body(length: usize) -> Body {
        bytes::Bytes::from(vec![7; length]).into()
    }

    fn at(nanos: i128) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn the_oldest_goes_first_however_often_it_was_read() {
        let window = Window::new(3 * (SLAB_BYTES + ENTRY_BYTES));
        for stamp in 0..3 {
            window.insert(at(stamp), body(SLAB_BYTES));
        }
        for _ in 0..100 {
            assert!(window.get(at(0)).is_some());
        }
        window.insert(at(3), body(SLAB_BYTES));
        let held: Vec<bool> = (0..4).map(|stamp| window.get(at(stamp)).is_some()).collect();
        assert_eq!(held, [false, true, true, true]);
    }

    #[test]
    fn slabs_count_whole_and_small_bodies_by_their_size() {
        let window = Window::new(10 * SLAB_BYTES);
        window.insert(at(0), body(SLAB_BYTES / 2 + 1));
        assert_eq!(window.bytes(), SLAB_BYTES + ENTRY_BYTES);
        window.insert(at(1), body(100));
        assert_eq!(window.bytes(), SLAB_BYTES + 100 + 2 * ENTRY_BYTES);
        window.remove(at(0));
        window.remove(at(0));
        assert_eq!(window.bytes(), 100 + ENTRY_BYTES);
    }

    #[test]
    fn a_body_larger_than_the_window_empties_nothing() {
        let window = Window::new(2 * SLAB_BYTES);
        window.insert(at(0), body(10));
        window.insert(at(1), body(3 * SLAB_BYTES));
        assert!(window.get(at(0)).is_some() && window.get(at(1)).is_none());
    }

    #[test]
    fn what_is_replaced_over_and_over_leaves_no_trace() {
        let window = Window::new(10 * SLAB_BYTES);
        for stamp in 0..10_000 {
            window.insert(at(stamp), body(10));
            window.remove(at(stamp - 1));
        }
        assert!(window.state.read().order.len() < 200);
        assert_eq!(window.bytes(), 10 + ENTRY_BYTES);
    }
}
