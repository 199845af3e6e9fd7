//! What a rig tells about its pipelines.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::fault::Damage;
use crate::upload::Attempt;

/// All pipelines.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The event's URL on the publish listener.
    pub url: String,
    /// The wall clock.
    pub time: String,
    /// The segment that is being made.
    pub next_number: u64,
    /// The pipelines in the event's order.
    pub pipelines: Vec<LineStatus>,
}

/// One pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct LineStatus {
    /// Its name.
    pub pipeline: String,
    /// Whether it publishes.
    pub alive: bool,
    /// What it does wrong at the moment.
    pub damage: Option<Damage>,
    /// What it has done.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What a pipeline has done since the rig started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// The highest segment that the origin has acknowledged.
    pub last_number: Option<u64>,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Attempts without an answer, those that were cut off on purpose included.
    pub unanswered: u64,
    /// Segments that it never tried to publish, as told.
    pub withheld: u64,
    /// Segments that were too old after a pause.
    pub skipped: u64,
    /// Segments and init segments that it gave up.
    pub given_up: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

impl Tally {
    /// Counts one attempt.
    pub fn count(&mut self, attempt: &Attempt) {
        match attempt.status() {
            Some(status) => *self.answers.entry(status.as_u16()).or_default() += 1,
            None => self.unanswered += 1,
        }
        match attempt {
            Attempt::Acknowledged(_) => {}
            Attempt::Refused(_, reason) | Attempt::Busy(_, reason) | Attempt::Failed(reason) => {
                self.last_error = Some(reason.clone());
            }
        }
    }

    /// Answers that acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.answers.range(200..300).map(|(_, count)| count).sum()
    }
}
