//! Which candidate is served (contract §5): a pure function of the candidates' records, the event's rules and the
//! masks. It never asks who came first to the server or which node was asked, so that every node answers alike.

use crate::document::Rules;
use crate::mask::{Mask, is_masked};
use crate::name::{Pipeline, Rendition};
use crate::row::Row;
use crate::time::{Now, Timestamp};

/// All that a selection depends on, but for the time.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Of which rendition.
    pub rendition: &'a Rendition,
    /// Which segment.
    pub number: u64,
    /// The rules of this segment.
    pub rules: &'a Rules,
    /// The event's masks.
    pub masks: &'a [Mask],
    /// The records of this segment, in any order.
    pub rows: &'a [Row],
    /// The records of the two segments before it, in any order: they tell which pipelines are healthy.
    pub before: [&'a [Row]; 2],
    /// `E(n) + retry_deadline`.
    pub deadline: Timestamp,
    /// Whether other processes publish too. Their stamps are of other clocks and their records may come to be known in
    /// any order, so stamps tell only when to close; what came too late is told by [`Row::passed`], and whoever
    /// closes a choice has to pass over [`overtaken`] first.
    pub fenced: bool,
}

/// What a selection comes to at some moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Selection<'a> {
    /// No unmasked candidate.
    Absent,
    /// A sound candidate is there; the choice closes at this stamp at the latest.
    Closing(Timestamp),
    /// Only defective ones, of which `best` is the least bad; a better one may come until this stamp.
    Hoping {
        /// When the hope ends at the latest.
        until: Timestamp,
        /// What would be served without it.
        best: &'a Row,
    },
    /// The choice, for ever.
    Closed(&'a Row),
    /// The least bad, until a sound one comes.
    Provisional(&'a Row),
}

/// Selects by what had happened up to `now.stamp`.
#[must_use]
pub fn select<'a>(question: &Question<'a>, now: Now) -> Selection<'a> {
    let candidates = Candidates::of(question, now.stamp);
    match candidates.first_sound() {
        Some(t1) => candidates.close(t1, now.stamp),
        None => candidates.least_bad(now),
    }
}

/// The unmasked pipelines in the event's order, each with its candidate.
struct Candidates<'a> {
    question: Question<'a>,
    ranked: Vec<(&'a Pipeline, Option<&'a Row>)>,
}

impl<'a> Candidates<'a> {
    fn of(question: &Question<'a>, settled: Timestamp) -> Self {
        let question = *question;
        let unmasked = question
            .rules
            .pipelines
            .iter()
            .filter(|pipeline| !is_masked(question.masks, pipeline, question.rendition, question.number));
        // A removed candidate is as good as masked: nobody waits for its pipeline.
        let is_removed =
            |pipeline: &&Pipeline| question.rows.iter().any(|row| row.key.pipeline == **pipeline && row.is_removed());
        let unmasked = unmasked.filter(|pipeline| !is_removed(pipeline) && !is_passed_over(&question, pipeline));
        // Of one process nothing is known whose stamp the watermark has not passed. Stamps of another process may lie
        // ahead of ours, and what is known of it counts: nobody would pass it over.
        let up_to = if question.fenced { Timestamp::MAX } else { settled };
        let ranked = unmasked.map(|pipeline| (pipeline, row_of(question.rows, pipeline, up_to)));
        Self { question, ranked: ranked.collect() }
    }

    /// `t1`: when the first sound candidate came.
    fn first_sound(&self) -> Option<Timestamp> {
        self.rows().filter_map(|row| row.sound).min()
    }

