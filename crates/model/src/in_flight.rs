//! The selection while uploads of low-latency renditions are still arriving (contract §5). An upload in flight is a
//! candidate that is sound since its first chunk; if it dies, it never was. So it may be chosen and followed, but
//! nothing may be promised for ever that its death would change, of its own segment or, through the health of its
//! pipeline, of the next two.
//!
//! This never weighs likelihoods: a choice is closed only if it is the same whichever of these uploads die. It follows
//! that a crash, of which all of them die, changes no closed choice either.

use crate::name::Pipeline;
use crate::row::{Object, Row, first};
use crate::selection::{self, Question, Selection};
use crate::time::Now;

/// Most uploads in flight whose fates are gone through, which is `2^n` selections. Two pipelines rarely have more than
/// two; beyond this a choice is called hanging unseen.
const FATES_MAX: usize = 6;

/// What the selection comes to while uploads are in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Chosen<'a> {
    /// As without them: none makes a difference, or none is chosen.
    Settled(Selection<'a>),
    /// The choice falls on this one, which is still arriving.
    Follow(&'a Row),
    /// The choice falls on this stored candidate, unless an upload in flight dies.
    Hanging(&'a Row),
}

/// Selects by what had happened up to `now.stamp`, with the uploads `flying` of the segment and of the two before it.
/// Their rows have the stamp of their first chunk as `first` and `sound`; size and digest mean nothing yet.
#[must_use]
pub fn select<'a>(question: &Question<'a>, flying: &'a [Row], now: Now) -> Chosen<'a> {
    if flying.is_empty() {
        return Chosen::Settled(selection::select(question, now));
    }
    let flights: Vec<Flight<'a>> = flying.iter().filter_map(|row| Flight::of(row, question, now)).collect();
    let stored = |pipeline: &Pipeline| question.rows.iter().find(|row| row.key.pipeline == *pipeline);
    let best = match choice(question, flights.iter(), now) {
        Choice::Closed(best) => best,
        Choice::Absent => return Chosen::Settled(Selection::Absent),
        Choice::Closing(until) => return Chosen::Settled(Selection::Closing(until)),
        // Nobody is sound, so it is none of those in flight.
        Choice::Hoping { until, best } => {
            let hoping = |best| Selection::Hoping { until, best };
            return Chosen::Settled(stored(&best).map_or(Selection::Absent, hoping));
        }
        Choice::Provisional(best) => {
            return Chosen::Settled(stored(&best).map_or(Selection::Absent, Selection::Provisional));
        }
    };
    if let Some(flight) = flights.iter().find(|flight| flight.back == 0 && flight.row.key.pipeline == best) {
        return Chosen::Follow(flight.row);
    }
    match stored(&best) {
        None => Chosen::Settled(Selection::Absent),
        Some(row) if falls_on(&best, question, &flights, now) => Chosen::Settled(Selection::Closed(row)),
        Some(row) => Chosen::Hanging(row),
    }
}

/// Whether the choice is `best` whichever of `flights` die.
fn falls_on(best: &Pipeline, question: &Question<'_>, flights: &[Flight<'_>], now: Now) -> bool {
    let best = Choice::Closed(best.clone());
    flights.len() <= FATES_MAX
        && (0..1usize << flights.len()).all(|fate| {
            let survivors = flights.iter().enumerate().filter(|(index, _)| fate >> index & 1 == 1);
            choice(question, survivors.map(|(_, flight)| flight), now) == best
        })
}

/// An upload that can make a difference.
#[derive(Clone, Copy)]
struct Flight<'a> {
    row: &'a Row,
    /// How many segments before the one in question.
    back: usize,
}

impl<'a> Flight<'a> {
    fn of(row: &'a Row, question: &Question<'_>, now: Now) -> Option<Self> {
        let Object::Segment { number, .. } = row.key.object else { return None };
        let back = usize::try_from(question.number.checked_sub(number)?).ok().filter(|back| *back < 3)?;
        let stored = records(question, back).iter().find(|stored| stored.key.pipeline == row.key.pipeline);
        let is_final = stored.is_some_and(|stored| stored.sound.is_some());
        (row.first <= now.stamp && !is_final).then_some(Self { row, back })
    }
}

/// The records of the segment `back` before the one in question.
fn records<'a>(question: &Question<'a>, back: usize) -> &'a [Row] {
    match back.checked_sub(1) {
        None => question.rows,
        Some(before) => question.before[before],
    }
}

/// A [`Selection`] that outlives the world it was made in.
#[derive(Clone, PartialEq)]
enum Choice {
    Absent,
    Closing(crate::Timestamp),
    Hoping { until: crate::Timestamp, best: Pipeline },
    Closed(Pipeline),
    Provisional(Pipeline),
}

/// The selection in a world in which the uploads in flight are `survivors` and complete.
fn choice<'f>(question: &Question<'_>, survivors: impl Iterator<Item = &'f Flight<'f>>, now: Now) -> Choice {
    let mut worlds = [0, 1, 2].map(|back| records(question, back).to_vec());
    for flight in survivors {
        let rows = &mut worlds[flight.back];
        let before = rows.iter().position(|row| row.key.pipeline == flight.row.key.pipeline);
        let before = before.map(|index| rows.swap_remove(index));
        let passed = before.as_ref().map_or_else(Box::default, |row| row.passed.clone());
        rows.push(Row { first: first(before.as_ref(), flight.row.first), passed, ..flight.row.clone() });
    }
    let question = Question { rows: &worlds[0], before: [&worlds[1], &worlds[2]], ..*question };
    let pipeline = |row: &Row| row.key.pipeline.clone();
    match selection::select(&question, now) {
        Selection::Absent => Choice::Absent,
        Selection::Closing(until) => Choice::Closing(until),
        Selection::Hoping { until, best } => Choice::Hoping { until, best: pipeline(best) },
        Selection::Closed(row) => Choice::Closed(pipeline(row)),
        Selection::Provisional(row) => Choice::Provisional(pipeline(row)),
    }
}

#[cfg(test)]
#[path = "in_flight/tests.rs"]
mod tests;
