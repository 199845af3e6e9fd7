//! One movie fragment (`moof`, ISO/IEC 14496-12 §8.8): sequence number, and per track its decode time and its samples
//! in sum. Samples are counted, not listed: a run of four billion samples with default durations costs no more than
//! one of fifty.

use crate::boxes::{Broken, Child, Children, Reader};

/// Most track fragments in one `moof`: CMAF has one, a muxed segment a handful.
pub const TRAFS_MAX: usize = 64;
/// Most distinct sample durations that are told apart when the usual one is sought: constant frame rates have one,
/// or two where the timescale does not divide.
const DURATIONS_MAX: usize = 16;

const TFHD_BASE_DATA_OFFSET: u32 = 0x1;
const TFHD_DESCRIPTION_INDEX: u32 = 0x2;
const TFHD_DURATION: u32 = 0x8;
const TFHD_SIZE: u32 = 0x10;
const TFHD_FLAGS: u32 = 0x20;
const TFHD_DURATION_IS_EMPTY: u32 = 0x01_0000;
const TRUN_DATA_OFFSET: u32 = 0x1;
const TRUN_FIRST_FLAGS: u32 = 0x4;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_COMPOSITION: u32 = 0x800;
const SAMPLE_IS_NON_SYNC: u32 = 0x0001_0000;

/// What holds for samples that say nothing themselves; `None` where nobody has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Defaults {
    /// Duration in the track's timescale.
    pub duration: Option<u32>,
    /// `sample_flags`.
    pub flags: Option<u32>,
}

impl Defaults {
    /// These, and `other` where these are silent.
    #[must_use]
    const fn or(self, other: Self) -> Self {
        Self {
            duration: if self.duration.is_some() { self.duration } else { other.duration },
            flags: if self.flags.is_some() { self.flags } else { other.flags },
        }
    }
}

/// Samples in sum.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many.
    pub count: u64,
    total: u128,
    unknown: bool,
    durations: Vec<(u32, u64)>,
}

impl Tally {
    /// Their durations added up; `None` if one of them is unknown.
    #[must_use]
    pub const fn total(&self) -> Option<u128> {
        if self.unknown { None } else { Some(self.total) }
    }

    /// The duration that most samples have, the longer one of two that are as common; never 0.
    #[must_use]
    pub fn usual(&self) -> Option<u32> {
        let longest_first = self.durations.iter().filter(|(duration, _)| *duration > 0);
        longest_first.max_by_key(|(duration, count)| (*count, *duration)).map(|(duration, _)| *duration)
    }

    fn add(&mut self, duration: Option<u32>, times: u32) {
        let times = u64::from(times);
        self.count = self.count.saturating_add(times);
        match duration {
            Some(duration) => {
                self.total = self.total.saturating_add(u128::from(duration) * u128::from(times));
                self.note(duration, times);
            }
            None => self.unknown |= times > 0,
        }
    }

    /// Adds the samples of another tally.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.saturating_add(other.total);
        self.unknown |= other.unknown;
        other.durations.iter().for_each(|(duration, times)| self.note(*duration, *times));
    }

    fn note(&mut self, duration: u32, times: u64) {
        if let Some((_, count)) = self.durations.iter_mut().find(|(known, _)| *known == duration) {
            *count = count.saturating_add(times);
        } else if self.durations.len() < DURATIONS_MAX && times > 0 {
            self.durations.push((duration, times));
        }
    }
}

/// One track of a fragment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TrackFragment {
    /// `track_ID`.
    pub track: u32,
    /// Decode time of the first sample (`tfdt`).
    pub decode_time: Option<u64>,
    /// What holds for samples without a value of their own, from `tfhd`, else from `trex`.
    pub defaults: Defaults,
    /// Whether the packager says that there is nothing for this time (`duration-is-empty`).
    pub is_empty: bool,
    /// Its samples.
    pub samples: Tally,
    /// `sample_flags` of the first sample, if there is one and somebody has said.
    pub first_flags: Option<u32>,
    /// How long after its decode time the first sample is shown.
    pub first_composition: i64,
}

impl TrackFragment {
    /// Whether decoding can start at the first sample; `None` if nobody has said.
    #[must_use]
    pub fn starts_with_sync(&self) -> Option<bool> {
        self.first_flags.map(|flags| flags & SAMPLE_IS_NON_SYNC == 0)
    }
}

/// One `moof`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fragment {
    /// `sequence_number` of its `mfhd`.
    pub sequence: u32,
    /// Its tracks, in the order of the box.
    pub tracks: Vec<TrackFragment>,
}