    fn rows(&self) -> impl Iterator<Item = &'a Row> {
        self.ranked.iter().filter_map(|(_, row)| *row)
    }

    /// Rule 2 and 3: the first moment at which nobody better is to be waited for.
    fn close(&self, t1: Timestamp, settled: Timestamp) -> Selection<'a> {
        let latest = t1 + self.question.rules.prefer_wait_ms;
        let mut moments: Vec<Timestamp> =
            self.rows().flat_map(|row| [Some(row.first), row.sound]).flatten().filter(|at| *at > t1).collect();
        moments.push(t1);
        moments.sort_unstable();
        let early = moments.into_iter().find(|at| self.is_decided(*at, t1));
        let close = early.map_or(latest, |at| at.min(latest));
        if close > settled {
            return Selection::Closing(latest);
        }
        let sound_by = if self.question.fenced { Timestamp::MAX } else { close };
        self.best_sound(sound_by).map_or(Selection::Absent, |(_, row)| Selection::Closed(row))
    }

    /// Whether at `at` every pipeline ranked above the best sound one has published or was not healthy at `t1`.
    fn is_decided(&self, at: Timestamp, t1: Timestamp) -> bool {
        let Some((best, _)) = self.best_sound(at) else { return false };
        self.ranked[..best].iter().all(|(pipeline, row)| {
            row.is_some_and(|row| row.first <= at) || !is_healthy(&self.question.before, pipeline, t1)
        })
    }

    /// The best-ranked candidate that was sound at `at`.
    fn best_sound(&self, at: Timestamp) -> Option<(usize, &'a Row)> {
        let sound = |row: &&Row| row.sound.is_some_and(|sound| sound <= at);
        self.ranked.iter().enumerate().find_map(|(rank, (_, row))| row.filter(sound).map(|row| (rank, row)))
    }

    /// Rule 4: none is sound.
    fn least_bad(&self, now: Now) -> Selection<'a> {
        let Some(came) = self.rows().map(|row| row.first).min() else { return Selection::Absent };
        let ranked = self.ranked.iter().filter_map(|(_, row)| *row);
        // `min_by_key` keeps the first of equals: rank decides last.
        let Some(best) = ranked.min_by_key(|row| row.defects.badness()) else { return Selection::Absent };
        // The deadline is a moment of the wall clock; this is where the stamp clock will stand then.
        let deadline = now.stamp.offset_nanos(self.question.deadline.nanos_since(now.wall));
        let until = (came + self.question.rules.defect_wait_ms).min(deadline);
        let all_came = self
            .ranked
            .iter()
            .all(|(pipeline, row)| row.is_some() || !is_healthy(&self.question.before, pipeline, came));
        if all_came || until <= now.stamp { Selection::Provisional(best) } else { Selection::Hoping { until, best } }
    }
}

/// Whether a candidate came too late for one that can still be chosen. That one is sound, whether or not it is known
/// here.
fn is_passed_over(question: &Question<'_>, pipeline: &Pipeline) -> bool {
    let row = question.rows.iter().find(|row| row.key.pipeline == *pipeline);
    row.is_some_and(|row| row.passed.iter().any(|by| stands(question, by)))
}

/// Whether one in whose favour another was passed over can still be chosen.
fn stands(question: &Question<'_>, by: &Pipeline) -> bool {
    let is_removed = question.rows.iter().any(|row| row.key.pipeline == *by && row.is_removed() && row.has_come());
    question.rules.pipelines.contains(by)
        && !is_masked(question.masks, by, question.rendition, question.number)
        && !is_removed
}

/// Whether there is a sound candidate of which nothing is known here yet but that another was passed over in its favour:
/// then the segment is not absent.
#[must_use]
pub fn is_promised(question: &Question<'_>) -> bool {
    let is_known = |by: &Pipeline| question.rows.iter().any(|row| row.key.pipeline == *by && row.has_come());
    let mut passed = question.rows.iter().flat_map(|row| row.passed.iter());
    passed.any(|by| !is_known(by) && stands(question, by))
}

/// Which pipelines have to be passed over before the choice may fall on `chosen` for ever: all that rank above it, are
/// not masked and have no sound candidate. Whether they seem healthy does not matter: another node may think otherwise.
pub fn overtaken<'a>(question: &Question<'a>, chosen: &'a Row) -> impl Iterator<Item = &'a Pipeline> {
    let question = *question;
    let above = question.rules.pipelines.iter().take_while(|pipeline| **pipeline != chosen.key.pipeline);
    above.filter(move |pipeline| {
        let row = question.rows.iter().find(|row| row.key.pipeline == **pipeline);
        let is_settled = row.is_some_and(|row| row.sound.is_some() || row.passed.contains(&chosen.key.pipeline));
        !is_settled && !is_masked(question.masks, pipeline, question.rendition, question.number)
    })
}

fn row_of<'a>(rows: &'a [Row], pipeline: &Pipeline, settled: Timestamp) -> Option<&'a Row> {
    rows.iter().find(|row| row.key.pipeline == *pipeline && row.has_come() && row.first <= settled)
}

/// Whether `pipeline` had published one of the two segments before, by `at`, masked or not; or nobody had.
fn is_healthy(before: &[&[Row]; 2], pipeline: &Pipeline, at: Timestamp) -> bool {
    let mut published = before.iter().flat_map(|rows| rows.iter()).filter(|row| row.first <= at).peekable();
    published.peek().is_none() || published.any(|row| row.key.pipeline == *pipeline)
}

#[cfg(test)]
#[path = "selection/tests.rs"]
mod tests;
