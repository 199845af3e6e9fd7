//! Clocks and stamps. This is the only module of the data plane that asks the machine for the time.
//!
//! A stamp orders records: it starts at the larger of the wall clock and the highest durable stamp, and from then on
//! follows the monotonic clock, so that a wall clock that jumps cannot reorder what was published.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::Timestamp;
use parking_lot::Mutex;

/// The machine's clocks, or a test's.
pub trait Clock: Send + Sync {
    /// UTC; may jump.
    fn wall(&self) -> Timestamp;
    /// Time since some fixed moment; never jumps.
    fn monotonic(&self) -> Duration;
    /// Returns after `span` of monotonic time.
    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The real clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        Self { started: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Timestamp::from_nanos(since.as_nanos() as i128),
            Err(before) => Timestamp::from_nanos(-(before.duration().as_nanos() as i128)),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let sleep = tokio::time::sleep(span);
        Box::pin(sleep)
    }
}

/// A clock that stands still until told: for tests and simulations. Its [`sleep`](Clock::sleep) never ends.
#[derive(Debug, Default)]
pub struct ManualClock {
    state: Mutex<(i128, Duration)>,
}

impl ManualClock {
    /// Shows `wall`.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self { state: Mutex::new((wall.nanos(), Duration::ZERO)) }
    }

    /// Time passes, on both clocks.
    pub fn advance(&self, span: Duration) {
        let mut state = self.state.lock();
        state.0 += span.as_nanos() as i128;
        state.1 += span;
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, wall: Timestamp) {
        self.state.lock().0 = wall.nanos();
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_nanos(self.state.lock().0)
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().1
    }

    fn sleep(&self, _span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

/// Hands out stamps and knows up to where all of them are told. One per store.
pub struct Stamps {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    /// Stamp at monotonic zero.
    anchor: i128,
    /// The last stamp handed out.
    last: i128,
    /// The first stamp of the commit in progress.
    open: Option<i128>,
    /// Stamps of commits of their own that are in progress.
    apart: BTreeSet<i128>,
}

impl Stamps {
    /// Starts after `highest`, the highest durable stamp of the store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, highest: Timestamp) -> Self {
        let start = clock.wall().max(highest.offset_nanos(1)).nanos();
        let anchor = start - clock.monotonic().as_nanos() as i128;
        Self { clock, state: Mutex::new(State { anchor, last: start, open: None, apart: BTreeSet::new() }) }
    }

    /// The moment on the stamp clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let mut state = self.state.lock();
        Timestamp::from_nanos(state.now(&*self.clock))
    }

    /// A stamp of its own for a record that is about to be committed; holds the watermark below it until
    /// [`Stamps::settle`].
    #[must_use]
    pub fn next(&self) -> Timestamp {
        let mut state = self.state.lock();
        let stamp = state.now(&*self.clock).max(state.last + 1);
        state.last = stamp;
        state.open.get_or_insert(stamp);
        Timestamp::from_nanos(stamp)
    }

    /// A stamp for what is known before it is committed: `tell` makes it known before the watermark can pass it, so
    /// that nobody who has seen the watermark past the stamp finds it absent. `tell` runs under the lock of the stamps.
    pub fn arrive(&self, tell: impl FnOnce(Timestamp)) {
        let mut state = self.state.lock();
        let stamp = state.now(&*self.clock).max(state.last + 1);
        state.last = stamp;
        tell(Timestamp::from_nanos(stamp));
    }

    /// The commit in progress is announced or has failed: the watermark may pass.
    pub fn settle(&self) {
        self.state.lock().open = None;
    }

    /// As [`Stamps::next`], for an engine whose commits end one by one: this stamp holds the watermark below it until it
    /// is given to [`Stamps::close`].
    #[must_use]
    pub fn open(&self) -> Timestamp {
        let mut state = self.state.lock();
        let stamp = state.now(&*self.clock).max(state.last + 1);
        state.last = stamp;
        state.apart.insert(stamp);
        Timestamp::from_nanos(stamp)
    }

    /// The commit stamped `stamp` is announced or has failed.
    pub fn close(&self, stamp: Timestamp) {
        self.state.lock().apart.remove(&stamp.nanos());
    }

    /// Another process has stamped a record `stamp`: what is stamped from now on is later.
    pub fn hear(&self, stamp: Timestamp) {
        let mut state = self.state.lock();
        state.last = state.last.max(stamp.nanos());
    }

    /// Everything stamped up to here is announced.
    #[must_use]
    pub fn settled(&self) -> Timestamp {
        let mut state = self.state.lock();
        let now = state.now(&*self.clock);
        let open = state.open.into_iter().chain(state.apart.first().copied()).min();
        Timestamp::from_nanos(open.map_or(now, |open| open - 1))
    }
}

