//! What a pipeline can be told to do wrong, and for which segments.

use headwater_media::content::{ClipRendition, fault};
use headwater_model::Millis;
use serde::Serialize;

/// Longest delay: past the retry deadline of every usual event, and short enough to bound the uploads in progress.
pub const LATE_MAX: Millis = Millis(60_000);
/// The delay if none is named: past the deadline of the default document, yet a segment that still comes.
pub const LATE: Millis = Millis(3_000);

/// One thing that goes wrong with each segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The last frames are missing.
    Short,
    /// The segment is never published.
    Missing,
    /// It is published this much after its time.
    Late(Millis),
    /// Its decode time is off by half a second.
    Shifted,
    /// Its boxes are broken.
    Garbled,
    /// Its bytes end in the middle of a box, although the upload is whole.
    Incomplete,
    /// A slate instead of the programme.
    Filler,
    /// Each upload breaks off half way: the connection dies.
    Truncated,
}

impl Fault {
    /// Every fault, with the usual delay.
    pub const ALL: [Self; 8] = [
        Self::Short,
        Self::Missing,
        Self::Late(LATE),
        Self::Shifted,
        Self::Garbled,
        Self::Incomplete,
        Self::Filler,
        Self::Truncated,
    ];

    /// Its word in the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Missing => "missing",
            Self::Late(_) => "late",
            Self::Shifted => "shifted",
            Self::Garbled => "garbled",
            Self::Incomplete => "incomplete",
            Self::Filler => "filler",
            Self::Truncated => "truncated",
        }
    }

    /// The fault of that word; `ms` is the delay of `late`.
    ///
    /// # Errors
    /// A sentence for a person, with the words that there are.
    pub fn parse(word: &str, ms: Option<u64>) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|fault| fault.word() == word);
        let Some(fault) = known else {
            let words = Self::ALL.map(Self::word).join(", ");
            return Err(format!("`{word}` is no fault; use none, {words}"));
        };
        match (fault, ms) {
            (Self::Late(_), Some(ms)) if ms > LATE_MAX.0 => {
                Err(format!("{ms} ms is too late; use at most {}", LATE_MAX.0))
            }
            (Self::Late(_), Some(ms)) => Ok(Self::Late(Millis(ms))),
            (_, Some(_)) => Err(format!("`ms` goes with `late` only, not with `{word}`")),
            (fault, None) => Ok(*fault),
        }
    }

    /// How much after its time a segment is published.
    #[must_use]
    pub const fn delay(self) -> Millis {
        match self {
            Self::Late(delay) => delay,
            _ => Millis(0),
        }
    }

    /// The bytes of a segment as the fault leaves them.
    #[must_use]
    pub fn apply(self, rendition: &ClipRendition, segment: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Short => fault::short(&segment),
            Self::Shifted => fault::shifted(&segment, i64::from(rendition.track().timescale / 2)),
            Self::Garbled => fault::garbled(&segment),
            Self::Incomplete => fault::truncated(&segment),
            Self::Filler => fault::filler(&segment),
            Self::Missing | Self::Late(_) | Self::Truncated => segment,
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// A fault and the segments it hits: the same numbers in every rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What goes wrong.
    pub fault: Fault,
    /// The first segment.
    pub from: u64,
    /// The last one; `None` until healed.
    pub to: Option<u64>,
}

impl Damage {
    /// `fault` for `segments` segments from `from` on; for ever if `None`.
    #[must_use]
    pub fn new(fault: Fault, from: u64, segments: Option<u64>) -> Option<Self> {
        match segments {
            None => Some(Self { fault, from, to: None }),
            Some(0) => None,
            Some(count) => Some(Self { fault, from, to: Some(from.saturating_add(count - 1)) }),
        }
    }

    /// Whether it hits segment `number`.
    #[must_use]
    pub fn hits(&self, number: u64) -> bool {
        number >= self.from && self.to.is_none_or(|to| number <= to)
    }

    /// Whether it can still hit `number` or a later segment.
    #[must_use]
    pub fn lasts(&self, number: u64) -> bool {
        self.to.is_none_or(|to| number <= to)
    }
}

#[cfg(test)]
mod tests {
    use headwater_media::Clip;
    use headwater_media::content::Letter;

    use super::*;

    #[test]
    fn every_word_is_read_back_and_no_other() {
        for fault in Fault::ALL {
            assert_eq!(Fault::parse(fault.word(), None), Ok(fault));
        }
        assert!(Fault::parse("loud", None).unwrap_err().contains("short, missing, late"));
    }

    #[test]
    fn only_a_late_segment_has_a_delay() {
        assert_eq!(Fault::parse("late", Some(700)), Ok(Fault::Late(Millis(700))));
        assert!(Fault::parse("late", Some(60_001)).is_err());
        assert!(Fault::parse("short", Some(700)).is_err());
    }

    #[test]
    fn a_damage_of_three_segments_ends_by_itself() {
        let damage = Damage::new(Fault::Short, 10, Some(3)).unwrap();
        assert_eq!((9..14).map(|number| damage.hits(number)).collect::<Vec<_>>(), [false, true, true, true, false]);
        assert!(damage.lasts(12) && !damage.lasts(13));
        assert!(Damage::new(Fault::Short, 10, None).unwrap().hits(u64::MAX));
        assert_eq!(Damage::new(Fault::Short, 10, Some(0)), None);
    }

    #[test]
    fn faults_of_the_bytes_change_them_and_the_others_do_not() {
        let clip = Clip::builtin();
        let rendition = clip.rendition("v180").unwrap();
        let sound = rendition.segment(Letter::A, 5, 0);
        for fault in Fault::ALL {
            let changed = fault.apply(rendition, sound.clone()) != sound;
            let of_bytes = !matches!(fault, Fault::Missing | Fault::Late(_) | Fault::Truncated);
            assert_eq!(changed, of_bytes, "{}", fault.word());
        }
    }
}
