//! `cargo xtask …`: the one way to set up, test, bench and fuzz Headwater. CI runs the same commands as a person.

use std::process::ExitCode;

use xtask::step::Steps;
use xtask::{bench, cluster, docs, fuzz, setup, spec, suite, tidy};

const USAGE: &str = "\
cargo xtask COMMAND

  setup            installs what the tests need and says what it does
  test [FILTER]    everything CI runs; with FILTER only the tests whose name contains it
  spec [ARGS]      plays the cases of spec/ against a server: --url OPS_URL [FILTER…]; --list lists them
  tidy             checks the house rules
  bench [ARGS]     runs the side-by-side benchmarks (release build)
  cluster [ARGS]   starts and stops real Cassandra nodes and memcached zones: up, down, kill, status
  docs             writes the generated pages under docs/
  fuzz [SECONDS]   runs each fuzz target for SECONDS (default 60)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut steps = Steps::default();
    match words.as_slice() {
        ["setup"] => steps.run("setup", setup::run),
        ["tidy"] => steps.run("tidy", tidy::run),
        ["test"] => suite::everything(&mut steps),
        ["test", filter] => suite::matching(&mut steps, filter),
        // Without the closing lines: the player's own are the answer, and `--list` prints a table.
        ["spec", rest @ ..] => return spec(rest).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        ["bench", rest @ ..] => steps.run("bench", || bench(rest)),
        ["cluster", rest @ ..] => steps.run("cluster", || cluster::run(rest)),
        ["docs"] => steps.run("docs", docs),
        ["fuzz"] => steps.run("fuzz", || fuzz("60")),
        ["fuzz", seconds] => steps.run("fuzz", || fuzz(seconds)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    steps.close()
}
