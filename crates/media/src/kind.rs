//! What an object is, from its extension and its boxes and never from what its sender said: the content type it is
//! served with, whether it claims to be MP4, and whether a loose object is a piece of media that may age out.

use crate::boxes::{FourCc, TopLevel};
use crate::init::{Init, TrackKind};
use crate::source::Source;

/// The type of bytes that nothing is known about.
const OCTETS: &str = "application/octet-stream";
const DASH: &str = "application/dash+xml";
const HLS: &str = "application/vnd.apple.mpegurl";
const VIDEO_MP4: &str = "video/mp4";
const AUDIO_MP4: &str = "audio/mp4";
const APPLICATION_MP4: &str = "application/mp4";
const SEGMENT: &str = "video/iso.segment";

/// What a path claims its bytes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// ISO BMFF: anything else under such a path is malformed.
    Mp4,
    /// Something that we do not look into.
    Other,
    /// Nothing: the first bytes decide.
    Unsaid,
}

impl Container {
    /// What the extension of `path` says.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        match extension(path).as_str() {
            "m4s" | "mp4" | "m4v" | "m4a" | "m4f" | "cmfv" | "cmfa" | "cmft" | "cmfm" | "init" | "header" => Self::Mp4,
            "" => Self::Unsaid,
            _ => Self::Other,
        }
    }

    /// Whether `source` is to be read as ISO BMFF.
    #[must_use]
    pub fn is_mp4<S: Source + ?Sized>(self, source: &S) -> bool {
        match self {
            Self::Mp4 => true,
            Self::Other => false,
            Self::Unsaid => first_box(source).is_some_and(FourCc::is_top_level),
        }
    }
}

/// The content type of an object (DASH-IF ingest, interface 2, and RFC 8216).
///
/// Never a type that a browser runs: a packager's path must not become a page on the origin's name.
#[must_use]
pub fn content_type<S: Source + ?Sized>(path: &str, source: &S) -> &'static str {
    match extension(path).as_str() {
        "mpd" => DASH,
        "m3u8" | "m3u" => HLS,
        "cmfv" | "m4v" => VIDEO_MP4,
        "cmfa" | "m4a" => AUDIO_MP4,
        "cmft" | "cmfm" => APPLICATION_MP4,
        "mp4" | "init" | "header" => of_init(source).unwrap_or(VIDEO_MP4),
        "m4s" | "m4f" => of_init(source).unwrap_or(SEGMENT),
        "ts" => "video/mp2t",
        "aac" => "audio/aac",
        "ac3" => "audio/ac3",
        "ec3" => "audio/eac3",
        "mp3" => "audio/mpeg",
        "vtt" => "text/vtt",
        "ttml" => "application/ttml+xml",
        "json" => "application/json",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        _ => sniff(source),
    }
}

/// Whether a loose object is a piece of media, of which there will be ever more, and not a manifest, a key, a picture
/// or an init segment: the former age out with the window, the latter are kept.
#[must_use]
pub fn is_media_segment<S: Source + ?Sized>(path: &str, source: &S) -> bool {
    match extension(path).as_str() {
        "ts" | "aac" | "ac3" | "ec3" | "mp3" | "vtt" => true,
        _ => {
            let container = Container::of_path(path);
            container != Container::Other && container.is_mp4(source) && has_fragment(source)
        }
    }
}

/// Lower case, without the dot; empty if there is none. The parenthesis is that of `Streams(name.cmfv)`, the
/// deprecated naming of DASH-IF ingest.
fn extension(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default().trim_end_matches(')');
    name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

/// The type of the first box, whole or not.
fn first_box<S: Source + ?Sized>(source: &S) -> Option<FourCc> {
    let kind = source.slice(4..8)?;
    kind.as_ref().try_into().ok().map(FourCc)
}

fn has_fragment<S: Source + ?Sized>(source: &S) -> bool {
    TopLevel::new(source).map_while(Result::ok).any(|header| header.is(b"moof"))
}

/// The content type of an init segment, by its tracks; `None` if it is none.
fn of_init<S: Source + ?Sized>(source: &S) -> Option<&'static str> {
    if !first_box(source).is_some_and(FourCc::is_top_level) {
        return None;
    }
    let init = Init::read(source).ok()?;
    Some(match init.main().kind {
        TrackKind::Audio if init.tracks().iter().all(|track| track.kind == TrackKind::Audio) => AUDIO_MP4,
        TrackKind::Text | TrackKind::Metadata => APPLICATION_MP4,
        _ => VIDEO_MP4,
    })
}

fn sniff<S: Source + ?Sized>(source: &S) -> &'static str {
    let head = source.slice(0..source.len().min(8)).unwrap_or_default();
    match head.get(4..8) {
        Some(b"ftyp" | b"moov") => of_init(source).unwrap_or(VIDEO_MP4),
        Some(b"styp" | b"moof" | b"sidx" | b"emsg" | b"prft") => SEGMENT,
        _ if head.starts_with(b"#EXTM3U") => HLS,
        _ => OCTETS,
    }
}

#[cfg(test)]
#[path = "kind/tests.rs"]
mod tests;
