//! Builds that are broken on purpose: the histories of a few seeds have to tell. What is not found here would not be
//! found in the code either.

use headwater_store::broken::{Breaking, Fault};

use crate::verdict;
use crate::world::{Plan, live};

/// Within so many seeds each is found.
const SEEDS: u64 = 300;

/// The first seed from `first` on whose history shows it.
fn found_from(first: u64, fault: Fault, plan: Plan) {
    let _breaking = Breaking::with(Some(fault));
    let seeds = first..first + SEEDS;
    let broken = seeds.map(|seed| (seed, live(seed, plan))).find(|(_, lived)| !lived.is_fine());
    let (seed, lived) = broken.unwrap_or_else(|| panic!("{fault:?} {plan:?} is not found in {SEEDS} seeds"));
    println!("{fault:?} {plan:?}: {}", verdict(seed, &lived));
}

fn found(fault: Fault, plan: Plan) {
    found_from(0, fault, plan);
}

#[test]
fn a_build_that_commits_before_its_chunks_are_staged_is_found() {
    found(Fault::CommitsFirst, Plan::default());
}

#[test]
fn a_build_that_serves_what_came_first_is_found() {
    found(Fault::ByArrival, Plan::default());
}

#[test]
fn a_build_without_the_fence_is_found() {
    found(Fault::NoFence, Plan::default());
}

#[test]
fn a_build_that_serves_the_other_datacentres_without_a_mark_is_found() {
    found(Fault::NoHold, Plan { is_parted: true });
}

#[test]
fn a_build_whose_own_commits_hide_newer_ones_is_found() {
    // It takes two uploads of one candidate on two nodes, of which the earlier is told later: seldom.
    found_from(3000, Fault::TellsOver, Plan::default());
}

#[test]
fn a_build_that_does_not_look_at_notes_is_found() {
    found(Fault::IgnoresNotes, Plan::default());
}

#[test]
fn a_build_that_notes_a_change_after_it_is_found() {
    found(Fault::NotesLater, Plan::default());
}

#[test]
fn a_build_that_does_not_look_whether_it_has_set_a_record_is_found() {
    found(Fault::SetsBlindly, Plan::default());
}
