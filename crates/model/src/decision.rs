//! The decision table of the deliver listener (contract §5): what a request for a segment gets, from the clock, the
//! event and the records alone. Rows are tried in the order 1-4, 7, 8, 5, 10, 9, 6; rows 1, 2, 11 and 12 arise outside.

use crate::document::Document;
use crate::event::Event;
use crate::in_flight::{self, Chosen};
use crate::mask::is_masked;
use crate::name::Rendition;
use crate::outcome::Outcome;
use crate::row::Row;
use crate::selection::{Question, Selection};
use crate::time::{Millis, Now, Timestamp};

/// How long a `never` or `expired` may be cached: it does not become false within an hour (contract §5, rows 3 and 4).
const GONE_TTL: Millis = Millis(3_600_000);
/// How long a `masked` may be cached: an operator lifts a mask and wants to see it (contract §5, row 10).
const MASKED_TTL: Millis = Millis(5_000);

/// What is known of a segment when a request for it is decided.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The event.
    pub event: &'a Event,
    /// Of which rendition.
    pub rendition: &'a Rendition,
    /// Which segment.
    pub number: u64,
    /// Its records.
    pub rows: &'a [Row],
    /// The records of the two segments before.
    pub before: [&'a [Row]; 2],
    /// What is still arriving of these three segments: see [`in_flight`].
    pub flying: &'a [Row],
    /// When any segment of the rendition last arrived, on the stamp clock.
    pub last_arrival: Option<Timestamp>,
    /// Whether other processes publish too: see [`Question::fenced`].
    pub fenced: bool,
}

impl<'a> View<'a> {
    /// What the selection is asked.
    #[must_use]
    pub fn question(&self) -> Question<'a> {
        let rules = self.event.rules_at(self.number);
        Question {
            rendition: self.rendition,
            number: self.number,
            rules,
            masks: &self.event.masks,
            rows: self.rows,
            before: self.before,
            deadline: self.event.document.deadline(self.number, rules),
            fenced: self.fenced,
        }
    }
}

/// The clocks at a decision.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// UTC.
    pub wall: Timestamp,
    /// The stamp clock.
    pub stamp: Timestamp,
    /// Up to where the records are known (at most `stamp`).
    pub settled: Timestamp,
}

/// A request's patience.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When it came, on the stamp clock.
    pub stamp: Timestamp,
    /// Whether it has been held already: then it waits on although its publishers have fallen silent.
    pub held: bool,
}

/// For how long an answer may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Whole seconds.
    Seconds(u64),
    /// To the millisecond: told in whole seconds, rounded down, and exactly in `Headwater-Max-Age-Ms`.
    Exact(Millis),
}

