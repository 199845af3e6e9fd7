//! The socket of one connection, as hyper sees it: what the guard refuses never arrives there, a request head has its
//! deadline (contract §1) while a persistent connection may rest for minutes between two segments, and a reader that
//! does not read is given up. hyper's own timeout does not tell a slow head from a rest.
//!
//! A refusal takes the refused head's place in the stream of requests, as a request that no client can make: hyper
//! answers those before it first, and then asks the accept loop, which knows why. Nothing is answered out of turn.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::guard::{Guard, Refusal, Stop};
use crate::limits::{CROWDED_IDLE_TIMEOUT, HEAD_TIMEOUT, IDLE_TIMEOUT, LINGER_BYTES_MAX, LINGER_TIMEOUT, SEND_TIMEOUT};
use crate::places::Places;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Between two requests.
    Idle = 0,
    /// Some of a request head has come.
    Head = 1,
    /// A request is being answered: its handler has deadlines of its own.
    Busy = 2,
    /// The peer takes nothing more of an answer for now.
    Sending = 3,
}

/// What the socket and the accept loop tell each other.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_busy: AtomicU8,
    refusal: AtomicU8,
}

impl Progress {
    /// A handler has begun, or ended.
    pub(crate) fn set(&self, phase: Phase) {
        self.0.is_busy.store(phase as u8, Ordering::Relaxed);
    }

    fn is_busy(&self) -> bool {
        self.0.is_busy.load(Ordering::Relaxed) == Phase::Busy as u8
    }

    /// Why `request` is refused, if it stands for one that the guard has refused.
    pub(crate) fn refusal<B>(&self, request: &http::Request<B>) -> Option<Refusal> {
        if request.uri().path() != "*" || request.method() == http::Method::OPTIONS {
            return None;
        }
        Refusal::numbered(self.0.refusal.load(Ordering::Relaxed))
    }
}

/// What stands for a refused request. No client's gets here: the guard lets `*` through with OPTIONS only.
const REFUSED: &[u8] = b"GET * HTTP/1.1\r\nconnection: close\r\n\r\n";
/// The same for HEAD, whose answer has no body.
const REFUSED_HEAD: &[u8] = b"HEAD * HTTP/1.1\r\nconnection: close\r\n\r\n";

#[expect(clippy::disallowed_methods, reason = "deadlines of the wire, on the monotonic clock of the runtime")]
fn now() -> Instant {
    Instant::now()
}

/// The socket of one connection.
pub(crate) struct Socket {
    stream: TcpStream,
    progress: Progress,
    guard: Guard,
    /// Received, but not handed over: part of a head, as a rule nothing.
    held: Vec<u8>,
    /// How much of it may be handed over.
    passed: usize,
    stop: Option<Stop>,
    /// Most bytes of one read, so that hyper's buffer does not grow past twice that.
    read_max: usize,
    /// Whether the last write found no room.
    is_blocked: bool,
    timer: Pin<Box<Sleep>>,
    /// The phase that the timer was set for.
    timed: Option<Phase>,
    /// When that phase's time is over.
    ends: Instant,
    /// Of the listener.
    places: Places,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, progress: Progress, read_max: usize, places: Places) -> Self {
        let ends = now() + IDLE_TIMEOUT;
        Self {
            stream,
            progress,
            guard: Guard::default(),
            held: Vec::new(),
            passed: 0,
            stop: None,
            read_max,
            is_blocked: false,
            timer: Box::pin(sleep_until(ends)),
            timed: None,
            ends,
            places,
        }
    }

    /// After an answer that came before the request's end: waits until the peer has heard it, or time is over.
    pub(crate) async fn linger(mut self) {
        if self.stop.is_none() && !self.guard.is_in_body() {
            return;
        }
        let _ = self.stream.shutdown().await;
        let discard = async {
            let mut buffer = vec![0; 16 * 1024];
            let mut seen = 0;
            while let Ok(read @ 1..) = self.stream.read(&mut buffer).await {
                seen += read;
                if seen > LINGER_BYTES_MAX {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER_TIMEOUT, discard).await;
    }

    fn phase(&self) -> Phase {
        if self.is_blocked {
            Phase::Sending
        } else if self.progress.is_busy() {
            Phase::Busy
        } else if self.held.is_empty() {
            Phase::Idle
        } else {
            Phase::Head
        }
    }

    /// The phase whose time is over, if it is. The timer is only touched when the phase has changed.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Option<Phase> {
        let phase = self.phase();
        let span = match phase {
            Phase::Busy => {
                self.timed = None;
                return None;
            }
            Phase::Idle => IDLE_TIMEOUT,
            Phase::Head => HEAD_TIMEOUT,
            Phase::Sending => SEND_TIMEOUT,
        };
        if self.timed != Some(phase) {
            self.timed = Some(phase);
            self.ends = now() + span;
            self.set_timer();
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let is_crowded = self.places.are_short();
            if now() >= self.ends || (phase == Phase::Idle && is_crowded) {
                return Some(phase);
            }
            self.set_timer();
        }
        None
    }

    /// An idle connection looks up from time to time whether its place is needed.
    fn set_timer(&mut self) {
        let look_up = now() + CROWDED_IDLE_TIMEOUT;
        let next = if self.timed == Some(Phase::Idle) { self.ends.min(look_up) } else { self.ends };
        self.timer.as_mut().reset(next);
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.progress.0.refusal.store(refusal as u8, Ordering::Relaxed);
        self.stop = Some(Stop::Refused(refusal));
        self.held.truncate(self.passed);
        self.held.extend_from_slice(if self.guard.wants_no_body() { REFUSED_HEAD } else { REFUSED });
        self.passed = self.held.len();
    }

    /// Leaves in `buf` what the guard passes of its bytes from `before` on.
    fn sort(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let seen = if self.held.is_empty() {
            let seen = self.guard.look(&buf.filled()[before..]);
            self.held.extend_from_slice(&buf.filled()[before + seen.pass..]);
            buf.set_filled(before + seen.pass);
            seen
        } else {
            self.held.extend_from_slice(&buf.filled()[before..]);
            buf.set_filled(before);
            let seen = self.guard.look(&self.held);
            self.passed = seen.pass;
            seen
        };
        match seen.stop {
            None => {}
            Some(Stop::Refused(refusal)) => self.refuse(refusal),
            Some(Stop::BrokenBody) => {
                self.stop = seen.stop;
                self.held.truncate(self.passed);
            }
        }
    }

    /// Moves what has been passed into `buf`; whether there was any.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let now = self.passed.min(buf.remaining());
        if now == 0 {
            return false;
        }
        buf.put_slice(&self.held[..now]);
        self.held.drain(..now);
        self.passed -= now;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        true
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() <= self.read_max {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read_buf(&mut (&mut *buf).limit(self.read_max)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }

    /// Takes note of how a write went; one that finds no room for too long fails.
    fn written(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            if self.is_blocked {
                (self.is_blocked, self.timed) = (false, None);
            }
            return wrote;
        }
        self.is_blocked = true;
        if self.overdue(cx).is_some() { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.hand_over(buf) {
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            let read = match this.stop {
                None => this.poll_stream(cx, buf)?,
                Some(Stop::Refused(_)) => Poll::Pending,
                Some(Stop::BrokenBody) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            };
            if read.is_pending() {
                match this.overdue(cx) {
                    None => return Poll::Pending,
                    Some(Phase::Head) if this.stop.is_none() => this.refuse(Refusal::HeadTimeout),
                    Some(_) => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                }
                continue;
            }
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            this.sort(buf, before);
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
