//! The accept loop: binds, limits connections, serves HTTP/1.1 on each and drains them at the end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::limits::{
    BACKLOG, DRAIN_TIMEOUT, HEAD_BYTES_MAX, HEADERS_MAX, READ_BYTES_MAX, SEND_TIMEOUT, UPLOAD_READ_BYTES_MAX,
};
use crate::places::Places;
use crate::socket::{Phase, Progress, Socket};
use crate::{Handler, Inbound, Request, Traffic};

/// Tells servers to drain. Clones share one switch.
#[derive(Clone, Debug)]
pub struct Drain(watch::Sender<bool>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Drain {
    /// No new work from now on.
    pub fn start(&self) {
        self.0.send_replace(true);
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn has_started(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when draining begins.
    pub async fn started(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = receiver.wait_for(|started| *started).await;
    }
}

/// Binds a listener whose socket options suit a server that restarts and bursts.
///
/// # Errors
/// The address is in use, not ours or not permitted.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves `handler` on `listener` until `drain` starts and every connection has ended or its time is over.
pub async fn serve<H: Handler>(listener: TcpListener, handler: Arc<H>, traffic: Traffic, drain: Drain) {
    let places = Places::new(traffic);
    let mut drained = pin!(drain.started());
    loop {
        let place = tokio::select! {
            place = places.take() => place,
            () = drained.as_mut() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drained.as_mut() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (handler, drain, places) = (Arc::clone(&handler), drain.clone(), places.clone());
                tokio::spawn(async move {
                    connection(stream, peer, handler, traffic, drain, places).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of descriptors: a moment later some will have been closed.
                #[expect(clippy::disallowed_methods, reason = "a pause of the accept loop, not a schedule")]
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, places.all_free()).await.is_err() {
        tracing::warn!("connections still open after {} s are cut off", DRAIN_TIMEOUT.as_secs());
    }
}

async fn connection<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    handler: Arc<H>,
    traffic: Traffic,
    drain: Drain,
    places: Places,
) {
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(SEND_TIMEOUT));
    let progress = Progress::default();
    let read_max = if traffic == Traffic::Uploads { UPLOAD_READ_BYTES_MAX } else { READ_BYTES_MAX };
    let io = TokioIo::new(Socket::new(stream, progress.clone(), read_max, places));
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let refusal = progress.refusal(&request);
        progress.set(Phase::Busy);
        let (head, body) = request.into_parts();
        let request = Request { head, body: Inbound::new(body), peer };
        let (handler, progress) = (&handler, &progress);
        async move {
            let response = match refusal {
                Some(refusal) => refusal.into(),
                None => handler.handle(request).await,
            };
            progress.set(Phase::Idle);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).half_close(traffic == Traffic::Uploads);
    // The guard lets fewer header lines through than hyper takes by itself; a limit set here costs each request more.
    const { assert!(HEADERS_MAX < 100) };
    builder.max_header_size(HEAD_BYTES_MAX);
    let mut connection = builder.serve_connection(io, service);
    let _ = tokio::select! {
        ended = &mut connection => ended,
        () = drain.started() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    connection.into_parts().io.into_inner().linger().await;
}