impl Fragment {
    /// Reads the payload of a `moof`. `defaults` are those of the init segment's `trex`.
    ///
    /// # Errors
    /// [`Broken::Malformed`], with offsets in the payload.
    pub fn read(payload: &[u8], defaults: Defaults) -> Result<Self, Broken> {
        let mut sequence = None;
        let mut tracks = Vec::new();
        for child in Children::new(payload) {
            let child = child?;
            if child.is(b"mfhd") {
                let (_, _, mut fields) = child.full()?;
                sequence = Some(fields.u32().ok_or_else(|| child.too_short())?);
            } else if child.is(b"traf") {
                if tracks.len() == TRAFS_MAX {
                    return Err(Broken::malformed(child.start, "more tracks than a fragment can need"));
                }
                tracks.push(read_traf(&child, defaults).map_err(|broken| child.inside(broken))?);
            }
        }
        let sequence = sequence.ok_or(Broken::malformed(0, "a moof without mfhd"))?;
        Ok(Self { sequence, tracks })
    }

    /// Whether some track has a sample.
    #[must_use]
    pub fn has_samples(&self) -> bool {
        self.tracks.iter().any(|track| track.samples.count > 0)
    }
}

fn read_traf(traf: &Child<'_>, defaults: Defaults) -> Result<TrackFragment, Broken> {
    let mut found = match traf.children().find(b"tfhd")? {
        Some(tfhd) => read_tfhd(&tfhd, defaults)?,
        None => return Err(Broken::malformed(0, "a traf without tfhd")),
    };
    for child in traf.children() {
        let child = child?;
        if child.is(b"tfdt") {
            found.decode_time = Some(read_tfdt(&child)?);
        } else if child.is(b"trun") {
            read_trun(&child, &mut found)?;
        }
    }
    Ok(found)
}

fn read_tfhd(tfhd: &Child<'_>, defaults: Defaults) -> Result<TrackFragment, Broken> {
    let (_, flags, mut fields) = tfhd.full()?;
    let mut read = || {
        let track = fields.u32()?;
        if flags & TFHD_BASE_DATA_OFFSET != 0 {
            fields.u64()?;
        }
        let mut optional = |flag: u32| if flags & flag == 0 { Some(None) } else { fields.u32().map(Some) };
        optional(TFHD_DESCRIPTION_INDEX)?;
        let duration = optional(TFHD_DURATION)?;
        optional(TFHD_SIZE)?;
        let own = Defaults { duration, flags: optional(TFHD_FLAGS)? };
        let is_empty = flags & TFHD_DURATION_IS_EMPTY != 0;
        Some(TrackFragment { track, is_empty, defaults: own.or(defaults), ..TrackFragment::default() })
    };
    read().ok_or_else(|| tfhd.too_short())
}

fn read_tfdt(tfdt: &Child<'_>) -> Result<u64, Broken> {
    let (version, _, mut fields) = tfdt.full()?;
    let time = match version {
        0 => fields.u32().map(u64::from),
        1 => fields.u64(),
        _ => return Err(Broken::malformed(tfdt.start, "a tfdt of a version that does not exist")),
    };
    time.ok_or_else(|| tfdt.too_short())
}

fn read_trun(trun: &Child<'_>, found: &mut TrackFragment) -> Result<(), Broken> {
    let (version, flags, mut fields) = trun.full()?;
    let count = fields.u32().ok_or_else(|| trun.too_short())?;
    let mut first_flags = None;
    if flags & TRUN_DATA_OFFSET != 0 {
        fields.u32().ok_or_else(|| trun.too_short())?;
    }
    if flags & TRUN_FIRST_FLAGS != 0 {
        first_flags = Some(fields.u32().ok_or_else(|| trun.too_short())?);
    }
    let columns = [TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS, TRUN_COMPOSITION].map(|flag| flags & flag != 0);
    let row = columns.into_iter().filter(|present| *present).count() * 4;
    let table = (row as u64)
        .checked_mul(u64::from(count))
        .and_then(|len| usize::try_from(len).ok())
        .and_then(|len| fields.take(len))
        .ok_or(Broken::malformed(trun.start, "a trun with fewer samples than it says"))?;

    if count > 0 && found.samples.count == 0 {
        let of_sample = || if columns[2] { column(table, columns, 2) } else { found.defaults.flags };
        found.first_flags = first_flags.or_else(of_sample);
        let offset = if columns[3] { column(table, columns, 3).unwrap_or(0) } else { 0 };
        // Signed from version 1 on.
        found.first_composition = if version == 0 { i64::from(offset) } else { i64::from(offset as i32) };
    }
    if columns[0] {
        table.chunks_exact(row).for_each(|sample| found.samples.add(column(sample, columns, 0), 1));
    } else {
        found.samples.add(found.defaults.duration, count);
    }
    Ok(())
}

/// A field of the first sample in a `trun` table.
fn column(table: &[u8], columns: [bool; 4], wanted: usize) -> Option<u32> {
    let before = columns[..wanted].iter().filter(|present| **present).count() * 4;
    Reader::new(table.get(before..)?).u32()
}

#[cfg(test)]
#[path = "fragment/tests.rs"]
mod tests;
