//! Bodies: in as frames with deadlines, out as pieces that are shared with the store.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
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
    /// Pieces of a stored object, sent from where they lie.
    Stored {
        /// The object, or a range of it.
        body: headwater_store::Body,
        /// The next piece to send.
        next: usize,
    },
    /// An object that is still arriving, chunked. If its upload dies, the connection is closed without the last chunk,
    /// so that no cache takes what was sent for the whole (RFC 9112 §8).
    Following(Follower),
}

impl Outbound {
    /// The bytes in all; `None` where nobody knows yet.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Stored { body, .. } => Some(body.len()),
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
        Self::Stored { body, next: 0 }
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
    type Data = Bytes;
    type Error = Died;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Died>>> {
        let piece = match &mut *self {
            Self::Empty => None,
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Some(bytes)
            }
            Self::Stored { body, next } => {
                let piece = body.chunks().get(*next).cloned();
                *next += 1;
                piece
            }
            Self::Following(follower) => ready!(follower.poll_piece(cx)).transpose()?,
        };
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(_) | Self::Following(_) => false,
            Self::Stored { body, next } => *next >= body.chunks().len(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match self {
            Self::Following(_) => return SizeHint::default(),
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stored { body, next: 0 } => body.len(),
            Self::Stored { body, next } => body.chunks().iter().skip(*next).map(|piece| piece.len() as u64).sum(),
        };
        SizeHint::with_exact(rest)
    }
}
