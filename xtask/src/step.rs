//! Steps with a name and a time, and the closing lines of a run.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

/// The steps of one run, in order. The first failure of a kind that later steps need stops them; see [`Steps::run`].
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, f64, Option<String>)>,
    counted: Option<Counts>,
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
}

impl Counts {
    /// Adds what one `test result:` line of a test binary tells; other lines tell nothing.
    pub fn add_line(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else { return };
        for part in result.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

impl Steps {
    /// Runs one step and prints a line with its time. A later step runs although an earlier one failed: one run shows
    /// everything that is wrong.
    pub fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        let started = Instant::now();
        let problem = step().err().map(|error| format!("{error:#}"));
        let seconds = started.elapsed().as_secs_f64();
        println!("{}", line(name, seconds, problem.as_deref()));
        self.done.push((name.to_owned(), seconds, problem));
    }

    /// As [`Steps::run`], for a step that counts tests.
    pub fn count(&mut self, name: &str, step: impl FnOnce(&mut Counts) -> Result<()>) {
        let mut counts = self.counted.unwrap_or_default();
        self.run(name, || step(&mut counts));
        self.counted = Some(counts);
    }

    /// Whether no step has failed so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.done.iter().all(|(_, _, problem)| problem.is_none())
    }

    /// Prints every step again, then the sum of the tests, and gives the exit code.
    #[must_use]
    pub fn close(self) -> ExitCode {
        let clean = self.is_clean();
        println!();
        for (name, seconds, problem) in &self.done {
            println!("{}", line(name, *seconds, problem.as_deref()));
        }
        if let Some(Counts { passed, failed }) = self.counted {
            println!("{passed} passed, {failed} failed");
        }
        if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn line(name: &str, seconds: f64, problem: Option<&str>) -> String {
    match problem {
        None => format!("ok      {name:<28} {seconds:7.1} s"),
        Some(problem) => format!("FAILED  {name:<28} {seconds:7.1} s  {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_binaries_are_summed() {
        let mut counts = Counts::default();
        counts
            .add_line("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.1s");
        counts.add_line("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.add_line("running 6 tests");
        assert_eq!(counts, Counts { passed: 16, failed: 2 });
    }
}
