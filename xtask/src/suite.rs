//! `cargo xtask test`: what must hold before a change is merged, in the order in which it is cheapest to learn.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::programs::{cargo, root, run, target_dir};
use crate::step::{Counts, Steps};
use crate::{setup, tidy};

/// How many of the other end-to-end tests run at once. They wait most of the time: for deadlines, holds, silences.
const PARALLEL: &str = "8";

/// End-to-end tests that play or publish in real time, or load every core: one test at a time, after all others.
const SERIAL: [&str; 6] = ["cdn", "cluster", "packagers", "survives_kill", "volumes", "watch_page"];

/// Runs everything.
pub fn everything(steps: &mut Steps) {
    steps.run("setup", setup::run);
    steps.run("tidy", tidy::run);
    steps.run("fmt", || run(&mut cargo(&["fmt", "--all", "--check"])));
    steps.run("clippy", || {
        run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    tests(steps, None);
}

/// Runs the tests whose name contains `filter`.
pub fn matching(steps: &mut Steps, filter: &str) {
    steps.run("setup", setup::run);
    tests(steps, Some(filter));
}

fn tests(steps: &mut Steps, filter: Option<&str>) {
    // The end-to-end tests measure in real time, so they get the binary that users get.
    steps.run("build release", || run(&mut cargo(&["build", "--quiet", "--release", "--package", "headwater"])));
    let workspace = ["--workspace", "--exclude", "headwater", "--exclude", "headwater-cassandra"];
    let workspace = workspace.map(str::to_owned).to_vec();
    steps.count("tests of the crates", |counts| test(counts, workspace, filter, None));
    // Three nodes on the cores that the tests have: one test at a time.
    let cassandra = ["--package", "headwater-cassandra", "--lib", "--tests"].map(str::to_owned).to_vec();
    steps.count("Cassandra", |counts| test(counts, cassandra, filter, Some("1")));
    match end_to_end() {
        Ok((parallel, serial)) => {
            steps.count("end to end", |counts| test(counts, parallel, filter, Some(PARALLEL)));
            for name in serial {
                let one = ["--package", "headwater", "--test", &name].map(str::to_owned).to_vec();
                steps.count(&format!("end to end: {name}"), |counts| test(counts, one, filter, Some("1")));
            }
        }
        Err(error) => steps.run("end to end", || Err(error)),
    }
    if filter.is_some() {
        return;
    }
    steps.count("doc tests", |counts| {
        let documented = ["--doc", "--workspace"].map(str::to_owned).to_vec();
        test(counts, documented, None, None)
    });
}

/// The arguments that choose the binary's own and its parallel tests, and the names of the serial ones.
fn end_to_end() -> Result<(Vec<String>, Vec<String>)> {
    let mut parallel = ["--package", "headwater", "--bins"].map(str::to_owned).to_vec();
    let mut serial = Vec::new();
    let folder = root().join("crates/headwater/tests");
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths.iter().filter(|path| is_target(path)) {
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if SERIAL.contains(&name) {
            serial.push(name.to_owned());
        } else {
            parallel.extend(["--test".to_owned(), name.to_owned()]);
        }
    }
    ensure!(serial.len() == SERIAL.len(), "a test of {SERIAL:?} is not in {}", folder.display());
    Ok((parallel, serial))
}

/// Cargo's rule: a file, or a folder with a `main.rs`.
fn is_target(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file()
}

fn test(counts: &mut Counts, chosen: Vec<String>, filter: Option<&str>, threads: Option<&str>) -> Result<()> {
    let mut command = cargo(&["test", "--no-fail-fast"]);
    command.args(chosen).args(filter);
    if let Some(threads) = threads {
        command.args(["--", "--test-threads", threads]);
    }
    command.env("HEADWATER_BIN", target_dir()?.join("release/headwater"));
    counted(&mut command, counts)
}

/// Runs `command`, shows its output and counts its tests.
fn counted(command: &mut Command, counts: &mut Counts) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let before = *counts;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            counts.add_line(&line);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        let failed = counts.failed - before.failed;
        bail!("{failed} tests failed; cargo ended with {status}");
    }
    Ok(())
}
