//! DASH: one static period with a timeline. Gaps are holes in the timeline, not periods of their own: a player that
//! knows one period alone (ffmpeg) still gets all of it.
//!
//! Under a hole `$Number$` would count wrongly, so a rendition with holes that is named by number lists its segments
//! one by one.

use std::fmt::Write;

use headwater_media::{Track, TrackKind};

use super::uri::{attribute, relative, template};
use super::{Presentation, Shown};
use crate::manifest::{Object, Segment};

/// The manifest.
#[must_use]
pub fn manifest(presentation: &Presentation<'_>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (whole, one) = (presentation.seconds(), presentation.segment_seconds());
    let _ = writeln!(
        xml,
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-main:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT{whole:.3}S\" minBufferTime=\"PT{one:.3}S\">"
    );
    let _ = writeln!(xml, "  <Period id=\"0\" start=\"PT0S\" duration=\"PT{whole:.3}S\">");
    for (index, set) in adaptation_sets(presentation).iter().enumerate() {
        adaptation_set(&mut xml, presentation, index, set);
    }
    xml.push_str("  </Period>\n</MPD>\n");
    xml
}

/// What a player may switch between: same kind, language and codec family. In the order of the renditions.
fn adaptation_sets<'a>(presentation: &'a Presentation<'_>) -> Vec<Vec<(&'a Shown<'a>, &'a Track)>> {
    let mut sets: Vec<Vec<(&Shown<'_>, &Track)>> = Vec::new();
    for shown in &presentation.renditions {
        let Some(track) = shown.track().filter(|_| shown.media().next().is_some()) else { continue };
        let family = |track: &Track| track.codec.as_deref().and_then(|codec| codec.get(..4)).map(str::to_owned);
        let fits = |other: &Track| {
            other.kind == track.kind && other.language == track.language && family(other) == family(track)
        };
        match sets.iter_mut().find(|set| set.iter().all(|(_, other)| fits(other))) {
            Some(set) => set.push((shown, track)),
            None => sets.push(vec![(shown, track)]),
        }
    }
    sets
}

fn adaptation_set(xml: &mut String, presentation: &Presentation<'_>, index: usize, set: &[(&Shown<'_>, &Track)]) {
    let Some((_, first)) = set.first() else { return };
    let (content, mime) = match first.kind {
        TrackKind::Video => (" contentType=\"video\"", "video/mp4"),
        TrackKind::Audio => (" contentType=\"audio\"", "audio/mp4"),
        TrackKind::Text => (" contentType=\"text\"", "application/mp4"),
        TrackKind::Metadata | TrackKind::Unknown => ("", "application/mp4"),
    };
    let _ = write!(
        xml,
        "    <AdaptationSet id=\"{index}\"{content} mimeType=\"{mime}\" segmentAlignment=\"true\" startWithSAP=\"1\""
    );
    if let Some(language) = &first.language {
        let _ = write!(xml, " lang=\"{}\"", attribute(language));
    }
    xml.push_str(">\n");
    for (shown, track) in set {
        representation(xml, presentation, shown, track);
    }
    xml.push_str("    </AdaptationSet>\n");
}

fn representation(xml: &mut String, presentation: &Presentation<'_>, shown: &Shown<'_>, track: &Track) {
    let (id, peak) = (attribute(shown.entry.id.as_str()), shown.peak(presentation));
    let _ = write!(xml, "      <Representation id=\"{id}\" bandwidth=\"{peak}\"");
    let codecs = shown.codecs().join(",");
    if !codecs.is_empty() {
        let _ = write!(xml, " codecs=\"{}\"", attribute(&codecs));
    }
    if let Some((width, height)) = track.size {
        let _ = write!(xml, " width=\"{width}\" height=\"{height}\"");
    }
    if let Some((_, rate)) = track.sound {
        let _ = write!(xml, " audioSamplingRate=\"{rate}\"");
    }
    xml.push_str(">\n");
    segments(xml, presentation, shown, track);
    xml.push_str("      </Representation>\n");
}

fn segments(xml: &mut String, presentation: &Presentation<'_>, shown: &Shown<'_>, track: &Track) {
    let document = presentation.document;
    let scale = track.timescale;
    let offset = document.media_start(presentation.from, scale);
    let init = shown.entry.init.as_ref().map(|init| relative(&init.path)).unwrap_or_default();
    let media: Vec<(u64, &Object)> =
        shown.entry.segments.iter().filter_map(|segment| Some((segment.number, segment.media()?))).collect();
    let (Some((first, _)), Some((last, _))) = (media.first(), media.last()) else { return };
    let has_holes = last - first + 1 != media.len() as u64;
    let common = format!("timescale=\"{scale}\" presentationTimeOffset=\"{offset}\"");
    if has_holes && !document.media.has_time() {
        let _ = writeln!(xml, "        <SegmentList {common}>");
        let _ = writeln!(xml, "          <Initialization sourceURL=\"{}\"/>", attribute(&init));
        timeline(xml, presentation, &shown.entry.segments, scale);
        for (_, object) in &media {
            let _ = writeln!(xml, "          <SegmentURL media=\"{}\"/>", attribute(&relative(&object.path)));
        }
        xml.push_str("        </SegmentList>\n");
        return;
    }
    let (init, template) = (attribute(&init), attribute(&template(&document.media)));
    let _ = writeln!(
        xml,
        "        <SegmentTemplate {common} startNumber=\"{first}\" initialization=\"{init}\" media=\"{template}\">"
    );
    timeline(xml, presentation, &shown.entry.segments, scale);
    xml.push_str("        </SegmentTemplate>\n");
}

/// The runs of equal durations; a run after a hole tells when it begins.
fn timeline(xml: &mut String, presentation: &Presentation<'_>, segments: &[Segment], scale: u32) {
    xml.push_str("          <SegmentTimeline>\n");
    let mut next = None;
    let mut run: Option<(i128, i128, u64, bool)> = None;
    for segment in segments.iter().filter(|segment| segment.media().is_some()) {
        let begins = presentation.document.media_start(segment.number, scale);
        let ends = presentation.document.media_start(segment.number.saturating_add(1), scale);
        let (follows, lasts) = (next == Some(begins), ends - begins);
        match &mut run {
            Some((_, duration, more, _)) if follows && *duration == lasts => *more += 1,
            _ => {
                write_run(xml, run.take());
                run = Some((begins, lasts, 0, follows));
            }
        }
        next = Some(ends);
    }
    write_run(xml, run);
    xml.push_str("          </SegmentTimeline>\n");
}

fn write_run(xml: &mut String, run: Option<(i128, i128, u64, bool)>) {
    let Some((begins, lasts, more, follows)) = run else { return };
    let t = if follows { String::new() } else { format!(" t=\"{begins}\"") };
    let r = if more == 0 { String::new() } else { format!(" r=\"{more}\"") };
    let _ = writeln!(xml, "            <S{t} d=\"{lasts}\"{r}/>");
}
