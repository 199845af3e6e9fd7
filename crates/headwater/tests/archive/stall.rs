//! A way to the server that goes dead in the middle of an answer, so that a client can be killed half-way on purpose
//! and not by luck.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::eventually;

/// A listener whose answers stop for good once so many bytes of them have passed.
pub(crate) struct Stall {
    /// Its URL.
    pub(crate) url: String,
    left: Arc<AtomicUsize>,
}

impl Stall {
    /// Before `server` (`host:port`).
    pub(crate) fn before(server: &str, bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let left = Arc::new(AtomicUsize::new(bytes));
        let (server, rest) = (server.to_owned(), Arc::clone(&left));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let upstream = TcpStream::connect(&server).expect("the server");
                let (asks, answers) = (client.try_clone().expect("a handle"), upstream.try_clone().expect("a handle"));
                std::thread::spawn(move || pass(asks, upstream, None));
                let left = Arc::clone(&rest);
                std::thread::spawn(move || pass(answers, client, Some(&left)));
            }
        });
        Self { url, left }
    }

    /// Waits until it has gone dead.
    pub(crate) fn wait(&self) {
        eventually("the way goes dead", || (self.left.load(Ordering::Acquire) == 0).then_some(()));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: Option<&AtomicUsize>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let take = |left: usize| Some(left.saturating_sub(count));
        let before = left.map(|left| left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).expect("a number"));
        let allowed = before.unwrap_or(count).min(count);
        if to.write_all(&buffer[..allowed]).is_err() {
            break;
        }
        if allowed < count {
            // Dead, not closed: the client waits.
            loop {
                std::thread::park();
            }
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
