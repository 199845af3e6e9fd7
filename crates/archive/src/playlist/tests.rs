use std::collections::BTreeMap;

use headwater_media::Clip;
use serde_json::json;

use super::*;
use crate::manifest::{Gap, What};

/// Two renditions of the built-in clip, numbers 3 to 8, with a hole.
fn entries(document: &Document, holes: &[u64], defects: &BTreeMap<u64, &str>) -> Vec<(RenditionEntry, Option<Init>)> {
    let clip = Clip::builtin();
    let entry = |id: &str| {
        let init = clip.rendition(id).unwrap().init();
        let init = Init::read(init).unwrap();
        let id: headwater_model::Rendition = id.parse().unwrap();
        let object = |path: String, number: u64| Object {
            path,
            size: 10_000 + number,
            etag: "00".into(),
            sha256: None,
            pipeline: "a".parse().unwrap(),
            defects: defects.get(&number).map(|text| (*text).to_owned()),
        };
        let segment = |number: u64| {
            let position = headwater_model::template::Position::Number(number);
            let what = if holes.contains(&number) {
                What::Gap(Gap { outcome: "missing".into(), reason: None })
            } else {
                What::Media(object(document.media.path(&id, Some(position)), number))
            };
            Segment { number, what }
        };
        let segments = (3..=8).map(segment).collect();
        let path = document.init.path(&id, None);
        (RenditionEntry { init: Some(object(path, 0)), segments, id }, Some(init))
    };
    ["v360", "audio"].map(entry).into()
}

fn document(changes: serde_json::Value) -> Document {
    let mut value = json!({"segment": {"duration": 48, "timescale": 25}, "start_number": 3,
        "availability_start_time": "2026-11-28T12:00:00Z"});
    value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Document::from_value(value).unwrap()
}

fn shown<T>(
    document: &Document,
    entries: &[(RenditionEntry, Option<Init>)],
    with: impl FnOnce(&Presentation<'_>) -> T,
) -> T {
    let renditions = entries.iter().map(|(entry, init)| Shown { entry, init: init.clone() }).collect();
    with(&Presentation { document, from: 3, to: 8, renditions })
}

#[test]
fn without_holes_a_template_says_it_all() {
    let document = document(json!({}));
    let xml = shown(&document, &entries(&document, &[], &BTreeMap::new()), dash::manifest);
    assert_eq!(xml.matches("<AdaptationSet ").count(), 2, "{xml}");
    assert!(xml.contains("media=\"$RepresentationID$/$Number$.m4s\"") && xml.contains("startNumber=\"3\""), "{xml}");
    assert!(xml.contains("r=\"5\"") && !xml.contains("SegmentURL"), "{xml}");
    assert!(xml.contains("mediaPresentationDuration=\"PT11.520S\""), "{xml}");
}

#[test]
fn with_holes_numbered_segments_are_listed_and_the_timeline_jumps() {
    let document = document(json!({}));
    let xml = shown(&document, &entries(&document, &[5], &BTreeMap::new()), dash::manifest);
    assert!(xml.contains("<SegmentURL media=\"v360/6.m4s\"/>") && !xml.contains("v360/5.m4s"), "{xml}");
    let runs: Vec<&str> = xml.lines().map(str::trim).filter(|line| line.starts_with("<S ")).collect();
    assert_eq!(runs.len(), 4, "{xml}");
    assert!(runs[0].starts_with("<S t=\"0\"") && runs[0].ends_with("r=\"1\"/>"), "{runs:?}");
    assert!(runs[1].contains("t=\"") && runs[1].ends_with("r=\"2\"/>"), "{runs:?}");
}

#[test]
fn a_gap_is_told_in_hls_and_does_not_move_the_numbers() {
    let document = document(json!({}));
    let text = shown(&document, &entries(&document, &[5], &BTreeMap::new()), |presentation| {
        hls::media(presentation, &presentation.renditions[0])
    });
    let expected = "\
#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:3
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI=\"v360/init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-28T12:00:00Z
#EXTINF:1.920000,
v360/3.m4s
#EXTINF:1.920000,
v360/4.m4s
#EXT-X-GAP
#EXTINF:1.920000,
v360/5.m4s
#EXTINF:1.920000,
v360/6.m4s
";
    assert!(text.starts_with(expected) && text.ends_with("v360/8.m4s\n#EXT-X-ENDLIST\n"), "{text}");
}

#[test]
fn only_a_segment_off_the_schedule_is_a_discontinuity() {
    let document = document(json!({}));
    let defects = BTreeMap::from([(4, "short;have=46;want=48"), (6, "short, discontinuity;offset=3003")]);
    let text = shown(&document, &entries(&document, &[], &defects), |presentation| {
        hls::media(presentation, &presentation.renditions[0])
    });
    let marked: Vec<&str> =
        text.split("#EXT-X-DISCONTINUITY\n").skip(1).map(|rest| rest.lines().nth(1).unwrap()).collect();
    assert_eq!(marked, ["v360/6.m4s", "v360/7.m4s"], "{text}");
}

#[test]
fn the_multivariant_playlist_joins_picture_and_sound() {
    let document = document(json!({}));
    let text = shown(&document, &entries(&document, &[], &BTreeMap::new()), hls::master);
    assert!(text.contains("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\""), "{text}");
    assert!(text.contains("URI=\"media-audio.m3u8\"") && text.contains("AUDIO=\"audio\"\nmedia-v360.m3u8\n"), "{text}");
    assert!(text.contains("RESOLUTION=640x360") && text.contains("CODECS=\"avc1."), "{text}");
    assert!(text.contains(",mp4a.40.2\""), "{text}");
}

#[test]
fn a_template_by_time_keeps_its_holes_in_the_timeline() {
    let document = document(json!({"media": "$RepresentationID$/t$Time$.m4s"}));
    let mut all = entries(&document, &[], &BTreeMap::new());
    for (entry, _) in &mut all {
        entry.segments[2].what = What::Gap(Gap { outcome: "missing".into(), reason: None });
    }
    let xml = shown(&document, &all, dash::manifest);
    assert!(xml.contains("media=\"$RepresentationID$/t$Time$.m4s\"") && !xml.contains("SegmentList"), "{xml}");
    assert_eq!(xml.matches("<S t=").count(), 4, "{xml}");
}
