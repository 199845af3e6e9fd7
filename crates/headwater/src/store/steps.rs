//! How far a survey of a cluster is: a bar at a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use headwater_cassandra::survey::Progress;
use headwater_store::stamp::{Clock, SystemClock};

use super::meter::LINE_EVERY;
use crate::bar::Bar;

/// The progress of one command.
pub(super) struct Steps {
    clock: SystemClock,
    /// Whether lines are written, because there is no terminal for a bar.
    tells: bool,
    state: Mutex<State>,
}

struct State {
    bar: Bar,
    what: &'static str,
    steps: u64,
    done: u64,
    told: Duration,
}

impl Steps {
    /// `quiet` says nothing on the way.
    pub(super) fn new(quiet: bool) -> Self {
        let clock = SystemClock::default();
        let told = clock.monotonic();
        let state = State { bar: Bar::new(quiet), what: "", steps: 0, done: 0, told };
        Self { clock, tells: !quiet && !std::io::stderr().is_terminal(), state: Mutex::new(state) }
    }

    /// Clears the bar.
    pub(super) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bar.end();
    }
}

impl Progress for Steps {
    fn begin(&self, what: &'static str, steps: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.what, state.steps, state.done) = (what, steps, 0);
        state.bar.begin_steps(what, steps);
    }

    fn done(&self, steps: u64) {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += steps;
        headwater_archive::Progress::done(&state.bar, steps);
        if self.tells && now.saturating_sub(state.told) >= LINE_EVERY {
            state.told = now;
            eprintln!("{}: {} of {}", state.what, state.done, state.steps);
        }
    }
}
