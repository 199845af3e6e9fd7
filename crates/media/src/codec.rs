//! Codec strings (RFC 6381 and the bindings of each codec) from sample entries. A configuration that cannot be read
//! gives the bare four-character code: a manifest with `hvc1` is better than none, and the bytes are the packager's
//! business.

use crate::boxes::{Child, Children, Reader};
use crate::init::TrackKind;

/// Fields of `VisualSampleEntry` before its boxes (ISO/IEC 14496-12 §12.1.3).
const VISUAL_ENTRY_LEN: usize = 78;
/// Fields of `AudioSampleEntry` before its boxes (§12.2.3).
const AUDIO_ENTRY_LEN: usize = 28;

/// What a sample entry says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Described {
    pub(crate) codec: String,
    pub(crate) size: Option<(u16, u16)>,
    pub(crate) sound: Option<(u16, u32)>,
}

/// Reads a sample entry of a track of `kind`.
pub(crate) fn describe(entry: &Child<'_>, kind: TrackKind) -> Described {
    let (size, sound, boxes) = match kind {
        TrackKind::Video => (picture_size(entry.payload), None, VISUAL_ENTRY_LEN),
        TrackKind::Audio => (None, sound(entry.payload), AUDIO_ENTRY_LEN),
        // Their strings need no configuration.
        _ => (None, None, entry.payload.len()),
    };
    let boxes = entry.payload.get(boxes..).unwrap_or_default();
    let format = original_format(boxes).unwrap_or(entry.kind.0);
    let codec = configured(&format, boxes).unwrap_or_else(|| bare(&format));
    Described { codec, size, sound }
}

fn picture_size(entry: &[u8]) -> Option<(u16, u16)> {
    let mut fields = Reader::at(entry, 24)?;
    Some((fields.u16()?, fields.u16()?))
}

fn sound(entry: &[u8]) -> Option<(u16, u32)> {
    let mut fields = Reader::at(entry, 16)?;
    let channels = fields.u16()?;
    fields.take(6)?;
    // 16.16 fixed point.
    Some((channels, fields.u32()? >> 16))
}

/// The four-character code, kept to what may stand in a manifest.
fn bare(format: &[u8; 4]) -> String {
    let name: String = format.iter().copied().map(char::from).collect();
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_. ".contains(c));
    if plain { name.trim().to_ascii_lowercase().replace("flac", "fLaC") } else { "unknown".to_owned() }
}

fn find<'a>(boxes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Children::new(boxes).find(kind).ok().flatten().map(|child| child.payload)
}

/// The format of an encrypted entry before encryption: `sinf` / `frma` (§8.12).
fn original_format(boxes: &[u8]) -> Option<[u8; 4]> {
    Reader::new(find(find(boxes, b"sinf")?, b"frma")?).array()
}

fn configured(format: &[u8; 4], boxes: &[u8]) -> Option<String> {
    let name = bare(format);
    match format {
        b"avc1" | b"avc3" => avc(&name, find(boxes, b"avcC")?),
        b"hvc1" | b"hev1" => hevc(&name, find(boxes, b"hvcC")?),
        b"av01" => av1(find(boxes, b"av1C")?),
        b"vp08" | b"vp09" => vpx(&name, find(boxes, b"vpcC")?),
        b"mp4a" => mpeg4_audio(find(boxes, b"esds")?),
        _ => None,
    }
}

/// Profile, constraints and level, as they stand (RFC 6381 §3.3).
fn avc(name: &str, config: &[u8]) -> Option<String> {
    let [_, profile, constraints, level] = Reader::new(config).array()?;
    Some(format!("{name}.{profile:02x}{constraints:02x}{level:02x}"))
}

/// ISO/IEC 14496-15 annex E.3.
fn hevc(name: &str, config: &[u8]) -> Option<String> {
    let mut fields = Reader::new(config);
    fields.u8()?;
    let [general] = fields.array()?;
    let compatibility = fields.u32()?.reverse_bits();
    let constraints: [u8; 6] = fields.array()?;
    let level = fields.u8()?;
    let space = ["", "A", "B", "C"][usize::from(general >> 6)];
    let tier = if general & 0x20 == 0 { 'L' } else { 'H' };
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let constraints: String = constraints[..used].iter().map(|byte| format!(".{byte:X}")).collect();
    Some(format!("{name}.{space}{}.{compatibility:X}.{tier}{level}{constraints}", general & 0x1f))
}

/// AV1 in ISOBMFF §5, without the optional tail.
fn av1(config: &[u8]) -> Option<String> {
    let [_, profile_level, flags] = Reader::new(config).array()?;
    let (profile, level) = (profile_level >> 5, profile_level & 0x1f);
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (false, _) => 8,
        (true, true) if profile == 2 => 12,
        (true, _) => 10,
    };
    Some(format!("av01.{profile}.{level:02}{tier}.{depth:02}"))
}

/// VP codecs in ISOBMFF: profile, level, bit depth.
fn vpx(name: &str, config: &[u8]) -> Option<String> {
    let mut fields = Reader::at(config, 4)?;
    let [profile, level, depth] = fields.array()?;
    Some(format!("{name}.{profile:02}.{level:02}.{:02}", depth >> 4))
}

const ES_DESCRIPTOR: u8 = 3;
const DECODER_CONFIG: u8 = 4;
const DECODER_SPECIFIC: u8 = 5;
const MPEG4_AUDIO: u8 = 0x40;

/// Object type and, for MPEG-4 audio, audio object type (ISO/IEC 14496-1 §7.2.6, 14496-3 §1.6.2).
fn mpeg4_audio(esds: &[u8]) -> Option<String> {
    let mut fields = descriptor(Reader::at(esds, 4)?, ES_DESCRIPTOR)?;
    fields.u16()?;
    let flags = fields.u8()?;
    if flags & 0x80 != 0 {
        fields.u16()?;
    }
    if flags & 0x40 != 0 {
        let url = fields.u8()?;
        fields.take(usize::from(url))?;
    }
    if flags & 0x20 != 0 {
        fields.u16()?;
    }
    let mut config = descriptor(fields, DECODER_CONFIG)?;
    let object = config.u8()?;
    if object != MPEG4_AUDIO {
        return Some(format!("mp4a.{object:02x}"));
    }
    config.take(12)?;
    let mut specific = descriptor(config, DECODER_SPECIFIC)?;
    let first = specific.u8()?;
    // 31 is the escape to six more bits.
    let audio = match first >> 3 {
        31 => 32 + (((first & 7) << 3) | (specific.u8()? >> 5)),
        short => short,
    };
    Some(format!("mp4a.40.{audio}"))
}

/// The payload of a descriptor, if it is the next one. Its length comes in up to four groups of seven bits.
fn descriptor(mut fields: Reader<'_>, tag: u8) -> Option<Reader<'_>> {
    if fields.u8()? != tag {
        return None;
    }
    let mut len = 0;
    for _ in 0..4 {
        let byte = fields.u8()?;
        len = (len << 7) | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    fields.take(len).map(Reader::new)
}

#[cfg(test)]
#[path = "codec/tests.rs"]
mod tests;
