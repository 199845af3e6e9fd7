//! Who may read from the store under stress (contract §5, rows 11 and 12): DVR readers give way step by step, the live
//! edge keeps a floor that no burst of DVR can take. What is in memory is never refused: it costs the store nothing.
//!
//! The signal is the store's own latency against its target and the bytes it is reading, never the CPU. Time is an
//! argument.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::metrics::{Class, Metrics};

/// The longest that a read or a commit of the store should take: half of the 500 ms from which a publish counts as slow
/// (contract §9).
const LATENCY_TARGET: Duration = Duration::from_millis(250);
/// From this utilisation on DVR reads are shed (the reference's public figure).
const SHED_FROM: f64 = 0.40;
/// Shedding ends below this: hysteresis, so that it does not flap around its start.
const SHED_UNTIL: f64 = 0.30;
/// At this utilisation every DVR read is shed.
const SHED_ALL: f64 = 1.0;
/// Bytes that may be read from the store at once.
const IN_FLIGHT_BYTES_MAX: u64 = 64 << 20;
/// Of these, what DVR reads may take; the rest is the floor of the live edge.
const DVR_BYTES_MAX: u64 = IN_FLIGHT_BYTES_MAX / 2;
/// Weight of a new sample of the latency: a dozen slow reads tell, one does not.
const SAMPLE_WEIGHT: f64 = 0.15;
/// In this time an idle store's latency counts half: nobody measures it while everything is shed.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// Why a read was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Row 11: low priority under stress.
    Shed,
    /// Row 12: the live edge itself is overloaded.
    Overloaded,
}

/// Admits reads.
#[derive(Default)]
pub struct Admission {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Smoothed latency, in seconds, as of `sampled`.
    latency: f64,
    sampled: Duration,
    live_bytes: u64,
    dvr_bytes: u64,
    /// Whether DVR is being shed.
    shedding: bool,
    /// Parts of a shed read that are due: spreads refusals evenly instead of by chance.
    due: f64,
}

/// A read in progress; gives its bytes back when it ends.
pub struct Permit {
    state: Arc<Mutex<State>>,
    class: Class,
    bytes: u64,
}

impl Admission {
    /// Whether a read of `bytes` may go to the store at `now` (monotonic).
    ///
    /// # Errors
    /// [`Refusal`], by class.
    pub fn admit(&self, class: Class, bytes: u64, now: Duration) -> Result<Permit, Refusal> {
        let mut state = self.state.lock();
        if class == Class::Dvr {
            let share = state.shed_share(now);
            state.due += share;
            let over = state.dvr_bytes > 0 && state.dvr_bytes + bytes > DVR_BYTES_MAX;
            if over || state.due >= 1.0 {
                state.due = (state.due - 1.0).max(0.0);
                return Err(Refusal::Shed);
            }
            state.dvr_bytes += bytes;
        } else {
            let all = state.live_bytes + state.dvr_bytes;
            if state.live_bytes > 0 && all + bytes > IN_FLIGHT_BYTES_MAX {
                return Err(Refusal::Overloaded);
            }
            state.live_bytes += bytes;
        }
        Ok(Permit { state: Arc::clone(&self.state), class, bytes })
    }

    /// The store took `spent` for a read or a commit that ended at `now`.
    pub fn sample(&self, spent: Duration, now: Duration) {
        let mut state = self.state.lock();
        state.latency = state.latency_at(now) * (1.0 - SAMPLE_WEIGHT) + spent.as_secs_f64() * SAMPLE_WEIGHT;
        state.sampled = now;
    }

    /// How hard the store works: 1 is its target.
    #[must_use]
    pub fn utilization(&self, now: Duration) -> f64 {
        self.state.lock().utilization(now)
    }

    /// Tells the metrics how hard the store works.
    pub fn report(&self, metrics: &Metrics, now: Duration) {
        metrics.utilization(self.utilization(now));
    }
}

impl State {
    fn latency_at(&self, now: Duration) -> f64 {
        let idle = now.saturating_sub(self.sampled).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.latency * 0.5_f64.powf(idle)
    }

