//! Bodies: in as frames with deadlines, out as pieces that are shared with the store.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use headwater_store::flow::{Died, Follower};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{BODY_STALL_TIMEOUT, BODY_TIMEOUT};

/// Why a body did not arrive whole. Nothing of it may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection ended early, the chunk framing broke or the announced length was not met: 400.
    #[error("the body was cut short; send it again whole")]
    CutShort,
    /// It stood still: 408.
    #[error("the body stood still for {} s; send it again", BODY_STALL_TIMEOUT.as_secs())]
    Stalled,
    /// It took too long: 408.
    #[error("the body took over {} s; send shorter segments or use a faster path", BODY_TIMEOUT.as_secs())]
    TooSlow,
}

/// A request's body, or a response's at the client.
pub struct Inbound {
    incoming: hyper::body::Incoming,
    end: Instant,
    /// Made with the first frame: most requests have no body.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Inbound {
    pub(crate) fn new(incoming: hyper::body::Incoming) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a deadline of the wire, on the monotonic clock of the runtime")]
        let now = Instant::now();
        Self { incoming, end: now + BODY_TIMEOUT, timer: None }
    }

    /// The length that the head announced; `None` for a chunked body.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        http_body::Body::size_hint(&self.incoming).exact()
    }

    /// The next frame of data; `None` at the end.
    pub async fn frame(&mut self) -> Option<Result<Bytes, BodyError>> {
        #[expect(clippy::disallowed_methods, reason = "a deadline of the wire, on the monotonic clock of the runtime")]
        let stall = Instant::now() + BODY_STALL_TIMEOUT;
        let due = stall.min(self.end);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        timer.as_mut().reset(due);
        loop {
            let frame = tokio::select! {
                biased;
                frame = self.incoming.frame() => frame,
                () = timer.as_mut() => {
                    return Some(Err(if stall < self.end { BodyError::Stalled } else { BodyError::TooSlow }));
                }
            };
            match frame? {
                Err(_) => return Some(Err(BodyError::CutShort)),
                // Trailers carry nothing that we use.
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
            }
        }
    }

    /// Reads to the end and forgets, at most `limit` bytes: the client hears the answer that follows. `false` if there
    /// was more.
    pub async fn discard(&mut self, limit: u64) -> bool {
        let mut seen = 0;
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame else { return false };
            seen += data.len() as u64;
            if seen > limit {
                return false;
            }
        }
        true
    }

    /// The whole body if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`], or `None` inside if it is larger.
    pub async fn collect(&mut self, limit: usize) -> Result<Option<Bytes>, BodyError> {
        let mut all = Vec::new();
        while let Some(frame) = self.frame().await {
            let data = frame?;
            if all.len() + data.len() > limit {
                return Ok(None);
            }
            all.extend_from_slice(&data);
        }
        Ok(Some(all.into()))
    }
}

/// A response's body. A closed list, so that every way of sending is known here.
#[derive(Debug, Default)]
pub enum Outbound {
    /// Nothing.
    #[default]
    Empty,
    /// One piece.
    Bytes(Bytes),
    /// A stored object or a range of it, sent from where it lies.
    Stored(headwater_store::Body),
    /// An object that is still arriving, chunked. If its upload dies, the connection is closed without the last chunk,
    /// so that no cache takes what was sent for the whole (RFC 9112 §8).
    Following(Follower),
}

impl Outbound {
    /// The bytes in all; `None` if that is not known yet.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Stored(body) => Some(body.len()),
            Self::Following(_) => None,
        }
    }
}

impl From<Follower> for Outbound {
    fn from(follower: Follower) -> Self {
        Self::Following(follower)
    }
}

impl From<headwater_store::Body> for Outbound {
    fn from(body: headwater_store::Body) -> Self {
        Self::Stored(body)
    }
}

impl From<Bytes> for Outbound {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Bytes(bytes) }
    }
}

impl From<String> for Outbound {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl http_body::Body for Outbound {
    type Data = Data;
    type Error = Died;

    /// All of it at once: hyper writes the pieces of one frame with one call, and few frames before it writes.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Data>, Died>>> {
        if let Self::Following(follower) = &mut *self {
            let piece = ready!(follower.poll_piece(cx)).transpose()?;
            return Poll::Ready(piece.map(|bytes| Ok(Frame::data(Data::Bytes(bytes)))));
        }
        let data = match std::mem::take(&mut *self) {
            Self::Empty | Self::Following(_) => return Poll::Ready(None),
            Self::Bytes(bytes) => Data::Bytes(bytes),
            Self::Stored(body) if body.is_empty() => return Poll::Ready(None),
            Self::Stored(body) => Data::Stored(Pieces::new(body)),
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What is on its way out.
#[derive(Debug)]
pub enum Data {
    /// One piece.
    Bytes(Bytes),
    /// A stored object.
    Stored(Pieces),
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Stored(pieces) => pieces.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Stored(pieces) => pieces.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.chunks_vectored(to),
            Self::Stored(pieces) => pieces.chunks_vectored(to),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Stored(pieces) => pieces.advance(count),
        }
    }
}

/// The pieces of a stored object that are still to be sent.
#[derive(Debug)]
pub struct Pieces {
    body: headwater_store::Body,
    /// The first piece that has not been sent whole.
    next: usize,
    /// Bytes of it that have been sent.
    sent: usize,
    rest: usize,
}

impl Pieces {
    fn new(body: headwater_store::Body) -> Self {
        let rest = usize::try_from(body.len()).unwrap_or(usize::MAX);
        Self { body, next: 0, sent: 0, rest }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.rest
    }

    fn chunk(&self) -> &[u8] {
        self.body.chunks().get(self.next).map_or(&[], |piece| &piece[self.sent..])
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.body.chunks().get(self.next..).unwrap_or_default();
        let mut count = 0;
        for (slot, piece) in to.iter_mut().zip(pieces) {
            *slot = IoSlice::new(if count == 0 { &piece[self.sent..] } else { piece });
            count += 1;
        }
        count
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.rest, "advanced past the end of a body");
        self.rest -= count;
        self.sent += count;
        while let Some(piece) = self.body.chunks().get(self.next)
            && self.sent >= piece.len()
        {
            self.sent -= piece.len();
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &[&'static str]) -> headwater_store::Body {
        pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect::<Vec<_>>().into()
    }

    #[test]
    fn pieces_are_sent_in_order_however_little_the_socket_takes() {
        for step in 1..=9 {
            let (mut pieces, mut sent) = (Pieces::new(body(&["ab", "c", "defg", "hi"])), Vec::new());
            while pieces.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 3];
                let count = pieces.chunks_vectored(&mut slices);
                let offered: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
                assert!(offered.starts_with(pieces.chunk()) && !pieces.chunk().is_empty());
                let taken = step.min(offered.len());
                sent.extend_from_slice(&offered[..taken]);
                pieces.advance(taken);
            }
            assert_eq!(sent, b"abcdefghi", "{step}");
            assert!(pieces.chunk().is_empty());
        }
    }

    #[tokio::test]
    async fn every_body_is_one_frame_of_its_length() {
        for (out, length) in [
            (Outbound::Empty, 0),
            (Bytes::from("abc").into(), 3),
            (body(&["ab", "c"]).into(), 3),
            (body(&[]).into(), 0),
        ] {
            let hint = http_body::Body::size_hint(&out).exact();
            assert_eq!((hint, http_body::Body::is_end_stream(&out)), (Some(length), length == 0));
            assert_eq!(out.collect().await.unwrap().to_bytes().len() as u64, length);
        }
    }
}
