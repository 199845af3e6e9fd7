//! Every case of `spec/`, against the real binary. Each is a test of its own: `cargo xtask test hold-ends` runs one.
#![expect(clippy::disallowed_methods, reason = "a test without the usual harness reads its own arguments")]

mod support;

use std::path::Path;
use std::process::ExitCode;

use headwater_spec::{Case, World, load, run_all, table};

/// How many cases are played at once: they mostly wait.
const AT_ONCE: usize = 12;

fn main() -> ExitCode {
    let cases = match load(&spec()) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let filter = arguments.first().filter(|argument| !argument.starts_with('-'));
    let is_chosen = |case: &&Case| filter.is_none_or(|filter| case.id.contains(filter.as_str()));
    let chosen: Vec<&Case> = cases.iter().filter(is_chosen).collect();
    let left_out = cases.len() - chosen.len();
    println!("\nrunning {} cases", chosen.len());
    let (mut passed, mut failed) = (0, 0);
    if !chosen.is_empty() {
        let server = support::Server::start();
        let world = World::at(&server.publish, &server.deliver, &server.ops).expect("http:// URLs");
        let summary = run_all(&world, &chosen, AT_ONCE, &|line| println!("{line}"));
        (passed, failed) = (summary.passed, summary.failed);
    }
    if filter.is_none() {
        match table_is_current(&cases) {
            true => passed += 1,
            false => failed += 1,
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the page names every case.
fn table_is_current(cases: &[Case]) -> bool {
    let page = std::fs::read_to_string(spec().join("README.md")).unwrap_or_default();
    let is_current = page.contains(&table(&cases.iter().collect::<Vec<_>>()));
    if !is_current {
        println!("spec/README.md: the table of sections is old; replace it with what `cargo xtask spec --list` prints");
    }
    is_current
}

fn spec() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec")
}
