//! Init segments (CMAF headers): which tracks there are, and what of them the origin must know to inspect their
//! segments, choose content types and write manifests. Reads `moov` only.

use std::fmt;

use crate::boxes::{Broken, Child, Children, TopLevel};
use crate::codec::{self, Described};
use crate::fragment::Defaults;
use crate::source::Source;

/// Most tracks of one init segment: CMAF has one, a muxed file a handful.
pub const TRACKS_MAX: usize = 64;

/// What a track is, by its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles and captions.
    Text,
    /// Timed metadata.
    Metadata,
    /// Not known, or something else.
    #[default]
    Unknown,
}

impl TrackKind {
    /// The kind that a handler type of `hdlr` names.
    #[must_use]
    pub const fn of_handler(handler: &[u8; 4]) -> Self {
        match handler {
            b"vide" => Self::Video,
            b"soun" => Self::Audio,
            b"text" | b"subt" | b"sbtl" | b"clcp" => Self::Text,
            b"meta" => Self::Metadata,
            _ => Self::Unknown,
        }
    }

    /// The word for people and APIs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Text => "text",
            Self::Metadata => "metadata",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for TrackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One track.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Track {
    /// `track_ID`.
    pub id: u32,
    /// Units a second of its media timeline; never 0.
    pub timescale: u32,
    /// What it is.
    pub kind: TrackKind,
    /// RFC 6381, like `avc1.4d401e`; `None` if there is no sample entry.
    pub codec: Option<String>,
    /// Width and height in pixels.
    pub size: Option<(u16, u16)>,
    /// Sound channels and samples a second, as the sample entry has them (many packagers write 2 channels for mono).
    pub sound: Option<(u16, u32)>,
    /// ISO 639-2, like `eng`; `None` if undetermined.
    pub language: Option<String>,
    /// What holds for samples that say nothing themselves (`trex`).
    pub defaults: Defaults,
    /// Media time at which presentation begins (`elst`): what comes before it is an encoder's run-up or the room that
    /// reordered frames need.
    pub edit_start: u64,
}

/// What an init segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Its tracks in their order; at least one.
    tracks: Vec<Track>,
}

/// Why bytes are no init segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInit {
    /// The boxes are broken.
    #[error("the init segment is {0}")]
    Broken(#[from] Broken),
    /// Boxes, but no `moov`.
    #[error("there is no moov box; send the CMAF header here")]
    NoMoov,
    /// A `moov` without a usable track.
    #[error("the moov box has no track with a timescale")]
    NoTrack,
}

impl Init {
    /// Reads an init segment.
    ///
    /// # Errors
    /// [`NoInit`] if there is no `moov`, no track in it, or if its boxes are broken.
    pub fn read<S: Source + ?Sized>(source: &S) -> Result<Self, NoInit> {
        for header in TopLevel::new(source) {
            let header = header?;
            if header.is(b"moov") {
                let payload = header.read(source)?;
                return read_moov(&payload).map_err(|broken| match broken {
                    NoInit::Broken(broken) => NoInit::Broken(broken.moved(header.payload)),
                    other => other,
                });
            }
        }
        Err(NoInit::NoMoov)
    }

    /// All tracks, in their order.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The track that stands for the rendition: the first video track, else the first.
    #[must_use]
    pub fn main(&self) -> &Track {
        let video = self.tracks.iter().find(|track| track.kind == TrackKind::Video);
        video.unwrap_or(&self.tracks[0])
    }
}

fn read_moov(payload: &[u8]) -> Result<Init, NoInit> {
    let mut tracks = Vec::new();
    let mut defaults = Vec::new();
    for child in Children::new(payload) {
        let child = child?;
        if child.is(b"trak") {
            if tracks.len() == TRACKS_MAX {
                return Err(Broken::malformed(child.start, "more tracks than an init segment can need").into());
            }
            tracks.extend(read_trak(&child).map_err(|broken| child.inside(broken))?);
        } else if child.is(b"mvex") {
            defaults = read_mvex(&child).map_err(|broken| child.inside(broken))?;
        }
    }
    for track in &mut tracks {
        let own = defaults.iter().find(|(id, _)| *id == track.id);
        track.defaults = own.map(|(_, defaults)| *defaults).unwrap_or_default();
    }
    if tracks.is_empty() { Err(NoInit::NoTrack) } else { Ok(Init { tracks }) }
}