/// What a request gets now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision<'a> {
    /// Rows 3-6, 9, 10: no media.
    Refuse(Outcome, Ttl),
    /// Row 7: this candidate, for ever.
    Serve(&'a Row),
    /// Row 8: this candidate, for now.
    ServeDefective(&'a Row, Ttl),
    /// This candidate while it arrives (low latency).
    Follow(&'a Row, Ttl),
    /// This candidate, for now: the choice falls on it whole, but hangs on an upload that is still arriving.
    ServeForNow(&'a Row, Ttl),
    /// Wait for news of the segment, at most until this stamp, and decide again.
    Hold(Timestamp),
    /// Row 12: the records that the answer needs are not known in time.
    Unavailable,
}

/// Decides.
#[must_use]
pub fn decide<'a>(view: &View<'a>, clocks: Clocks, arrival: Arrival) -> Decision<'a> {
    let document = &view.event.document;
    if let Some(refusal) = outside(document, view.number, clocks.wall) {
        return refusal;
    }
    let question = view.question();
    let patience = arrival.stamp + document.hold_max_ms + question.rules.prefer_wait_ms;
    let now = Now { wall: clocks.wall, stamp: clocks.settled };
    match in_flight::select(&question, view.flying, now) {
        Chosen::Follow(row) => Decision::Follow(row, short(document)),
        Chosen::Settled(Selection::Closed(row)) | Chosen::Hanging(row) if !row.defects.is_empty() => {
            defective(document, row)
        }
        Chosen::Hanging(row) => Decision::ServeForNow(row, short(document)),
        Chosen::Settled(Selection::Closed(row)) => Decision::Serve(row),
        Chosen::Settled(Selection::Provisional(row)) => defective(document, row),
        Chosen::Settled(Selection::Closing(_)) if clocks.stamp >= patience => Decision::Unavailable,
        Chosen::Settled(Selection::Closing(until)) => Decision::Hold(later(until, clocks, patience)),
        Chosen::Settled(Selection::Hoping { best, .. }) if clocks.stamp >= patience => defective(document, best),
        Chosen::Settled(Selection::Hoping { until, .. }) => Decision::Hold(later(until, clocks, patience)),
        Chosen::Settled(Selection::Absent) => absent(view, clocks, arrival, question.deadline),
    }
}

/// Rows 3 and 4: whatever has been published.
fn outside<'a>(document: &Document, number: u64, wall: Timestamp) -> Option<Decision<'a>> {
    let after_end = document.end_number.is_some_and(|end| number > end);
    if number < document.start_number || after_end {
        let due = document.expected(number).millis_since(wall) - i128::from(document.early_guard_ms.0);
        // An event in overtime gets a later end: nobody may have cached that there is no segment by then.
        let ttl = match u64::try_from(due) {
            Ok(due @ 1..) if after_end && due < GONE_TTL.0 => Ttl::Exact(Millis(due)),
            _ => Ttl::Seconds(GONE_TTL.0 / 1000),
        };
        return Some(Decision::Refuse(Outcome::Never, ttl));
    }
    (document.expires(number) < wall).then_some(Decision::Refuse(Outcome::Expired, Ttl::Seconds(GONE_TTL.0 / 1000)))
}

/// Rows 5, 10, 9 and 6: no unmasked candidate.
fn absent<'a>(view: &View<'a>, clocks: Clocks, arrival: Arrival, deadline: Timestamp) -> Decision<'a> {
    let document = &view.event.document;
    let segment = short(document);
    if clocks.wall < document.becomes_next(view.number) {
        let due = document.expected(view.number).millis_since(clocks.wall) - i128::from(document.early_guard_ms.0);
        return Decision::Refuse(Outcome::TooEarly, Ttl::Exact(Millis(u64::try_from(due.max(0)).unwrap_or(u64::MAX))));
    }
    let past = clocks.wall > deadline;
    if is_hidden(view, past) {
        return Decision::Refuse(Outcome::Masked, Ttl::Seconds(MASKED_TTL.0 / 1000));
    }
    let to_deadline = clocks.stamp.offset_nanos(deadline.nanos_since(clocks.wall));
    let until = (arrival.stamp + document.hold_max_ms).min(to_deadline);
    if arrival.held && until <= clocks.stamp {
        return Decision::Refuse(Outcome::HeldTooLong, Ttl::Seconds(0));
    }
    if past {
        return Decision::Refuse(Outcome::Missing, segment);
    }
    let silence = Millis(document.segment.nanos(3).unsigned_abs() as u64 / 1_000_000);
    let alive = view.last_arrival.is_some_and(|last| clocks.stamp <= last + silence);
    if !alive && !arrival.held {
        return Decision::Refuse(Outcome::Silent, Ttl::Exact(document.segment.millis()));
    }
    Decision::Hold(until)
}

/// Row 10: every pipeline is masked, or one is and the others' time is over.
fn is_hidden(view: &View<'_>, past_deadline: bool) -> bool {
    let pipelines = &view.event.rules_at(view.number).pipelines;
    let masked = |pipeline| is_masked(&view.event.masks, pipeline, view.rendition, view.number);
    let count = pipelines.iter().filter(|pipeline| masked(pipeline)).count();
    count == pipelines.len() || (count > 0 && past_deadline)
}

fn defective<'a>(document: &Document, row: &'a Row) -> Decision<'a> {
    Decision::ServeDefective(row, short(document))
}

/// The TTL of row 8, for what may be another one soon.
fn short(document: &Document) -> Ttl {
    Ttl::Seconds(document.segment.seconds_at_least(1))
}

/// When to look again: at `until`, or, if that has passed and only the records lag, as late as patience allows; an
/// announcement comes first.
fn later(until: Timestamp, clocks: Clocks, patience: Timestamp) -> Timestamp {
    if until > clocks.stamp { until.min(patience) } else { patience }
}

#[cfg(test)]
#[path = "decision/tests.rs"]
mod tests;
