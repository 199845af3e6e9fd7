//! How fast a data directory is read, and how far it is: a bar at a terminal, a line now and then elsewhere. Beside a
//! running server it holds back, because the live edge comes first.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use headwater_archive::Progress;
use headwater_store::log::survey::Pace;
use headwater_store::stamp::{Clock, SystemClock};
use indicatif::HumanBytes;
use tokio::runtime::Runtime;

use crate::bar::Bar;

/// Beside a running server, in MiB a second: an eighth of what a slow SSD reads.
const RATE_MIB_ONLINE: u64 = 64;
/// Last of all on the processor.
const NICE: i32 = 19;
/// Shorter waits are added up: a timer is no finer than a millisecond.
const WAIT_MIN: Duration = Duration::from_millis(5);
/// Time spent on other things than reading that may be made up for: what it takes to verify what was read.
const CREDIT: Duration = Duration::from_millis(100);
/// Between lines where there is no terminal.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(30);

/// The pace of one command.
pub(super) struct Meter {
    clock: SystemClock,
    runtime: Runtime,
    /// Bytes a second.
    rate: Option<u64>,
    /// Whether lines are written, because there is no terminal for a bar.
    tells: bool,
    state: Mutex<State>,
}

struct State {
    bar: Bar,
    /// No read before this moment of the monotonic clock.
    next: Duration,
    total: u64,
    done: u64,
    told: Duration,
}

impl Meter {
    /// A pace that fits what runs `online`; `quiet` says nothing on the way.
    ///
    /// # Errors
    /// The system has no resources for it.
    pub(super) fn new(online: bool, rate_mib: Option<u64>, quiet: bool) -> Result<Self> {
        if online && let Err(error) = rustix::process::nice(NICE) {
            tracing::warn!(%error, "the priority cannot be lowered");
        }
        let rate_mib = rate_mib.or(online.then_some(RATE_MIB_ONLINE));
        let bar = Bar::new(quiet);
        if online && !quiet {
            let most = rate_mib.unwrap_or(RATE_MIB_ONLINE);
            bar.note(&format!("a server is running on it; it is read beside the server, {most} MiB/s at most"));
        }
        Ok(Self {
            clock: SystemClock::default(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            rate: rate_mib.map(|mib| mib << 20),
            tells: !quiet && !std::io::stderr().is_terminal(),
            state: Mutex::new(State { bar, next: Duration::ZERO, total: 0, done: 0, told: Duration::ZERO }),
        })
    }

    /// Clears the bar.
    pub(super) fn end(&self) {
        self.state().bar.end();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace for Meter {
    fn begin(&self, files: u64, bytes: u64) {
        let mut state = self.state();
        (state.total, state.told) = (bytes, self.clock.monotonic());
        state.bar.begin("check", files, bytes);
        if self.tells {
            eprintln!("checking {} in {files} files", HumanBytes(bytes));
        }
    }

    fn read(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let now = self.clock.monotonic();
        let mut state = self.state();
        let earliest = now.saturating_sub(CREDIT);
        state.next = state.next.max(earliest) + Duration::from_secs_f64(bytes as f64 / rate as f64);
        let wait = state.next.saturating_sub(now);
        drop(state);
        if wait >= WAIT_MIN {
            self.runtime.block_on(async { self.clock.sleep(wait).await });
        }
    }

    fn done(&self, bytes: u64) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.done += bytes;
        state.bar.done(bytes);
        if self.tells && now.saturating_sub(state.told) >= LINE_EVERY {
            state.told = now;
            eprintln!("{} of {} checked", HumanBytes(state.done), HumanBytes(state.total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_held_back_to_the_rate() {
        let meter = Meter::new(false, Some(1), true).unwrap();
        let started = meter.clock.monotonic();
        for _ in 0..40 {
            meter.read(8 << 10);
        }
        assert!(meter.clock.monotonic() - started >= Duration::from_millis(200), "320 KiB at 1 MiB/s");
        let free = Meter::new(false, None, true).unwrap();
        free.read(u64::MAX);
    }
}
