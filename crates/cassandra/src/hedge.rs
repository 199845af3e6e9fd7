//! When another node is asked too. A fixed span alone would do harm where it is needed most: once all nodes are slower
//! than that, every request is sent twice, and they are slower still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_store::stamp::{Clock, SystemClock};
use scylla::errors::{RequestAttemptError, RequestError};
use scylla::observability::history::{AttemptId, HistoryListener, RequestId, SpeculativeId};
use scylla::policies::retry::RetryDecision;
use scylla::policies::speculative_execution::{Context, SpeculativeExecutionPolicy};

use crate::options::HEDGES_MAX;

/// What takes this many times as long as half of the requests do is slow.
const SLOW: u32 = 3;
/// A request moves what is taken for usual by so small a part of it: after tenfold longer times 38 requests have moved it
/// all the way.
const PART: u64 = 16;
/// Less than any request takes, and large enough to be divided by [`PART`], in microseconds.
const USUAL_MIN: u64 = 100;

/// Chooses for requests of one kind. One frozen node of three does not change what half of the requests take.
#[derive(Debug)]
pub(crate) struct Pace {
    /// No hedge before this.
    least: Duration,
    /// What half of the latest requests took at most, in microseconds.
    usual: AtomicU64,
    /// The real one: the driver sleeps by no other.
    clock: SystemClock,
    /// Hedges sent, of all kinds.
    sent: Arc<AtomicU64>,
}

impl Pace {
    /// Never before `least`; counts in `sent`.
    pub(crate) fn new(least: Duration, sent: Arc<AtomicU64>) -> Self {
        Self { least, usual: AtomicU64::new(USUAL_MIN), clock: SystemClock::default(), sent }
    }

    /// How long the first node has before another is asked.
    pub(crate) fn hedge_after(&self) -> Duration {
        self.least.max(Duration::from_micros(self.usual.load(Ordering::Relaxed)) * SLOW)
    }

    /// Half of the requests move it up and half move it down where it is the median.
    fn learn(&self, took: u64) {
        self.usual.update(Ordering::Relaxed, Ordering::Relaxed, |usual| {
            let step = usual / PART;
            if took > usual { usual + step } else { USUAL_MIN.max(usual - step) }
        });
    }

    fn now(&self) -> u64 {
        self.clock.monotonic().as_micros() as u64
    }
}

impl SpeculativeExecutionPolicy for Pace {
    fn max_retry_count(&self, _: &Context) -> usize {
        HEDGES_MAX
    }

    fn retry_interval(&self, _: &Context) -> Duration {
        self.hedge_after()
    }
}

/// The driver asks for a name of each request and gives it back at the end: here, when it began.
impl HistoryListener for Pace {
    fn log_request_start(&self) -> RequestId {
        RequestId(self.now() as usize)
    }

    fn log_request_success(&self, RequestId(begun): RequestId) {
        self.learn(self.now().saturating_sub(begun as u64));
    }

    fn log_request_error(&self, begun: RequestId, _: &RequestError) {
        self.log_request_success(begun);
    }

    fn log_new_speculative_fiber(&self, _: RequestId) -> SpeculativeId {
        self.sent.fetch_add(1, Ordering::Relaxed);
        SpeculativeId(0)
    }

    fn log_attempt_start(&self, _: RequestId, _: Option<SpeculativeId>, _: SocketAddr) -> AttemptId {
        AttemptId(0)
    }

    fn log_attempt_success(&self, _: AttemptId) {}

    fn log_attempt_error(&self, _: AttemptId, _: &RequestAttemptError, _: &RetryDecision) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(75);

    fn after(spans_ms: impl IntoIterator<Item = u64>) -> u128 {
        let pace = Pace::new(LEAST, Arc::default());
        spans_ms.into_iter().for_each(|span| pace.learn(span * 1000));
        pace.hedge_after().as_millis()
    }

    #[test]
    fn what_is_slow_follows_from_what_is_usual() {
        assert_eq!(after([]), 75);
        assert_eq!(after([10; 1000]), 75);
        // All of them take long: a hedge would be one more.
        let busy = after([200; 1000]);
        assert!((560..650).contains(&busy), "{busy}");
        // Back to normal.
        assert_eq!(after([200; 1000].into_iter().chain([10; 60])), 75);
        assert_eq!(after([100_000; 5000].into_iter().chain([10; 5000])), 75);
    }

    #[test]
    fn one_node_of_three_that_hangs_does_not_put_hedges_off() {
        let frozen = |request: u64| if request.is_multiple_of(3) { 3000 } else { 20 + request % 7 };
        let after = after((0..3000).map(frozen));
        assert!(after <= 90, "{after}");
    }
}
