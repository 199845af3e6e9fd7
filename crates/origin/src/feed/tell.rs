//! The side that tells: commits of the store as they come, and an upload in flight as long as it lives.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use headwater_model::row::Row;
use tokio::sync::broadcast::error::RecvError;

use super::Feed;
use super::frame::Frame;
use crate::Origin;

/// Tells what this process commits, until the store is gone.
pub async fn commits(origin: Arc<Origin>) {
    let (Some(feed), Some(shared)) = (&origin.feed, origin.store.shared()) else { return };
    let mut commits = shared.commits();
    loop {
        match commits.recv().await {
            Ok(notice) => feed.push(&Frame::Commit(notice)),
            // Followers see these when they look at the store.
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "commits were not told to other nodes at once"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Bytes of an upload in one frame: what has come at once is cut, so that a batch stays small and a follower sees the
/// first of it soon.
const FRAME_BYTES: usize = 1 << 20;

/// An upload in flight that others hear of. Dropping it means that it died.
pub struct Telling {
    feed: Arc<Feed>,
    flight: u64,
    /// Bytes told so far.
    told: u64,
    landed: bool,
}

impl Telling {
    /// It has taken off.
    #[must_use]
    pub fn begin(feed: &Arc<Feed>, row: &Row) -> Self {
        let flight = feed.flight();
        feed.push(&Frame::Began { flight, row: row.clone() });
        Self { feed: Arc::clone(feed), flight, told: 0, landed: false }
    }

    /// Its bytes are there up to `border`; `pieces` are all of them from the first.
    pub fn show(&mut self, pieces: &[Bytes], border: u64) {
        let bytes = between(pieces, self.told, border);
        self.told = self.told.max(border);
        for from in (0..bytes.len()).step_by(FRAME_BYTES) {
            let to = bytes.len().min(from + FRAME_BYTES);
            self.feed.push(&Frame::Grown { flight: self.flight, bytes: bytes.slice(from..to) });
        }
    }

    /// It is whole, and committed as `row`.
    pub fn land(&mut self, pieces: &[Bytes], row: &Row) {
        self.show(pieces, row.size);
        self.feed.push(&Frame::Landed { flight: self.flight, row: row.clone() });
        self.landed = true;
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if !self.landed {
            self.feed.push(&Frame::Died { flight: self.flight });
        }
    }
}

/// The bytes `from..to` of `pieces`, copied: what is kept for followers must not pin the memory for uploads.
fn between(pieces: &[Bytes], from: u64, to: u64) -> Bytes {
    let mut out = BytesMut::new();
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.len() as u64;
        if from < end && start < to {
            let (low, high) = (from.max(start) - start, to.min(end) - start);
            out.extend_from_slice(&piece[low as usize..high as usize]);
        }
        start = end;
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::frame::decode;
    use crate::testing::segment_row;

    #[tokio::test]
    async fn what_comes_at_once_is_cut() {
        let feed = Arc::new(Feed::new(1));
        let start = feed.place();
        let row = segment_row("v", 7, "a", 5);
        Telling::begin(&feed, &row).show(&[vec![7; 2 * FRAME_BYTES + 1].into()], 2 * FRAME_BYTES as u64 + 1);
        let (mut place, mut lengths) = (start, Vec::new());
        while place != feed.place() {
            let batch = feed.since(Some(place)).await;
            assert!(batch.frames.len() < 3 * FRAME_BYTES);
            place = batch.place;
            lengths.extend(decode(batch.frames).unwrap().into_iter().filter_map(|frame| match frame {
                Frame::Grown { bytes, .. } => Some(bytes.len()),
                _ => None,
            }));
        }
        assert_eq!(lengths, [FRAME_BYTES, FRAME_BYTES, 1]);
    }

    #[tokio::test]
    async fn every_byte_is_told_once_and_the_end_last() {
        let feed = Arc::new(Feed::new(1));
        let start = feed.place();
        let pieces = [Bytes::from_static(b"first"), Bytes::from_static(b"second")];
        let mut row = segment_row("v", 7, "a", 5);
        row.size = 11;
        let mut telling = Telling::begin(&feed, &row);
        telling.show(&pieces[..1], 3);
        telling.show(&pieces, 8);
        telling.land(&pieces, &row);
        drop(telling);
        drop(Telling::begin(&feed, &row));
        let frames = decode(feed.since(Some(start)).await.frames).unwrap();
        let grown = |bytes: &'static [u8]| Frame::Grown { flight: 1, bytes: Bytes::from_static(bytes) };
        assert_eq!(
            frames,
            [
                Frame::Began { flight: 1, row: row.clone() },
                grown(b"fir"),
                grown(b"stsec"),
                grown(b"ond"),
                Frame::Landed { flight: 1, row: row.clone() },
                Frame::Began { flight: 2, row },
                Frame::Died { flight: 2 },
            ]
        );
    }
}
