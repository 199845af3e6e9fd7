//! The inspection of one CMAF segment: which defects of contract §4 its boxes show. It reads box headers, `styp` and
//! `moof`; it never reads media payload and never guesses: where a fact is missing (a timescale that no init segment
//! has told yet, a duration that nobody gave), the finding that needs it is left out.

use headwater_model::SegmentDuration;
use headwater_model::defect::{Defect, DefectKind, Defects};
use headwater_model::document::Document;

use crate::boxes::{Broken, FourCc, Header, TopLevel};
use crate::fragment::{Defaults, Fragment, Tally, TrackFragment};
use crate::init::{Track, TrackKind};
use crate::kind::Container;
use crate::source::Source;

/// The brand of a slate (DASH-IF ingest §6.2).
const SLATE: &[u8; 4] = b"slat";

/// What a segment should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What its path claims.
    pub container: Container,
    /// How long it should last.
    pub segment: SegmentDuration,
    /// Its number less the event's start number: it should begin at `index * segment`.
    pub index: i128,
    /// What is known about its track.
    pub track: TrackFacts,
}

/// What is known about a track, from the event document and the init segment. Everything may be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TrackFacts {
    /// `track_ID`; else the first track of the segment is meant.
    pub id: Option<u32>,
    /// Units a second.
    pub timescale: Option<u32>,
    /// What the track is.
    pub kind: TrackKind,
    /// The defaults of its `trex`.
    pub defaults: Defaults,
    /// Media time at which its presentation begins (`elst`).
    pub edit_start: u64,
}

impl TrackFacts {
    /// What `track` of an init segment says.
    #[must_use]
    pub const fn of(track: &Track) -> Self {
        Self {
            id: Some(track.id),
            timescale: Some(track.timescale),
            kind: track.kind,
            defaults: track.defaults,
            edit_start: track.edit_start,
        }
    }
}

impl Expectation {
    /// What segment `number` of an event, published at `path`, should be.
    #[must_use]
    pub fn new(document: &Document, path: &str, number: u64, track: TrackFacts) -> Self {
        let index = i128::from(number) - i128::from(document.start_number);
        Self { container: Container::of_path(path), segment: document.segment, index, track }
    }

    /// Where the segment should begin, in the track's timescale.
    fn start(&self) -> Option<i128> {
        self.timescale().map(|timescale| self.segment.media_time(self.index, timescale))
    }

    fn timescale(&self) -> Option<u32> {
        self.track.timescale.filter(|timescale| *timescale > 0)
    }
}

/// What the boxes of a segment show.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Inspection {
    /// What is wrong with it.
    pub defects: Defects,
    /// Why it is malformed or incomplete, for a person.
    pub broken: Option<Broken>,
    /// How many fragments it has; more than one makes it a segment of CMAF chunks.
    pub fragments: u32,
    /// Decode time of the first sample.
    pub decode_time: Option<u64>,
    /// Duration of all samples, in the track's timescale.
    pub duration: Option<u64>,
    /// Number of samples.
    pub samples: u64,
}

/// Inspects one segment.
#[must_use]
pub fn inspect<S: Source + ?Sized>(source: &S, expectation: &Expectation) -> Inspection {
    if !expectation.container.is_mp4(source) {
        return Inspection::default();
    }
    let mut scan = Scan::default();
    let broken = scan.read(source, expectation.track).err().map(|broken| settle(broken, source));
    let mut found = Inspection {
        broken,
        fragments: scan.fragments,
        decode_time: scan.decode_time,
        duration: scan.samples.total().and_then(|total| u64::try_from(total).ok()),
        samples: scan.samples.count,
        defects: Defects::default(),
    };
    let of_structure = broken.map(|broken| match broken {
        Broken::Malformed { .. } => Defect::new(DefectKind::Malformed, &[]),
        Broken::Incomplete { .. } => Defect::new(DefectKind::Incomplete, &[]),
    });
    let findings = [
        of_structure,
        // What is missing from broken bytes says nothing about how much was recorded.
        scan.short(expectation).filter(|_| broken.is_none()),
        scan.discontinuity(expectation),
        scan.no_sync(expectation.track.kind),
        scan.disorder.then(|| Defect::new(DefectKind::Disorder, &[])),
        scan.slate.then(|| Defect::new(DefectKind::Filler, &[])),
    ];
    findings.into_iter().flatten().for_each(|defect| found.defects.add(defect));
    found
}

/// What was read so far.
#[derive(Default)]
struct Scan {
    fragments: u32,
    last_sequence: Option<u32>,
    disorder: bool,
    slate: bool,
    /// The track that is judged.
    track: Option<u32>,
    samples: Tally,
    /// Duration that a sample of the judged track has unless it says otherwise.
    default_duration: Option<u32>,
    decode_time: Option<u64>,
    /// How long after it the first sample is shown.
    composition: i64,
    starts_with_sync: Option<bool>,
    is_empty: bool,
    /// Whether the last fragment's samples have not come yet.
    data_due: bool,
}

impl Scan {
    fn read<S: Source + ?Sized>(&mut self, source: &S, facts: TrackFacts) -> Result<(), Broken> {
        let mut foreign = false;
        if source.is_empty() {
            return Err(Broken::malformed(0, "no bytes at all"));
        }
        for header in TopLevel::new(source) {
            let header = header?;
            match &header.kind.0 {
                b"styp" => self.read_brands(&header, source)?,
                b"moof" => self.read_fragment(&header, source, facts)?,
                b"mdat" => self.data_due = false,
                _ => {}
            }
            foreign |= self.fragments == 0 && matches!(&header.kind.0, b"mdat" | b"moov");
        }
        match (self.fragments, foreign) {
            (0, true) => Err(Broken::malformed(0, "no moof: this is no media segment")),
            (0, false) => Err(Broken::Incomplete { at: source.len() }),
            _ if self.data_due => Err(Broken::Incomplete { at: source.len() }),
            _ => Ok(()),
        }
    }

