//! What `cargo xtask` does, as a library, so that `cargo test` checks the house rules too.
//!
//! Plain Rust over other people's programs: each step is a function that fails with a message saying what to do.
#![expect(clippy::disallowed_methods, reason = "a tool, no part of the server: it takes times and finds programs")]

pub mod cluster;
pub mod programs;
pub mod setup;
pub mod step;
pub mod suite;
pub mod tidy;

use anyhow::{Context, Result, ensure};

use crate::programs::{cargo, run};

/// Runs the side-by-side benchmarks with `arguments`.
///
/// # Errors
/// If they do not build or one of them fails.
pub fn bench(arguments: &[&str]) -> Result<()> {
    run(cargo(&["run", "--release", "--package", "headwater-bench", "--"]).args(arguments))
}

/// Plays the cases of `spec/` against a server that runs, as `arguments` say.
///
/// # Errors
/// If the player does not build or a case fails.
pub fn spec(arguments: &[&str]) -> Result<()> {
    run(cargo(&["run", "--quiet", "--package", "headwater-spec", "--"]).args(arguments))
}

/// Runs each fuzz target for `seconds`, with random inputs on top of the corpus that `cargo test` replays.
///
/// # Errors
/// If a target finds an input that breaks its parser; bolero prints and keeps the input.
pub fn fuzz(seconds: &str) -> Result<()> {
    let seconds: u64 = seconds.parse().with_context(|| format!("`{seconds}` is no number of seconds"))?;
    ensure!(seconds > 0, "fuzz for at least one second");
    let millis = (seconds * 1000).to_string();
    let mut command = cargo(&["test", "--release", "--package", "headwater-fuzz", "--", "--test-threads=1"]);
    // Time is the limit: as many inputs as fit.
    command.env("BOLERO_RANDOM_TEST_TIME_MS", millis).env("BOLERO_RANDOM_ITERATIONS", usize::MAX.to_string());
    run(&mut command)
}

/// Writes the generated pages under docs/ anew; the tests say when one is stale.
///
/// # Errors
/// If the binary does not build.
pub fn docs() -> Result<()> {
    let mut command = cargo(&["test", "--package", "headwater", "--bin", "headwater", "docs::"]);
    command.env("HEADWATER_UPDATE_DOCS", "1");
    run(&mut command)
}
