//! Plays many cases at a time: most of them wait most of their time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::case::Case;
use crate::run::{Verdict, run};
use crate::world::World;

/// How often a case is played that has slipped: it has judged nothing, and a machine is rarely too busy for so long.
const PLAYS: u32 = 4;

/// How all cases ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// As they say.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
}

/// Plays `cases`, `at_once` at a time, and tells each line by `tell` as it comes.
pub fn run_all(world: &World, cases: &[&Case], at_once: usize, tell: &(dyn Fn(&str) + Sync)) -> Summary {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    // Event names of one run are like those of no other, so that a run needs no clean server.
    let run_id = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() % 1_000_000_000);
    std::thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, 256) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(failure) = one(world, case, run_id, tell)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    for failure in &failures {
        tell(&format!("\n{failure}"));
    }
    Summary { passed: cases.len() - failures.len(), failed: failures.len() }
}

/// Plays one case, again while it slips; what failed.
fn one(world: &World, case: &Case, run_id: u128, tell: &(dyn Fn(&str) + Sync)) -> Option<String> {
    let started = Instant::now();
    let mut slipped = 0.0;
    for play in 0..PLAYS {
        let verdict = run(world, case, &format!("{run_id}{play}"));
        let line =
            |word: &str| format!("{} {} ... {word} ({:.1} s)", case.section, case.id, started.elapsed().as_secs_f64());
        match verdict {
            Verdict::Passed => {
                tell(&line("ok"));
                return None;
            }
            Verdict::Failed(failure) => {
                tell(&line("FAILED"));
                return Some(failure);
            }
            Verdict::Slipped(millis) => slipped = millis,
        }
    }
    tell(&format!("{} {} ... NOT JUDGED", case.section, case.id));
    Some(format!("{}: {}: this machine is too busy: a step came {slipped:.0} ms after its moment", case.place, case.id))
}
