//! The built-in test content: two pictures (a big A and a big B), a clock, a moving pattern and a soft tone, in a
//! loop that is re-timed for ever. Exists so that a demo, a benchmark and a test have media with real boxes and real
//! frames without an encoder. The same arguments always give the same bytes.

pub mod fault;
mod segment;

use headwater_model::SegmentDuration;

use crate::boxes::TopLevel;
use crate::init::{Init, Track};
use segment::{Chunk, Segment};

/// Frames of a segment over frames a second: 48/25 s, which is 90 AAC frames at 48 kHz too.
const SEGMENT: (u32, u32) = (48, 25);

/// Id, picture A, picture B. Sound has no picture: both pipelines send the same bytes.
const FILES: [(&str, &[u8], &[u8]); 3] = [
    ("v360", include_bytes!("../clip/a-v360.mp4"), include_bytes!("../clip/b-v360.mp4")),
    ("v180", include_bytes!("../clip/a-v180.mp4"), include_bytes!("../clip/b-v180.mp4")),
    ("audio", include_bytes!("../clip/audio.mp4"), include_bytes!("../clip/audio.mp4")),
];

/// Which of the two pictures a pipeline sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Letter {
    /// White on blue.
    A,
    /// White on red.
    B,
}

impl Letter {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The letter of the pipeline at `rank` in an event's order: A, B, and again from A.
    #[must_use]
    pub const fn of_rank(rank: usize) -> Self {
        if rank.is_multiple_of(2) { Self::A } else { Self::B }
    }
}

/// The test content.
#[derive(Clone, Debug)]
pub struct Clip {
    renditions: Vec<ClipRendition>,
}

/// One rendition of the test content.
#[derive(Clone, Debug)]
pub struct ClipRendition {
    id: &'static str,
    track: Track,
    init: &'static [u8],
    /// The loop, per letter.
    pictures: [Vec<Chunk<'static>>; 2],
}

impl Clip {
    /// The content that is built into this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let load = |(id, a, b)| load(id, a, b).unwrap_or_else(|| unreachable!("{id} is checked by tests"));
        Self { renditions: FILES.map(load).into() }
    }

    /// How long every segment lasts: 1.92 s.
    #[must_use]
    pub fn segment_duration() -> SegmentDuration {
        SegmentDuration::new(SEGMENT.0, SEGMENT.1).unwrap_or_else(|_| unreachable!("a constant in range"))
    }

    /// Two of video, one of sound.
    #[must_use]
    pub fn renditions(&self) -> &[ClipRendition] {
        &self.renditions
    }

    /// The rendition `id`, if there is one.
    #[must_use]
    pub fn rendition(&self, id: &str) -> Option<&ClipRendition> {
        self.renditions.iter().find(|rendition| rendition.id == id)
    }
}

impl ClipRendition {
    /// Its name, fit for `$RepresentationID$`.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// What its init segment says: timescale, kind, codec, size.
    #[must_use]
    pub const fn track(&self) -> &Track {
        &self.track
    }

    /// Its init segment, the same for both letters.
    #[must_use]
    pub const fn init(&self) -> &'static [u8] {
        self.init
    }

    /// Bits a second of its largest segment.
    #[must_use]
    pub fn bandwidth(&self) -> u64 {
        let bytes = self.pictures.iter().flatten().map(|chunk| chunk.payload.len() as u64).max().unwrap_or(0);
        bytes * 8 * u64::from(SEGMENT.1) / u64::from(SEGMENT.0)
    }

    /// Segment `number` of an event that begins at `start_number`: its decode time is exactly
    /// `(number - start_number) * 48/25 s`.
    #[must_use]
    pub fn segment(&self, letter: Letter, number: u64, start_number: u64) -> Vec<u8> {
        let index = number.saturating_sub(start_number);
        let pieces = &self.pictures[letter as usize];
        let mut chunk = pieces[(index % pieces.len() as u64) as usize].clone();
        chunk.decode_time = index.saturating_mul(chunk.total_duration());
        chunk.sequence = (index as u32).wrapping_add(1);
        Segment::of(chunk).write()
    }
}

fn load(id: &'static str, a: &'static [u8], b: &'static [u8]) -> Option<ClipRendition> {
    let moov = TopLevel::new(a).map_while(Result::ok).find(|header| header.is(b"moov"))?;
    let init = a.get(..usize::try_from(moov.end).ok()?)?;
    let track = Init::read(init).ok()?.main().clone();
    let pictures = [Segment::read(a)?.chunks, Segment::read(b)?.chunks];
    pictures.iter().all(|chunks| !chunks.is_empty()).then_some(ClipRendition { id, track, init, pictures })
}

#[cfg(test)]
#[path = "content/tests.rs"]
mod tests;
