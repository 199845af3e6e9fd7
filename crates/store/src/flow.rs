//! An upload that is still arriving, for readers who follow it (contract §5, low latency). They share its pieces, and
//! each sees every byte from the first, up to a length that only ever grows and lies where the writer says: never a
//! byte beyond it. A flow ends whole, or dies with its upload; it never ends short.
//!
//! The writer never waits for a follower. A slow one pins the pieces of this one upload, and no more.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::slab::Body;

/// The upload died: whoever follows it must not take what came for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upload that was followed has died")]
pub struct Died;

/// What has arrived.
#[derive(Default)]
pub struct Flow {
    state: RwLock<State>,
    news: Arc<Notify>,
}

#[derive(Default)]
struct State {
    pieces: Vec<Bytes>,
    /// Bytes that followers may see.
    visible: u64,
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    Dead,
}

impl Flow {
    /// Appends `pieces` and shows all bytes up to `visible`. Wakes nobody: see [`Flow::wake`].
    pub fn show(&self, pieces: &[Bytes], visible: u64) {
        let mut state = self.state.write();
        state.pieces.extend_from_slice(pieces);
        state.visible = state.visible.max(visible);
    }

    /// How many pieces there are.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.state.read().pieces.len()
    }

    /// The upload is whole and stays: shows the rest of it. `body` begins with the pieces that were shown.
    pub fn finish(&self, body: &Body) {
        let mut state = self.state.write();
        if state.end.is_none() {
            state.pieces = body.chunks().to_vec();
            state.visible = body.len();
            state.end = Some(End::Whole);
        }
    }

    /// The upload will not come to an end.
    pub fn die(&self) {
        self.state.write().end.get_or_insert(End::Dead);
    }

    /// Wakes the followers. Apart from the change, because thousands of them are woken where they run and not where
    /// the upload is taken in.
    pub fn wake(&self) {
        self.news.notify_waiters();
    }

    /// Returns when the upload is whole or dead.
    pub async fn ended(&self) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if self.state.read().end.is_some() {
                return;
            }
            news.await;
        }
    }

    /// Follows from the first byte.
    #[must_use]
    pub fn follow(self: &Arc<Self>) -> Follower {
        Follower { flow: Arc::clone(self), next: 0, start: 0, sent: 0, waiting: None }
    }
}

/// One who reads a [`Flow`].
pub struct Follower {
    flow: Arc<Flow>,
    /// The piece that is being read.
    next: usize,
    /// Where it begins.
    start: u64,
    /// Bytes read so far.
    sent: u64,
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Follower {
    /// The next bytes, shared; `None` at the end.
    ///
    /// # Errors
    /// [`Died`], after everything that was shown.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Died>>> {
        loop {
            if let Some(step) = self.step() {
                self.waiting = None;
                return Poll::Ready(step);
            }
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            } else {
                // Joined before the next look, so that no news is missed.
                let mut waiting = Box::pin(Arc::clone(&self.flow.news).notified_owned());
                waiting.as_mut().enable();
                self.waiting = Some(waiting);
            }
        }
    }

    /// The next piece or the end; `None` if there is no more yet.
    fn step(&mut self) -> Option<Option<Result<Bytes, Died>>> {
        let state = self.flow.state.read();
        while let Some(piece) = state.pieces.get(self.next) {
            let end = self.start + piece.len() as u64;
            let to = end.min(state.visible);
            if self.sent < to {
                let range = (self.sent - self.start) as usize..(to - self.start) as usize;
                self.sent = to;
                return Some(Some(Ok(piece.slice(range))));
            }
            if self.sent < end {
                break;
            }
            (self.next, self.start) = (self.next + 1, end);
        }
        state.end.map(|end| match end {
            End::Whole => None,
            End::Dead => Some(Err(Died)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn next(follower: &mut Follower) -> Option<Result<Bytes, Died>> {
        poll_fn(|cx| follower.poll_piece(cx)).await
    }

    /// What can be read without waiting.
    async fn at_hand(follower: &mut Follower) -> Vec<u8> {
        let mut all = Vec::new();
        while let Poll::Ready(Some(Ok(piece))) = poll_fn(|cx| Poll::Ready(follower.poll_piece(cx))).await {
            all.extend_from_slice(&piece);
        }
        all
    }

    fn piece(bytes: &'static [u8]) -> Bytes {
        Bytes::from_static(bytes)
    }

    fn body() -> Body {
        vec![piece(b"first"), piece(b"second"), piece(b"third")].into()
    }

    #[tokio::test]
    async fn whoever_attaches_gets_every_byte_from_the_first() {
        let flow = Arc::new(Flow::default());
        let mut before = flow.follow();
        assert_eq!(at_hand(&mut before).await, b"");
        flow.show(&[piece(b"first"), piece(b"second")], 8);
        let mut amid = flow.follow();
        assert_eq!(at_hand(&mut before).await, b"firstsec");
        assert_eq!(at_hand(&mut amid).await, b"firstsec", "not a byte beyond the border");
        flow.finish(&body());
        let mut after = flow.follow();
        assert_eq!(at_hand(&mut after).await, b"firstsecondthird");
        assert_eq!(at_hand(&mut before).await, b"ondthird");
        for follower in [&mut before, &mut after] {
            assert_eq!(next(follower).await, None);
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let flow = Arc::new(Flow::default());
        let mut follower = flow.follow();
        let reading = tokio::spawn(async move { next(&mut follower).await });
        tokio::task::yield_now().await;
        flow.show(&[piece(b"first")], 5);
        flow.wake();
        assert_eq!(reading.await.unwrap(), Some(Ok(piece(b"first"))));
    }

    #[tokio::test]
    async fn a_death_is_told_after_what_was_shown_and_for_good() {
        let flow = Arc::new(Flow::default());
        flow.show(&[piece(b"first")], 5);
        let mut follower = flow.follow();
        flow.die();
        flow.ended().await;
        assert_eq!(next(&mut follower).await, Some(Ok(piece(b"first"))));
        assert_eq!(next(&mut follower).await, Some(Err(Died)));
        assert_eq!(next(&mut follower).await, Some(Err(Died)));
    }

    #[tokio::test]
    async fn pieces_are_shared_and_not_copied() {
        let flow = Arc::new(Flow::default());
        let bytes = Bytes::from(vec![7; 1000]);
        flow.show(std::slice::from_ref(&bytes), 1000);
        let read = next(&mut flow.follow()).await.unwrap().unwrap();
        assert_eq!(read.as_ptr(), bytes.as_ptr());
    }
}
