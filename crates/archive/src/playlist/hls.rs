//! HLS: a multivariant playlist and a media playlist for each rendition. A gap is `EXT-X-GAP`, so that all renditions
//! have the same numbers and players switch or skip.

use std::fmt::Write;

use headwater_media::TrackKind;
use headwater_model::defect::DefectKind;
use headwater_model::template::Position;

use super::uri::{quoted, relative};
use super::{Presentation, Shown};
use crate::manifest::{What, media_playlist_path};

/// `EXT-X-GAP` came with version 8.
const VERSION: u32 = 8;
const AUDIO: &str = "audio";
const SUBTITLES: &str = "subtitles";

/// The media playlist of one rendition.
#[must_use]
pub fn media(presentation: &Presentation<'_>, shown: &Shown<'_>) -> String {
    let document = presentation.document;
    let seconds = presentation.segment_seconds();
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{}\n", seconds.round().max(1.0));
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", presentation.from);
    text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n");
    if let Some(init) = &shown.entry.init {
        let _ = writeln!(text, "#EXT-X-MAP:URI=\"{}\"", quoted(&relative(&init.path)));
    }
    let count = i128::from(presentation.from) - i128::from(document.start_number);
    let begins = document.availability_start_time.offset_nanos(document.segment.nanos(count));
    let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", begins.to_rfc3339());
    let mut was_off = false;
    for segment in &shown.entry.segments {
        let is_off = is_off(segment.media().and_then(|object| object.defects.as_deref()));
        // Timestamps leave the schedule before it and come back after it.
        if (is_off || was_off) && segment.number > presentation.from {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        was_off = is_off;
        let path = match &segment.what {
            What::Media(object) => object.path.clone(),
            What::Gap(_) => {
                text.push_str("#EXT-X-GAP\n");
                absent_path(presentation, shown, segment.number)
            }
        };
        let _ = writeln!(text, "#EXTINF:{seconds:.6},\n{}", relative(&path));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// Where the segment would be. Nobody asks for it, but the format wants a name.
fn absent_path(presentation: &Presentation<'_>, shown: &Shown<'_>, number: u64) -> String {
    let document = presentation.document;
    let timescale = shown.track().map_or(1, |track| track.timescale);
    let position = if document.media.has_time() {
        Position::Time(u64::try_from(document.media_start(number, timescale)).unwrap_or(0))
    } else {
        Position::Number(number)
    };
    document.media.path(&shown.entry.id, Some(position))
}

/// Whether timestamps leave the event's schedule.
fn is_off(defects: Option<&str>) -> bool {
    let tokens = defects.unwrap_or_default().split(',').map(|token| token.split(';').next().unwrap_or_default().trim());
    tokens.into_iter().any(|token| token == DefectKind::Discontinuity.word())
}

/// The multivariant playlist.
#[must_use]
pub fn master(presentation: &Presentation<'_>) -> String {
    let of = |kind| presentation.renditions.iter().filter(move |shown| shown.kind() == kind);
    let has_video = of(TrackKind::Video).next().is_some();
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n");
    if has_video {
        of(TrackKind::Audio).enumerate().for_each(|(index, shown)| group_member(&mut text, shown, AUDIO, index));
    }
    of(TrackKind::Text).enumerate().for_each(|(index, shown)| group_member(&mut text, shown, SUBTITLES, index));
    for shown in &presentation.renditions {
        let is_variant = match shown.kind() {
            TrackKind::Video | TrackKind::Unknown => true,
            TrackKind::Audio => !has_video,
            TrackKind::Text | TrackKind::Metadata => false,
        };
        if is_variant {
            variant(&mut text, presentation, shown, has_video);
        }
    }
    text
}

/// An alternative sound track or subtitles.
fn group_member(text: &mut String, shown: &Shown<'_>, group: &str, index: usize) {
    let kind = group.to_ascii_uppercase();
    let (id, is_first) = (&shown.entry.id, if index == 0 { "YES" } else { "NO" });
    let _ = write!(text, "#EXT-X-MEDIA:TYPE={kind},GROUP-ID=\"{group}\",NAME=\"{}\"", quoted(id.as_str()));
    let track = shown.track();
    if let Some(language) = track.and_then(|track| track.language.as_deref()) {
        let _ = write!(text, ",LANGUAGE=\"{}\"", quoted(language));
    }
    // Subtitles that nobody asked for are not shown.
    let is_default = if group == AUDIO { is_first } else { "NO" };
    let _ = write!(text, ",DEFAULT={is_default},AUTOSELECT=YES");
    if let (AUDIO, Some((channels, _))) = (group, track.and_then(|track| track.sound)) {
        let _ = write!(text, ",CHANNELS=\"{channels}\"");
    }
    let _ = writeln!(text, ",URI=\"{}\"", quoted(&relative(&media_playlist_path(id))));
}

fn variant(text: &mut String, presentation: &Presentation<'_>, shown: &Shown<'_>, has_video: bool) {
    let of = |kind| presentation.renditions.iter().filter(move |shown| shown.kind() == kind);
    let with_audio = has_video && of(TrackKind::Audio).next().is_some();
    let loudest = |rate: fn(&Shown<'_>, &Presentation<'_>) -> u64| {
        let rates = of(TrackKind::Audio).map(|shown| rate(shown, presentation)).max();
        rates.filter(|_| with_audio).unwrap_or(0)
    };
    let peak = shown.peak(presentation) + loudest(|shown, presentation| shown.peak(presentation));
    let average = shown.average(presentation) + loudest(|shown, presentation| shown.average(presentation));
    let _ = write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}");
    let mut codecs: Vec<&str> = shown.codecs();
    for other in of(TrackKind::Audio).filter(|_| with_audio).chain(of(TrackKind::Text)) {
        codecs.extend(other.codecs());
    }
    let mut known: Vec<&str> = Vec::new();
    codecs.into_iter().for_each(|codec| {
        if !known.contains(&codec) {
            known.push(codec)
        }
    });
    if !known.is_empty() {
        let _ = write!(text, ",CODECS=\"{}\"", quoted(&known.join(",")));
    }
    if let Some((width, height)) = shown.track().and_then(|track| track.size) {
        let _ = write!(text, ",RESOLUTION={width}x{height}");
    }
    if with_audio {
        let _ = write!(text, ",AUDIO=\"{AUDIO}\"");
    }
    if of(TrackKind::Text).next().is_some() {
        let _ = write!(text, ",SUBTITLES=\"{SUBTITLES}\"");
    }
    let _ = writeln!(text, "\n{}", relative(&media_playlist_path(&shown.entry.id)));
}
