//! What every end-to-end test needs: the real binary on free ports, an HTTP client that takes errors as values, raw
//! connections for what no client would send, and events whose clock stands where a test wants it.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test target uses its part")]

pub mod event;
pub mod http;
pub mod media;
pub mod program;
pub mod raw;
pub mod server;

pub use event::Event;
pub use http::{Reply, delete, get, head, post, put};
pub use raw::Raw;
pub use server::Server;

use std::time::{Duration, Instant};

/// How long anything may take that should take no time: machines are busy, and a failure has to be told some day.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `ask` until it answers.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ask)
}

/// Asks `ask` until it answers.
///
/// # Panics
/// If it does not within `span`.
pub fn within<T>(span: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < span, "{what}: not within {span:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lets time pass that a test is about: a deadline, a silence. Never to wait for something that can be asked for.
pub fn let_pass(span: Duration) {
    std::thread::sleep(span);
}

/// Milliseconds of the wall clock.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

/// As RFC 3339 writes it.
pub fn rfc3339(unix_ms: i64) -> String {
    headwater_model::Timestamp::from_millis(unix_ms).to_string()
}

/// Random numbers that are the same in every run.
pub struct Dice(u64);

impl Dice {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// One of `0..sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.roll(256) as u8).take(length).collect()
    }
}
