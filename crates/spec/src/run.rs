//! Plays one case against a server: makes its event, takes its steps, removes the event.

mod body;
mod stage;

use crate::case::{Action, Case, Span};
use crate::report;
use crate::world::World;
pub(crate) use stage::Answer;
use stage::{Stage, Trouble};

/// How late a step may be that is to happen at a moment. Later, the case would judge the machine and not the server.
pub(crate) const SLACK_MS: f64 = 300.0;

/// How a case ended.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// As it says.
    Passed,
    /// Otherwise; for a person.
    Failed(String),
    /// Not judged: a step came that many milliseconds after its moment.
    Slipped(f64),
}

/// Plays `case` under an event name that ends in `suffix`.
pub(crate) fn run(world: &World, case: &Case, suffix: &str) -> Verdict {
    let mut stage = match Stage::set(world, case, suffix) {
        Ok(stage) => stage,
        Err(problem) => return Verdict::Failed(report::problem(case, &case.place, &problem)),
    };
    let verdict = play(&mut stage, case);
    stage.clear();
    verdict
}

fn play(stage: &mut Stage<'_>, case: &Case) -> Verdict {
    let mut failures: Vec<String> = Vec::new();
    for step in &case.steps {
        let expects = matches!(step.action, Action::Expect(..));
        // All that is wrong with one answer is told; what follows from it is not.
        if !expects && !failures.is_empty() {
            break;
        }
        match take(stage, &step.action) {
            Ok(()) => {}
            Err(Trouble::Slipped(millis)) => return Verdict::Slipped(millis),
            Err(Trouble::Fault(problem)) => failures.push(report::problem(case, &step.place, &problem)),
            Err(Trouble::Mismatch(mismatches, answer)) => {
                failures.push(report::mismatch(
                    case,
                    &step.place,
                    &mismatches,
                    failures.is_empty().then_some(&*answer),
                ));
            }
        }
    }
    if failures.is_empty() { Verdict::Passed } else { Verdict::Failed(failures.join("\n")) }
}

fn take(stage: &mut Stage<'_>, action: &Action) -> Result<(), Trouble> {
    match action {
        Action::Ask(request) => stage.ask(request),
        Action::Hold(name, request) => stage.hold(name, request),
        Action::Finish(name) => stage.end(name, crate::client::End::Finish),
        Action::Cut(name) => stage.end(name, crate::client::End::Cut),
        Action::Still(name) => stage.still(name),
        Action::Change(field, value) => stage.change(field, value),
        Action::At(moment) => stage.sleep_until(moment),
        Action::Wait(span) => {
            stage.sleep(*span);
            Ok(())
        }
        Action::Keep(name, part) => stage.keep(name, part),
        Action::Expect(subject, check) => stage.expect(subject.as_deref(), check),
    }
}

/// How long the answer of a held request is waited for when the case names no time.
pub(crate) const HELD: Span = Span::Time(std::time::Duration::from_secs(45));
