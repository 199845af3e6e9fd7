//! A socket that knows whether a request head is under way, so that a head has its deadline (contract §1) while a
//! persistent connection may rest for minutes between two segments. hyper's own timeout does not tell the two apart.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{HEAD_TIMEOUT, IDLE_TIMEOUT};

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
}

/// The phase, shared by the socket and the handler.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<AtomicU8>);

impl Progress {
    pub(crate) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Busy,
        }
    }
}

/// The socket of one connection.
pub(crate) struct Socket {
    stream: TcpStream,
    progress: Progress,
    timer: Pin<Box<Sleep>>,
    /// The phase that the timer was set for.
    timed: Phase,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, progress: Progress) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a deadline of the wire, on the monotonic clock of the runtime")]
        let timer = Box::pin(sleep(IDLE_TIMEOUT));
        Self { stream, progress, timer, timed: Phase::Idle }
    }

    /// Whether the phase's time is over. The timer is only touched when the phase has changed.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let phase = self.progress.get();
        if phase != self.timed {
            self.timed = phase;
            let span = if phase == Phase::Head { HEAD_TIMEOUT } else { IDLE_TIMEOUT };
            #[expect(clippy::disallowed_methods, reason = "a deadline of the wire")]
            let now = Instant::now();
            if phase != Phase::Busy {
                self.timer.as_mut().reset(now + span);
            }
        }
        phase != Phase::Busy && self.timer.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() && buf.filled().len() > before && self.progress.get() == Phase::Idle {
            self.progress.set(Phase::Head);
        }
        if read.is_pending() && self.is_overdue(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
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
