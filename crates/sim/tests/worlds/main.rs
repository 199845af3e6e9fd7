//! Nodes over one cluster in simulated time, with the real engine and the real decisions, thousands of seeds. Whatever
//! fails, what their clients see keeps the rules of `history`, and in the end all nodes agree. `broken` shows that builds
//! that break a rule are found. `HEADWATER_SEED=n` replays one seed and prints its history.

#![allow(unreachable_pub, reason = "the modules of a test are reached from its root alone")]

mod broken;
mod cases;
mod cluster;
mod link;
mod node;
mod time;
mod world;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use world::{Lived, Plan, live};

/// Enough to meet every kind of trouble many times, few enough for a minute of one core in a debug run.
const SEEDS: u64 = 1500;
/// Of worlds with two datacentres.
const PARTED_SEEDS: u64 = 750;

#[test]
fn whatever_fails_clients_see_one_choice_and_the_nodes_agree_in_the_end() {
    let asked = asked_for();
    let seeds = asked.clone().unwrap_or(0..SEEDS);
    let met = live_through(seeds.clone(), Plan::default());
    println!("{} seeds met {met:?}", seeds.end - seeds.start);
    if asked.is_none() {
        assert!(met.all().iter().all(|times| *times > 100), "some kind of trouble was hardly met: {met:?}");
    }
}

#[test]
fn in_each_of_two_datacentres_clients_see_one_choice_whatever_comes_from_the_other() {
    let asked = asked_for();
    let seeds = asked.clone().unwrap_or(0..PARTED_SEEDS);
    let met = live_through(seeds.clone(), Plan { is_parted: true });
    println!("{} seeds met {met:?}", seeds.end - seeds.start);
}

#[test]
fn a_seed_gives_the_same_history_again() {
    for seed in 0..20 {
        let plan = Plan { is_parted: seed % 2 == 1 };
        let [one, other] = [(); 2].map(|()| live(seed, plan).history.to_string());
        let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert!(one == other, "seed {seed}: {differ:#?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a seed is replayed without building anew")]
fn asked_for() -> Option<Range<u64>> {
    let told = std::env::var("HEADWATER_SEED").ok()?;
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("HEADWATER_SEED={told} is no seed"));
    Some(match told.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&told)..number(&told) + 1,
    })
}

/// How often the worlds met what they are for.
#[derive(Debug, Default)]
struct Met {
    reads: u64,
    acked: u64,
    refused: u64,
    unknown: u64,
    masks: u64,
    troubles: u64,
}

impl Met {
    fn all(&self) -> [u64; 6] {
        let Self { reads, acked, refused, unknown, masks, troubles } = *self;
        [reads, acked, refused, unknown, masks, troubles]
    }

    fn add(&mut self, lived: &Lived) {
        use headwater_sim::history::Outcome;
        let count = |is: fn(Outcome) -> bool| {
            lived.history.publishes.iter().filter(|publish| is(publish.outcome)).count() as u64
        };
        self.reads += lived.history.reads.len() as u64;
        self.acked += count(Outcome::is_acked);
        self.refused += count(|outcome| outcome == Outcome::Refused);
        self.unknown += count(|outcome| outcome == Outcome::Unknown);
        self.masks += lived.history.remasks.len() as u64;
        self.troubles += lived.troubles.len() as u64;
    }

    fn join(&mut self, other: &Self) {
        self.reads += other.reads;
        self.acked += other.acked;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.masks += other.masks;
        self.troubles += other.troubles;
    }
}

/// Every seed of `seeds`, on all cores; panics with the first that fails.
fn live_through(seeds: Range<u64>, plan: Plan) -> Met {
    let next = AtomicU64::new(seeds.start);
    let tell = seeds.end - seeds.start == 1;
    let living = || {
        let mut met = Met::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return met;
            }
            let lived = live(seed, plan);
            if tell {
                println!("{}\n{}", lived.history, lived.troubles.join("\n"));
            }
            if !lived.is_fine() {
                next.store(seeds.end, Ordering::Relaxed);
                panic!("{}", verdict(seed, &lived));
            }
            met.add(&lived);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let mut all = Met::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(living)).collect();
        for thread in threads {
            all.join(&thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    all
}

/// What a world broke, for people.
fn verdict(seed: u64, lived: &Lived) -> String {
    let violations = lived.violations.iter().map(ToString::to_string);
    let all: Vec<String> =
        violations.chain(lived.quarrels.iter().map(|quarrel| format!("in the end {quarrel}"))).collect();
    let test = if lived.is_parted { "in_each" } else { "whatever" };
    let replay = format!("replay with HEADWATER_SEED={seed} cargo test -p headwater-sim --test worlds {test}");
    format!("seed {seed} breaks:\n{}\n{replay}", all.join("\n"))
}
