//! What every history has to keep. Where a client cannot know what became of a write or which masks a node knew, what
//! speaks for the nodes is taken to be so: what is reported is a violation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use headwater_model::mask::is_masked;
use headwater_model::row::Digest;
use headwater_model::{Pipeline, Rendition};

use super::{Asked, Got, History, Lasting, Media, Micros, Outcome, Publish, Quality, Read, Removal, Span, Url};

/// Within which time the nodes have to know of each other's changes, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of an upload, from its answer; the node that was asked knows it at once.
    pub publishes: u64,
    /// Of masks, from the answer of the change.
    pub masks: u64,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Nobody says that there is nothing where an upload was acked.
    ReadYourWrite,
    /// What a reader has seen does not go away or become older.
    MonotonicReads,
    /// Under the same masks a URL is answered `immutable` with one `ETag` at most, and never with what is masked or
    /// defective.
    OneChoice,
    /// The bytes are those that the `ETag` names, and one upload's of the pipeline that the answer names.
    OneVersion,
    /// Once a sound upload was acked, no other bytes are for the same pipeline and segment.
    Finality,
}

/// What broke a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Of which segment.
    pub url: Url,
    /// How, with the operations that show it.
    pub told: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {}: {}", self.rule, self.url, self.told)
    }
}

/// Every violation, by segment.
#[must_use]
pub fn check(history: &History, bounds: Bounds) -> Vec<Violation> {
    let published = history.publishes.iter().map(|publish| &publish.url);
    let urls: BTreeSet<&Url> = published.chain(history.reads.iter().map(|read| &read.url)).collect();
    let mut found = Vec::new();
    for url in urls {
        let one = Segment::of(history, url, bounds);
        let mut report = |rule, told| found.push(Violation { rule, url: url.clone(), told });
        one.finality(&mut report);
        one.versions(&mut report);
        one.choices(&mut report);
        one.own_writes(&mut report);
        one.monotonic(&mut report);
    }
    found
}

type Report<'a> = dyn FnMut(Rule, String) + 'a;
type Masked = BTreeSet<Pipeline>;

/// Which pipelines may have been masked for a segment on some node.
struct State {
    masked: Masked,
    from: Micros,
    until: Micros,
}

/// One segment's part of a history.
struct Segment<'a> {
    publishes: Vec<&'a Publish>,
    reads: Vec<&'a Read>,
    removals: Vec<&'a Removal>,
    states: Vec<State>,
    bounds: Bounds,
}

impl<'a> Segment<'a> {
    fn of(history: &'a History, url: &Url, bounds: Bounds) -> Self {
        let publishes: Vec<_> = history.publishes.iter().filter(|publish| publish.url == *url).collect();
        let mut reads: Vec<_> = history.reads.iter().filter(|read| read.url == *url).collect();
        reads.sort_by_key(|read| read.span.begin);
        let removals = history.removals.iter().filter(|removal| removal.url == *url).collect();
        let states = states(history, url, &publishes, bounds);
        Self { publishes, reads, removals, states, bounds }
    }

    fn finality(&self, report: &mut Report<'_>) {
        let stored = || self.publishes.iter().filter(|publish| publish.outcome == Outcome::Done);
        for (index, one) in stored().enumerate().filter(|(_, one)| one.quality == Quality::Sound) {
            for (other_index, other) in stored().enumerate() {
                let differ = one.pipeline == other.pipeline && one.digest != other.digest;
                let both_sound = other.quality == Quality::Sound && index < other_index;
                let replaced = other.quality == Quality::Defective && other.span.begin > one.span.end;
                let removed = self.may_be_removed(&one.pipeline, one.span.begin, other.span.end.max(one.span.end));
                if differ && (both_sound || replaced) && !removed {
                    report(Rule::Finality, format!("[{one}] is final, but so ended: [{other}]"));
                }
            }
        }
    }

