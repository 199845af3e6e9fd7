//! Whether a server is worth asking. After a few failures in a row it is left alone for a while, then asked once. Pure:
//! the time is an argument.

use std::time::Duration;

use parking_lot::Mutex;

/// Failures in a row that open it: one or two are a lost connection, more are a server that is gone.
const FAILURES_MAX: u32 = 3;
/// How long it stays open at first.
const REST_MIN: Duration = Duration::from_millis(500);
/// And at last, doubling: a server that is back is used again within this.
const REST_MAX: Duration = Duration::from_secs(8);

/// Keeps questions back from a server that does not answer.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    rest: Duration,
    /// No question before this moment.
    closed_until: Duration,
}

impl Breaker {
    /// Whether to ask at `now`. While it is open, one question passes after each rest.
    pub(crate) fn allows(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        if state.failures < FAILURES_MAX {
            return true;
        }
        if now < state.closed_until {
            return false;
        }
        // Until that one has its answer, or for as long as it may take.
        state.closed_until = now + state.rest;
        true
    }

    /// A question was answered.
    pub(crate) fn succeeded(&self) {
        *self.state.lock() = State::default();
    }

    /// A question was not answered; whether that has opened it, or kept it open.
    pub(crate) fn failed(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES_MAX {
            state.rest = (state.rest * 2).clamp(REST_MIN, REST_MAX);
            state.closed_until = now + state.rest;
        }
        state.failures >= FAILURES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_question_pass() {
        let breaker = Breaker::default();
        breaker.failed(at(0));
        breaker.failed(at(0));
        breaker.succeeded();
        breaker.failed(at(1));
        breaker.failed(at(1));
        assert!(breaker.allows(at(1)));
        assert!(breaker.failed(at(1)), "the third");
        assert!(!breaker.allows(at(500)));
        assert!(breaker.allows(at(501)) && !breaker.allows(at(502)), "one question");
        breaker.failed(at(510));
        assert!(!breaker.allows(at(1509)) && breaker.allows(at(1510)), "after twice the time");
        breaker.succeeded();
        assert!((0..10).all(|_| breaker.allows(at(1511))));
    }

    #[test]
    fn it_never_rests_for_long() {
        let breaker = Breaker::default();
        let opened = (0..100).filter(|_| breaker.failed(at(0)));
        assert_eq!(opened.count(), 98);
        assert!(!breaker.allows(REST_MAX - at(1)) && breaker.allows(REST_MAX));
    }
}
