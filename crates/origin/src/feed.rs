//! What this process commits, and what is still arriving here, told to the other processes at once (architecture §4).
//!
//! A follower asks the ops listener for what is new and is held until there is something, over one connection that stays.
//! Commits are hints: the follower looks them up in the store, so whatever is lost here costs latency and never a wrong
//! answer. Uploads in flight are shown with their bytes; what is lost of them means that they have died.

pub mod follow;
pub mod frame;
pub mod tell;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use frame::Frame;

/// How long a follower is held while nothing happens: under what proxies and firewalls let pass.
pub const POLL: Duration = Duration::from_secs(25);
/// Frames that are kept for followers, in bytes: some seconds of a busy node. Who falls behind further has a gap.
const KEPT_BYTES: usize = 8 << 20;
/// Bytes in one answer, but for its last frame: small enough that a slow follower sees something soon.
const BATCH_BYTES: usize = 1 << 20;

/// What is told, in the order in which it happened.
pub struct Feed {
    /// This life of the process: numbers of another life mean nothing.
    boot: u64,
    kept: Mutex<Kept>,
    news: Notify,
}

#[derive(Default)]
struct Kept {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the first one that is kept.
    first: u64,
    /// Flights told of so far.
    flights: u64,
}

impl Kept {
    fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }
}

/// Where a follower stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of which life of the process.
    pub boot: u64,
    /// The number of the next frame.
    pub next: u64,
}

/// What a follower gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where it stands afterwards.
    pub place: Place,
    /// Whether something was lost before it.
    pub has_gap: bool,
    /// Encoded frames.
    pub frames: Bytes,
}

impl Feed {
    /// An empty feed of the process's life `boot`.
    #[must_use]
    pub fn new(boot: u64) -> Self {
        Self { boot, kept: Mutex::default(), news: Notify::new() }
    }

    /// Tells the followers.
    pub fn push(&self, frame: &Frame) {
        let bytes = frame.encode();
        let mut kept = self.kept.lock();
        kept.bytes += bytes.len();
        kept.frames.push_back(bytes);
        while kept.bytes > KEPT_BYTES
            && let Some(oldest) = kept.frames.pop_front()
        {
            kept.bytes -= oldest.len();
            kept.first += 1;
        }
        drop(kept);
        self.news.notify_waiters();
    }

    /// A number for an upload that takes off.
    fn flight(&self) -> u64 {
        let mut kept = self.kept.lock();
        kept.flights += 1;
        kept.flights
    }

    /// What is new since `place`; waits until there is something. Who stands nowhere yet gets a place at once.
    pub async fn since(&self, place: Option<Place>) -> Batch {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if let Some(batch) = self.batch(place) {
                return batch;
            }
            news.await;
        }
    }

    /// As [`Feed::since`]; `None` if there is nothing new.
    fn batch(&self, place: Option<Place>) -> Option<Batch> {
        let kept = self.kept.lock();
        let at = |next| Place { boot: self.boot, next };
        let Some(place) = place else {
            return Some(Batch { place: at(kept.next()), has_gap: false, frames: Bytes::new() });
        };
        if place.boot != self.boot || place.next > kept.next() {
            return Some(Batch { place: at(kept.next()), has_gap: true, frames: Bytes::new() });
        }
        let from = place.next.max(kept.first);
        let has_gap = from > place.next;
        let mut frames = BytesMut::new();
        let mut next = from;
        for frame in kept.frames.iter().skip((from - kept.first) as usize) {
            if frames.len() >= BATCH_BYTES {
                break;
            }
            frames.extend_from_slice(frame);
            next += 1;
        }
        (has_gap || next > from).then(|| Batch { place: at(next), has_gap, frames: frames.freeze() })
    }

    /// Where a follower stands who has heard everything: for the answer to one who was held in vain.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { boot: self.boot, next: self.kept.lock().next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(batch: &Batch) -> Vec<Frame> {
        frame::decode(batch.frames.clone()).unwrap()
    }

    fn died(flight: u64) -> Frame {
        Frame::Died { flight }
    }

    #[tokio::test]
    async fn a_follower_gets_everything_from_its_place_on_in_order() {
        let feed = Feed::new(7);
        feed.push(&died(1));
        let start = feed.since(None).await;
        assert_eq!((start.place, start.frames.len()), (Place { boot: 7, next: 1 }, 0));
        feed.push(&died(2));
        feed.push(&died(3));
        let batch = feed.since(Some(start.place)).await;
        assert_eq!((decoded(&batch), batch.has_gap), (vec![died(2), died(3)], false));
        assert_eq!(feed.batch(Some(batch.place)), None, "nothing new: it would be held");
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let feed = std::sync::Arc::new(Feed::new(7));
        let start = feed.since(None).await.place;
        let waiting = tokio::spawn({
            let feed = std::sync::Arc::clone(&feed);
            async move { feed.since(Some(start)).await }
        });
        tokio::task::yield_now().await;
        feed.push(&died(4));
        assert_eq!(decoded(&waiting.await.unwrap()), [died(4)]);
    }

    #[tokio::test]
    async fn who_falls_behind_or_comes_from_another_life_has_a_gap() {
        let feed = Feed::new(7);
        let grown = Frame::Grown { flight: 1, bytes: Bytes::from(vec![0; 1 << 20]) };
        (0..20).for_each(|_| feed.push(&grown));
        let batch = feed.since(Some(Place { boot: 7, next: 0 })).await;
        assert!(batch.has_gap && decoded(&batch).len() == 1, "an answer has a frame at least");
        for place in [Place { boot: 6, next: 0 }, Place { boot: 7, next: 99 }] {
            let batch = feed.since(Some(place)).await;
            assert!(batch.has_gap && batch.frames.is_empty() && batch.place == feed.place());
        }
        let kept = feed.kept.lock();
        assert!(kept.bytes <= KEPT_BYTES && kept.frames.len() < 8);
    }
}