    fn utilization(&self, now: Duration) -> f64 {
        let bytes = (self.live_bytes + self.dvr_bytes) as f64 / IN_FLIGHT_BYTES_MAX as f64;
        bytes.max(self.latency_at(now) / LATENCY_TARGET.as_secs_f64())
    }

    /// The share of DVR reads to be shed: none below the start, all at the target, evenly between.
    fn shed_share(&mut self, now: Duration) -> f64 {
        let utilization = self.utilization(now);
        self.shedding = utilization >= if self.shedding { SHED_UNTIL } else { SHED_FROM };
        if !self.shedding {
            self.due = 0.0;
            return 0.0;
        }
        ((utilization - SHED_UNTIL) / (SHED_ALL - SHED_UNTIL)).clamp(0.05, 1.0)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let held = if self.class == Class::Dvr { &mut state.dvr_bytes } else { &mut state.live_bytes };
        *held = held.saturating_sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// How many of a hundred DVR reads are shed at `now`.
    fn shed(admission: &Admission, now: Duration) -> usize {
        (0..100).filter(|_| admission.admit(Class::Dvr, 1, now).is_err()).count()
    }

    fn slow(admission: &Admission, millis: u64, now: Duration) {
        (0..100).for_each(|_| admission.sample(at(millis), now));
    }

    #[test]
    fn a_store_within_its_target_sheds_nobody() {
        let admission = Admission::default();
        slow(&admission, 90, at(0));
        assert_eq!(shed(&admission, at(0)), 0);
    }

    #[test]
    fn dvr_gives_way_step_by_step_and_live_never() {
        let admission = Admission::default();
        slow(&admission, 150, at(0));
        let some = shed(&admission, at(0));
        assert!((20..70).contains(&some), "{some}");
        slow(&admission, 400, at(0));
        assert_eq!(shed(&admission, at(0)), 100);
        assert!((0..100).all(|_| admission.admit(Class::Live, MIB, at(0)).is_ok()));
    }

    #[test]
    fn shedding_ends_with_hysteresis() {
        let admission = Admission::default();
        slow(&admission, 110, at(0));
        assert!(shed(&admission, at(0)) > 0);
        slow(&admission, 90, at(0));
        assert!(shed(&admission, at(0)) > 0, "between the two marks it goes on");
        slow(&admission, 60, at(0));
        assert_eq!(shed(&admission, at(0)), 0);
        slow(&admission, 90, at(0));
        assert_eq!(shed(&admission, at(0)), 0, "and does not begin there");
    }

    #[test]
    fn an_idle_store_recovers_although_nobody_measures_it() {
        let admission = Admission::default();
        slow(&admission, 1000, at(0));
        assert_eq!(shed(&admission, at(0)), 100);
        assert_eq!(shed(&admission, at(5000)), 0);
    }

    #[test]
    fn a_burst_of_dvr_leaves_the_floor_of_live() {
        let admission = Admission::default();
        let held: Vec<_> = (0..100).filter_map(|_| admission.admit(Class::Dvr, MIB, at(0)).ok()).collect();
        assert!(held.len() <= 32, "{}", held.len());
        let live: Vec<_> = (0..100).map(|_| admission.admit(Class::Live, MIB, at(0))).collect();
        assert!(live.iter().filter(|live| live.is_ok()).count() >= 32);
        assert!(live.iter().any(|live| matches!(live, Err(Refusal::Overloaded))));
        drop((held, live));
        assert!(admission.admit(Class::Live, MIB, at(0)).is_ok());
    }

    #[test]
    fn one_read_larger_than_its_share_is_served_alone() {
        let admission = Admission::default();
        assert!(admission.admit(Class::Dvr, 2 * IN_FLIGHT_BYTES_MAX, at(0)).is_ok());
        assert!(admission.admit(Class::Live, 2 * IN_FLIGHT_BYTES_MAX, at(0)).is_ok());
    }
}
