//! Time that passes only when nobody has anything to do, and then to the next moment for which somebody waits. One thread,
//! one order, no waiting: a seed gives the same run on every machine.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headwater_model::Timestamp;
use headwater_store::stamp::Clock;
use parking_lot::Mutex;

/// When the worlds begin, in UTC.
pub const BEGINNING: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The time of one world.
#[derive(Default)]
pub struct Time {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: Duration,
    sleepers: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
}

impl Time {
    /// Since the world began.
    pub fn now(&self) -> Duration {
        self.state.lock().now
    }

    /// Returns after `span`.
    pub fn sleep(self: &Arc<Self>, span: Duration) -> Sleep {
        let mut state = self.state.lock();
        state.sleepers += 1;
        let at = (state.now + span, state.sleepers);
        drop(state);
        Sleep { time: Arc::clone(self), at }
    }

    /// Nobody has anything to do: wakes whoever waits for the next moment.
    fn pass(&self) {
        let mut state = self.state.lock();
        let ((at, _), waker) = state.timers.pop_first().expect("somebody waits for a moment to come");
        state.now = state.now.max(at);
        drop(state);
        waker.wake();
    }

    /// Runs `world` in its time to its end.
    pub fn run<T>(self: &Arc<Self>, world: impl Future<Output = T>) -> T {
        let time = Arc::clone(self);
        let runtime = tokio::runtime::Builder::new_current_thread().on_thread_park(move || time.pass()).build();
        runtime.expect("a runtime of one thread").block_on(world)
    }
}

/// Ends at its moment.
pub struct Sleep {
    time: Arc<Time>,
    at: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.time.state.lock();
        if state.now >= self.at.0 {
            return Poll::Ready(());
        }
        state.timers.insert(self.at, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.time.state.lock().timers.remove(&self.at);
        // Dropped after the lock: it may hold the last handle of a task that sleeps too.
        drop(waker);
    }
}

/// The clocks of one machine: its wall clock is wrong by a constant.
pub struct MachineClock {
    /// The time of the world.
    pub time: Arc<Time>,
    /// How far ahead of it the wall clock is.
    pub ahead_nanos: i128,
}

impl Clock for MachineClock {
    fn wall(&self) -> Timestamp {
        BEGINNING.offset_nanos(self.time.now().as_nanos() as i128 + self.ahead_nanos)
    }

    fn monotonic(&self) -> Duration {
        self.time.now()
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.time.sleep(span))
    }
}