    fn versions(&self, report: &mut Report<'_>) {
        for (read, media) in self.seen() {
            if matches!(&read.asked, Asked::Own(pipeline) if *pipeline != media.pipeline) {
                report(Rule::OneVersion, format!("another pipeline's: [{read}]"));
            }
            if media.body.is_some_and(|body| body != media.etag) {
                report(Rule::OneVersion, format!("the bytes are not those of the ETag: [{read}]"));
            }
            if self.uploads(media).all(|publish| publish.span.begin > read.span.end) {
                report(Rule::OneVersion, format!("nobody had published this: [{read}]"));
            }
        }
    }

    fn choices(&self, report: &mut Report<'_>) {
        let immutable = || {
            let chosen = self.seen().filter(|(read, _)| read.asked == Asked::Chosen);
            chosen.filter(|(_, media)| media.lasting == Lasting::Immutable)
        };
        for (read, media) in immutable() {
            if !self.uploads(media).any(|publish| publish.quality == Quality::Sound) {
                report(Rule::OneChoice, format!("immutable, but never published free of defects: [{read}]"));
            }
            if self.masked_during(read.span).iter().all(|masked| masked.contains(&media.pipeline)) {
                report(Rule::OneChoice, format!("what is masked was served: [{read}]"));
            }
        }
        let mut choices: BTreeMap<&Masked, (Digest, &Read)> = BTreeMap::new();
        let mut unclear = Vec::new();
        for (read, media) in immutable() {
            let masked = self.masked_during(read.span);
            let (Some(only), 1) = (masked.first(), masked.len()) else {
                unclear.push((read, media, masked));
                continue;
            };
            let (etag, before) = choices.entry(only).or_insert((media.etag, read));
            if *etag != media.etag {
                report(Rule::OneChoice, format!("under the same masks, first [{before}], then [{read}]"));
            }
        }
        for (read, media, masked) in unclear {
            let known: Option<Vec<_>> = masked.iter().map(|masked| choices.get(*masked)).collect();
            if known.is_some_and(|known| known.iter().all(|(etag, _)| *etag != media.etag)) {
                report(Rule::OneChoice, format!("neither the choice of the masks before nor after: [{read}]"));
            }
        }
    }

    fn own_writes(&self, report: &mut Report<'_>) {
        for read in self.reads.iter().filter(|read| matches!(read.got, Got::Nothing(_))) {
            let broken = self.publishes.iter().find(|publish| {
                publish.outcome.is_acked()
                    && self.has_to_know(&publish.node, publish.span, read)
                    && self.concerns(read, &publish.pipeline)
                    && !self.may_be_removed(&publish.pipeline, publish.span.begin, read.span.end)
            });
            if let Some(publish) = broken {
                report(Rule::ReadYourWrite, format!("after [{publish}] came [{read}]"));
            }
        }
    }

    fn monotonic(&self, report: &mut Report<'_>) {
        for later in &self.reads {
            let earlier = self.seen().filter(|(earlier, _)| {
                earlier.reader == later.reader && self.has_to_know(&earlier.node, earlier.span, later)
            });
            let broken = earlier.into_iter().find(|(earlier, media)| {
                !self.may_be_removed(&media.pipeline, earlier.span.begin, later.span.end)
                    && self.goes_back(earlier, media, later)
            });
            if let Some((earlier, _)) = broken {
                report(Rule::MonotonicReads, format!("after [{earlier}] came [{later}]"));
            }
        }
    }

    /// Whether `later` shows less than `earlier` did.
    fn goes_back(&self, earlier: &Read, before: &Media, later: &Read) -> bool {
        let after = match &later.got {
            Got::Nothing(_) => return self.concerns(later, &before.pipeline),
            Got::Silence => return false,
            Got::Media(after) => after,
        };
        if before.pipeline == after.pipeline && self.is_older(after, before) {
            return true;
        }
        let masks = (self.masked_during(earlier.span), self.masked_during(later.span));
        let both_chosen = earlier.asked == Asked::Chosen && later.asked == Asked::Chosen;
        both_chosen
            && (masks.0.len(), &masks.0) == (1, &masks.1)
            && (before.lasting, after.lasting) == (Lasting::Immutable, Lasting::ForNow)
    }