impl State {
    /// Never before a stamp that was handed out, so that who heard of a record also sees its time as past; and every
    /// later stamp lies after what this returned.
    fn now(&mut self, clock: &dyn Clock) -> i128 {
        self.last = self.last.max(self.anchor + clock.monotonic().as_nanos() as i128);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(wall: i64, highest: i64) -> (Arc<ManualClock>, Stamps) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(wall)));
        (clock.clone(), Stamps::new(clock, Timestamp::from_seconds(highest)))
    }

    #[test]
    fn stamps_start_after_the_highest_durable_one() {
        assert!(stamps(100, 500).1.now() > Timestamp::from_seconds(500));
        assert_eq!(stamps(500, 100).1.now(), Timestamp::from_seconds(500));
    }

    #[test]
    fn a_wall_clock_that_jumps_moves_no_stamp() {
        let (clock, stamps) = stamps(1000, 0);
        clock.advance(Duration::from_secs(1));
        clock.set_wall(Timestamp::from_seconds(1));
        assert_eq!(stamps.now(), Timestamp::from_seconds(1001));
        clock.set_wall(Timestamp::from_seconds(1_000_000));
        assert_eq!(stamps.now(), Timestamp::from_seconds(1001));
    }

    #[test]
    fn every_stamp_is_new_although_the_clock_stands() {
        let (_, stamps) = stamps(1000, 0);
        let seen = stamps.now();
        let (one, two) = (stamps.next(), stamps.next());
        assert!(seen < one && one < two);
        assert!(stamps.now() >= two);
    }

    #[test]
    fn what_arrives_is_known_before_the_watermark_passes_it() {
        let (_, stamps) = stamps(1000, 0);
        let seen = stamps.settled();
        let mut arrived = None;
        stamps.arrive(|stamp| arrived = Some(stamp));
        assert!(arrived.is_some_and(|stamp| seen < stamp && stamp <= stamps.settled()));
        let commit = stamps.next();
        stamps.arrive(|stamp| assert!(stamp > commit));
        assert!(stamps.settled() < commit, "the commit in progress holds it down all the same");
    }

    #[test]
    fn the_watermark_waits_for_the_oldest_of_the_commits_that_end_one_by_one() {
        let (clock, stamps) = stamps(1000, 0);
        let (one, two) = (stamps.open(), stamps.open());
        clock.advance(Duration::from_secs(5));
        stamps.close(two);
        assert!(stamps.settled() < one);
        stamps.close(one);
        assert!(stamps.settled() >= Timestamp::from_seconds(1005));
    }

    #[test]
    fn what_others_stamped_is_never_stamped_again() {
        let (_, stamps) = stamps(1000, 0);
        stamps.hear(Timestamp::from_seconds(2000));
        assert!(stamps.open() > Timestamp::from_seconds(2000));
        stamps.hear(Timestamp::from_seconds(1));
        assert!(stamps.now() > Timestamp::from_seconds(2000));
    }

    #[test]
    fn the_watermark_waits_for_the_commit_in_progress() {
        let (clock, stamps) = stamps(1000, 0);
        let stamp = stamps.next();
        let _ = stamps.next();
        clock.advance(Duration::from_secs(5));
        assert!(stamps.settled() < stamp);
        stamps.settle();
        assert!(stamps.settled() >= Timestamp::from_seconds(1005));
        assert!(stamps.next() > stamps.settled().offset_nanos(-1));
    }
}