/// The `trex` boxes: track and defaults.
fn read_mvex(mvex: &Child<'_>) -> Result<Vec<(u32, Defaults)>, Broken> {
    let mut all = Vec::new();
    for child in mvex.children() {
        let child = child?;
        if child.is(b"trex") && all.len() < TRACKS_MAX {
            let (_, _, mut fields) = child.full()?;
            let mut read = || {
                let id = fields.u32()?;
                fields.u32()?; // default_sample_description_index
                let duration = fields.u32()?;
                fields.u32()?; // default_sample_size
                // 0 is how packagers that always write durations in the fragments leave it out.
                let duration = Some(duration).filter(|duration| *duration > 0);
                Some((id, Defaults { duration, flags: Some(fields.u32()?) }))
            };
            all.push(read().ok_or_else(|| child.too_short())?);
        }
    }
    Ok(all)
}

/// `None` for a track without an identity or a timescale: nothing can be published for it.
fn read_trak(trak: &Child<'_>) -> Result<Option<Track>, Broken> {
    let mut track = Track::default();
    for child in trak.children() {
        let child = child?;
        if child.is(b"tkhd") {
            let (version, _, mut fields) = child.full()?;
            let times = if version == 1 { 16 } else { 8 };
            let id = fields.take(times).and_then(|_| fields.u32());
            track.id = id.ok_or_else(|| child.too_short())?;
        } else if child.is(b"edts") {
            track.edit_start = read_edts(&child).map_err(|broken| child.inside(broken))?;
        } else if child.is(b"mdia") {
            read_mdia(&child, &mut track).map_err(|broken| child.inside(broken))?;
        }
    }
    Ok(Some(track).filter(|track| track.id > 0 && track.timescale > 0))
}

/// The media time of the first edit that shows media; 0 without one. Empty edits move a track as a whole against the
/// others: they say nothing about where a segment begins.
fn read_edts(edts: &Child<'_>) -> Result<u64, Broken> {
    let Some(elst) = edts.children().find(b"elst")? else { return Ok(0) };
    let (version, _, mut fields) = elst.full()?;
    fields.u32().ok_or_else(|| elst.too_short())?;
    loop {
        let time = match version {
            1 => fields.u64().and_then(|_| fields.u64()).map(|time| time as i64),
            _ => fields.u32().and_then(|_| fields.u32()).map(|time| i64::from(time as i32)),
        };
        match (time.map(u64::try_from), fields.u32()) {
            (Some(Ok(start)), _) => return Ok(start),
            (Some(Err(_)), Some(_)) => {}
            _ => return Ok(0),
        }
    }
}

fn read_mdia(mdia: &Child<'_>, track: &mut Track) -> Result<(), Broken> {
    let mut entry = None;
    for child in mdia.children() {
        let child = child?;
        if child.is(b"mdhd") {
            let (version, _, mut fields) = child.full()?;
            let (times, duration) = if version == 1 { (16, 8) } else { (8, 4) };
            let mut read = || {
                fields.take(times)?;
                let timescale = fields.u32()?;
                fields.take(duration)?;
                Some((timescale, fields.u16()?))
            };
            let (timescale, packed) = read().ok_or_else(|| child.too_short())?;
            track.timescale = timescale;
            track.language = language(packed);
        } else if child.is(b"hdlr") {
            let (_, _, mut fields) = child.full()?;
            let handler = fields.u32().and_then(|_| fields.array()).ok_or_else(|| child.too_short())?;
            track.kind = TrackKind::of_handler(&handler);
        } else if child.is(b"minf") {
            entry = Some(child);
        }
    }
    let Some(minf) = entry else { return Ok(()) };
    let described = sample_entry(&minf, track.kind).map_err(|broken| minf.inside(broken))?;
    if let Some(Described { codec, size, sound }) = described {
        (track.codec, track.size, track.sound) = (Some(codec), size, sound);
    }
    Ok(())
}

/// Descends `minf` / `stbl` / `stsd` to the first sample entry.
fn sample_entry(minf: &Child<'_>, kind: TrackKind) -> Result<Option<Described>, Broken> {
    let Some(stbl) = minf.children().find(b"stbl")? else { return Ok(None) };
    let Some(stsd) = stbl.children().find(b"stsd").map_err(|broken| stbl.inside(broken))? else { return Ok(None) };
    let (_, _, mut fields) = stsd.full()?;
    fields.u32().ok_or_else(|| stsd.too_short())?;
    match Children::new(fields.rest()).next() {
        Some(entry) => Ok(Some(codec::describe(&entry?, kind))),
        None => Ok(None),
    }
}

/// Three letters of five bits each (ISO/IEC 14496-12 §8.4.2.3).
fn language(packed: u16) -> Option<String> {
    let letters = [10, 5, 0].map(|shift| ((packed >> shift) & 0x1f) as u8 + 0x60);
    let text = String::from_utf8(letters.to_vec()).ok()?;
    (text != "und" && text.bytes().all(|byte| byte.is_ascii_lowercase())).then_some(text)
}

#[cfg(test)]
#[path = "init/tests.rs"]
mod tests;