    /// Whether every upload of `one` had ended before any of `other` began.
    fn is_older(&self, one: &Media, other: &Media) -> bool {
        let end = |publish: &Publish| match publish.outcome {
            // It may count at any time.
            Outcome::Unknown => Micros::NEVER,
            _ => publish.span.end,
        };
        let last = self.uploads(one).map(end).max();
        let first = self.uploads(other).map(|publish| publish.span.begin).min();
        one.etag != other.etag && last.zip(first).is_some_and(|(last, first)| last < first)
    }

    /// Media that came.
    fn seen(&self) -> impl Iterator<Item = (&'a Read, &'a Media)> {
        self.reads.iter().filter_map(|read| match &read.got {
            Got::Media(media) => Some((*read, media)),
            Got::Nothing(_) | Got::Silence => None,
        })
    }

    /// The uploads that may have brought it. One that was refused left nothing, unless it is defective: it may have
    /// counted, without an answer, until the sound one came for which it was refused when it was sent again.
    fn uploads(&self, media: &Media) -> impl Iterator<Item = &'a Publish> {
        let (pipeline, etag) = (media.pipeline.clone(), media.etag);
        let publishes = self.publishes.iter().copied();
        publishes.filter(move |publish| {
            publish.pipeline == pipeline
                && publish.digest == etag
                && (publish.outcome != Outcome::Refused || publish.quality == Quality::Defective)
        })
    }

    /// Whether what was seen on `node` in `span` has to be known where and when `read` asks.
    fn has_to_know(&self, node: &str, span: Span, read: &Read) -> bool {
        let lag = if node == read.node { 0 } else { self.bounds.publishes };
        read.span.begin.0 > span.end.0.saturating_add(lag)
    }

    /// Whether a candidate of `pipeline` is an answer to `read`.
    fn concerns(&self, read: &Read, pipeline: &Pipeline) -> bool {
        match &read.asked {
            Asked::Own(own) => own == pipeline,
            Asked::Chosen => !self.masked_during(read.span).iter().any(|masked| masked.contains(pipeline)),
        }
    }

    /// What may have been masked on a node that answered in `span`.
    fn masked_during(&self, span: Span) -> BTreeSet<&Masked> {
        let states = self.states.iter().filter(|state| state.from <= span.end && state.until >= span.begin);
        states.map(|state| &state.masked).collect()
    }

    fn may_be_removed(&self, pipeline: &Pipeline, after: Micros, before: Micros) -> bool {
        let mut removals = self.removals.iter().filter(|removal| removal.pipeline == *pipeline);
        removals.any(|removal| removal.span.begin <= before && removal.span.end >= after)
    }
}

/// What was masked when; a state lasts until every node has to know the next one.
fn states(history: &History, url: &Url, publishes: &[&Publish], bounds: Bounds) -> Vec<State> {
    let mut remasks: Vec<_> = history.remasks.iter().filter(|remask| remask.event == url.event).collect();
    remasks.retain(|remask| remask.outcome != Outcome::Refused);
    remasks.sort_by_key(|remask| remask.span.begin);
    let until = |index: usize| {
        let next = remasks[index..].iter().find(|remask| remask.outcome.is_acked());
        next.map_or(Micros::NEVER, |next| Micros(next.span.end.0.saturating_add(bounds.masks)))
    };
    let mut states = vec![State { masked: Masked::new(), from: Micros(0), until: until(0) }];
    for (index, remask) in remasks.iter().enumerate() {
        let is_masked = |publish: &&&Publish| {
            let rendition = Rendition::new(&url.rendition);
            rendition.is_ok_and(|rendition| is_masked(&remask.masks, &publish.pipeline, &rendition, url.number))
        };
        let masked = publishes.iter().filter(is_masked).map(|publish| publish.pipeline.clone()).collect();
        states.push(State { masked, from: remask.span.begin, until: until(index + 1) });
    }
    states
}
