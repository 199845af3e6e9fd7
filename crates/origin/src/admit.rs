//! Who may read from the store under stress (contract §5, rows 11 and 12): DVR readers give way step by step, the live
//! edge keeps a floor that no burst of DVR can take. What is in memory is never refused: it costs the store nothing.
//!
//! The signal is the store's own latency against its target and the bytes it is reading, never the CPU. Time is an
//! argument.

use std::collections::BTreeSet;
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
/// So many calls that have not ended yet are looked at: enough to tell of a store that has stopped.
const PENDING_LOOKED_AT: usize = 12;
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
    /// When each call began that has not ended, and its ticket.
    pending: BTreeSet<(Duration, u64)>,
    tickets: u64,
    live_bytes: u64,
    dvr_bytes: u64,
    /// Whether DVR is being shed.
    shedding: bool,
    /// Parts of a shed read that are due: spreads refusals evenly instead of by chance.
    due: f64,
}

/// A call of the store in progress; gives its bytes back when it ends.
pub struct Permit {
    state: Arc<Mutex<State>>,
    class: Class,
    bytes: u64,
    begun: (Duration, u64),
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
        let begun = state.begin(now);
        Ok(Permit { state: Arc::clone(&self.state), class, bytes, begun })
    }

    /// A commit begins at `now`. It is never refused here.
    #[must_use]
    pub fn commit(&self, now: Duration) -> Permit {
        let begun = self.state.lock().begin(now);
        Permit { state: Arc::clone(&self.state), class: Class::Publish, bytes: 0, begun }
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

impl Permit {
    /// The call ended at `now`: how long it took tells of the store. A permit that is dropped tells nothing.
    pub fn end(self, now: Duration) {
        let mut state = self.state.lock();
        state.latency = state.idle_latency(now);
        state.sample(now.saturating_sub(self.begun.0));
        state.sampled = now;
    }
}

impl State {
    fn begin(&mut self, now: Duration) -> (Duration, u64) {
        // What was not measured for a while does not count for what is measured from now on.
        if self.pending.is_empty() {
            (self.latency, self.sampled) = (self.idle_latency(now), now);
        }
        self.tickets += 1;
        let begun = (now, self.tickets);
        self.pending.insert(begun);
        begun
    }

    fn sample(&mut self, spent: Duration) {
        self.latency = self.latency * (1.0 - SAMPLE_WEIGHT) + spent.as_secs_f64() * SAMPLE_WEIGHT;
    }

    /// The smoothed latency, which fades only while nothing is measured.
    fn idle_latency(&self, now: Duration) -> f64 {
        if !self.pending.is_empty() {
            return self.latency;
        }
        let idle = now.saturating_sub(self.sampled).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.latency * 0.5_f64.powf(idle)
    }

    /// The latency at `now`, as if the calls that have taken longer than it were to end now: a store that has stopped
    /// ends none.
    fn latency_at(&self, now: Duration) -> f64 {
        let ages = self.pending.iter().take(PENDING_LOOKED_AT).map(|(begun, _)| now.saturating_sub(*begun));
        ages.map(|age| age.as_secs_f64()).fold(self.idle_latency(now), |latency, age| {
            if age > latency { latency * (1.0 - SAMPLE_WEIGHT) + age * SAMPLE_WEIGHT } else { latency }
        })
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
        state.pending.remove(&self.begun);
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

    /// A hundred commits that took `millis` end at `now`.
    fn slow(admission: &Admission, millis: u64, now: Duration) {
        (0..100).for_each(|_| admission.commit(now.saturating_sub(at(millis))).end(now));
    }

    #[test]
    fn a_store_within_its_target_sheds_nobody() {
        let admission = Admission::default();
        slow(&admission, 90, at(10_000));
        assert_eq!(shed(&admission, at(10_000)), 0);
    }

    #[test]
    fn dvr_gives_way_step_by_step_and_live_never() {
        let admission = Admission::default();
        slow(&admission, 150, at(10_000));
        let some = shed(&admission, at(10_000));
        assert!((20..70).contains(&some), "{some}");
        slow(&admission, 400, at(10_000));
        assert_eq!(shed(&admission, at(10_000)), 100);
        assert!((0..100).all(|_| admission.admit(Class::Live, MIB, at(10_000)).is_ok()));
    }

    #[test]
    fn shedding_ends_with_hysteresis() {
        let admission = Admission::default();
        slow(&admission, 110, at(10_000));
        assert!(shed(&admission, at(10_000)) > 0);
        slow(&admission, 90, at(10_000));
        assert!(shed(&admission, at(10_000)) > 0, "between the two marks it goes on");
        slow(&admission, 60, at(10_000));
        assert_eq!(shed(&admission, at(10_000)), 0);
        slow(&admission, 90, at(10_000));
        assert_eq!(shed(&admission, at(10_000)), 0, "and does not begin there");
    }

    #[test]
    fn an_idle_store_recovers_although_nobody_measures_it() {
        let admission = Admission::default();
        slow(&admission, 1000, at(10_000));
        assert_eq!(shed(&admission, at(10_000)), 100);
        assert_eq!(shed(&admission, at(15_000)), 0);
    }

    #[test]
    fn a_store_that_has_stopped_sheds_although_no_call_ends() {
        let admission = Admission::default();
        let one = admission.commit(at(0));
        assert_eq!(shed(&admission, at(500)), 0, "one slow call does not tell");
        let others: Vec<_> = (0..20).map(|_| admission.commit(at(0))).collect();
        assert_eq!(shed(&admission, at(500)), 100);
        drop((one, others));
        assert_eq!(shed(&admission, at(500)), 0, "calls that were given up tell nothing");
    }

    #[test]
    fn slow_calls_one_after_the_other_tell_although_they_take_their_time() {
        let admission = Admission::default();
        for count in 0..20 {
            admission.commit(at(300 * count)).end(at(300 * (count + 1)));
        }
        assert_eq!(shed(&admission, at(6000)), 100);
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