    fn read_brands<S: Source + ?Sized>(&mut self, styp: &Header, source: &S) -> Result<(), Broken> {
        let payload = styp.read(source)?;
        let Some((major, rest)) = payload.split_first_chunk::<4>() else {
            return Err(Broken::malformed(styp.start, "a styp without a brand"));
        };
        // The minor version stands between the major brand and the compatible ones.
        let compatible = rest.get(4..).unwrap_or_default();
        self.slate |= major == SLATE || compatible.chunks_exact(4).any(|brand| brand == SLATE);
        Ok(())
    }

    fn read_fragment<S: Source + ?Sized>(
        &mut self,
        moof: &Header,
        source: &S,
        facts: TrackFacts,
    ) -> Result<(), Broken> {
        let payload = moof.read(source)?;
        let fragment = Fragment::read(&payload, facts.defaults).map_err(|broken| broken.moved(moof.payload))?;
        // Numbers are 32 bits wide and start over (four billion fragments of 2 s take 272 years, chunks do not).
        let grows = |last: u32| fragment.sequence > last || (last == u32::MAX && fragment.sequence <= 1);
        self.disorder |= self.last_sequence.is_some_and(|last| !grows(last));
        self.last_sequence = Some(fragment.sequence);
        self.fragments = self.fragments.saturating_add(1);
        self.data_due = fragment.has_samples();

        let ids = || fragment.tracks.iter().map(|track| track.track);
        let wanted = facts.id.filter(|id| ids().any(|other| other == *id)).or_else(|| ids().next());
        self.track = self.track.or(wanted);
        let judged = self.track;
        fragment.tracks.iter().filter(|track| Some(track.track) == judged).for_each(|track| self.add(track));
        Ok(())
    }

    fn add(&mut self, track: &TrackFragment) {
        if self.samples.count == 0 {
            self.starts_with_sync = track.starts_with_sync();
            self.composition = track.first_composition;
            self.decode_time = self.decode_time.or(track.decode_time);
        }
        self.default_duration = self.default_duration.or(track.defaults.duration);
        self.is_empty |= track.is_empty;
        self.samples.merge(&track.samples);
    }

    /// What "one sample" means in this segment: the duration that most samples have.
    fn sample(&self) -> Option<i128> {
        let default = self.default_duration.filter(|duration| *duration > 0);
        self.samples.usual().or(default).map(i128::from)
    }

    fn short(&self, expectation: &Expectation) -> Option<Defect> {
        // A text track says so where there is nothing to show.
        if self.samples.count == 0 && self.is_empty && expectation.track.kind == TrackKind::Text {
            return None;
        }
        let timescale = i128::from(expectation.timescale()?);
        let total = i128::try_from(self.samples.total()?).ok()?;
        let Some(sample) = self.sample() else {
            let nothing = self.samples.count == 0;
            return nothing.then(|| Defect::new(DefectKind::Short, &[("have", 0), ("want", 1)]));
        };
        // Everything times the document's timescale, so that 1001/500 s stays exact.
        let scale = i128::from(expectation.segment.timescale());
        let want = i128::from(expectation.segment.duration()) * timescale;
        let missing = want - total.saturating_mul(scale);
        if missing < sample * scale {
            return None;
        }
        let in_samples = (want * 2 + sample * scale) / (sample * scale * 2);
        let facts = [("have", fact(total / sample)), ("want", fact(in_samples.max(1)))];
        Some(Defect::new(DefectKind::Short, &facts))
    }

    /// Packagers cut by presentation time. It is `tfdt` itself, unless frames are reordered or the encoder needs a
    /// run-up: then the composition offset and the edit list make up for it, and `tfdt` alone may be frames off.
    fn discontinuity(&self, expectation: &Expectation) -> Option<Defect> {
        let sample = self.sample()?;
        let offset = i128::from(self.decode_time?) - expectation.start()?;
        let shown = offset + i128::from(self.composition) - i128::from(expectation.track.edit_start);
        let off = offset.abs() > sample && shown.abs() > sample;
        off.then(|| Defect::new(DefectKind::Discontinuity, &[("offset", fact(offset))]))
    }

    fn no_sync(&self, kind: TrackKind) -> Option<Defect> {
        let matters = !matches!(kind, TrackKind::Audio | TrackKind::Text);
        (matters && self.starts_with_sync == Some(false)).then(|| Defect::new(DefectKind::NoSync, &[]))
    }
}

/// More bytes could make something of almost any text: a box of 1.4 GB whose type is ` ver`. A body that is not going
/// to grow was cut only if it began like boxes and a box that we know is the one that is cut.
fn settle<S: Source + ?Sized>(broken: Broken, source: &S) -> Broken {
    let Broken::Incomplete { at } = broken else { return broken };
    match source.slice(at.saturating_add(4)..at.saturating_add(8)).as_deref() {
        Some(&[a, b, c, d]) if !FourCc([a, b, c, d]).is_top_level() => {
            Broken::malformed(at, "a box of unknown type reaches past the end")
        }
        None if at == 0 => Broken::malformed(at, "too short for a box"),
        _ => broken,
    }
}

/// An integer of a structured field has at most 15 digits (RFC 9651 §3.3.1).
fn fact(value: i128) -> i64 {
    const LIMIT: i128 = 999_999_999_999_999;
    i64::try_from(value.clamp(-LIMIT, LIMIT)).unwrap_or_default()
}

#[cfg(test)]
#[path = "inspect/tests.rs"]
mod tests;
