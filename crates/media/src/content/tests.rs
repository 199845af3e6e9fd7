use headwater_model::defect::{Defect, DefectKind};

use super::*;
use crate::init::TrackKind;
use crate::inspect::{Expectation, Inspection, TrackFacts, inspect};
use crate::kind::Container;

fn judge(rendition: &ClipRendition, bytes: &[u8], index: u64) -> Inspection {
    let expectation = Expectation {
        container: Container::Mp4,
        segment: Clip::segment_duration(),
        index: i128::from(index),
        track: TrackFacts::of(rendition.track()),
    };
    inspect(bytes, &expectation)
}

fn kinds(inspection: &Inspection) -> Vec<DefectKind> {
    inspection.defects.iter().map(|defect| defect.kind).collect()
}

#[test]
fn the_clip_is_what_it_says() {
    let clip = Clip::builtin();
    let facts: Vec<_> = clip
        .renditions()
        .iter()
        .map(|one| {
            let track = one.track();
            (one.id(), track.kind, track.timescale, track.codec.as_deref().unwrap_or_default(), track.size, track.sound)
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("v360", TrackKind::Video, 12_800, "avc1.4d401e", Some((640, 360)), None),
            ("v180", TrackKind::Video, 12_800, "avc1.4d401e", Some((320, 180)), None),
            ("audio", TrackKind::Audio, 48_000, "mp4a.40.2", None, Some((2, 48_000))),
        ]
    );
    assert!(FILES.iter().map(|(_, a, b)| a.len() + b.len()).sum::<usize>() < 1_500_000);
}

#[test]
fn both_letters_share_their_init_segments_and_differ_in_video() {
    for ((_, a, b), rendition) in FILES.iter().zip(Clip::builtin().renditions()) {
        let init = rendition.init();
        assert!(a.starts_with(init) && b.starts_with(init), "{}", rendition.id());
        let same = rendition.segment(Letter::A, 7, 0) == rendition.segment(Letter::B, 7, 0);
        assert_eq!(same, rendition.track().kind == TrackKind::Audio, "{}", rendition.id());
        assert_eq!(rendition.pictures.each_ref().map(Vec::len), [5, 5]);
    }
}

#[test]
fn every_segment_is_sound_at_any_number() {
    let numbers = (0..11).chain([1_000_000_000, 1 << 40, 1 << 47]);
    for number in numbers {
        for rendition in Clip::builtin().renditions() {
            for letter in Letter::ALL {
                let inspection = judge(rendition, &rendition.segment(letter, number, 0), number);
                assert!(inspection.defects.is_empty(), "{} {number}: {}", rendition.id(), inspection.defects);
                let unit = u64::from(rendition.track().timescale) * 48 / 25;
                assert_eq!((inspection.decode_time, inspection.duration), (Some(number * unit), Some(unit)));
            }
        }
    }
}

#[test]
fn time_counts_from_the_start_number_and_never_overflows() {
    let clip = Clip::builtin();
    let video = &clip.renditions()[0];
    assert_eq!(video.segment(Letter::A, 1042, 42), video.segment(Letter::A, 1000, 0));
    assert_eq!(video.segment(Letter::A, 3, 42), video.segment(Letter::A, 0, 0));
    assert!(!video.segment(Letter::B, u64::MAX, 0).is_empty());
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let (one, other) = (Clip::builtin(), Clip::builtin());
    for (left, right) in one.renditions().iter().zip(other.renditions()) {
        assert_eq!(left.segment(Letter::B, 123_456, 7), right.segment(Letter::B, 123_456, 7));
    }
}

#[test]
fn each_fault_gives_exactly_its_defect() {
    let clip = Clip::builtin();
    for rendition in clip.renditions() {
        let whole = rendition.segment(Letter::B, 9, 0);
        let of = |bytes: &[u8]| kinds(&judge(rendition, bytes, 9));
        assert_eq!(of(&fault::short(&whole)), [DefectKind::Short]);
        assert_eq!(of(&fault::shifted(&whole, 3003)), [DefectKind::Discontinuity]);
        assert_eq!(of(&fault::truncated(&whole)), [DefectKind::Incomplete]);
        assert_eq!(of(&fault::garbled(&whole)), [DefectKind::Malformed]);
        assert_eq!(of(&fault::filler(&whole)), [DefectKind::Filler]);
        assert_eq!(of(&fault::disorder(&whole)), [DefectKind::Disorder]);
        if rendition.track().kind == TrackKind::Video {
            assert_eq!(of(&fault::no_sync(&whole)), [DefectKind::NoSync]);
        }
    }
}

#[test]
fn faults_carry_their_facts() {
    let clip = Clip::builtin();
    let video = &clip.renditions()[0];
    let whole = video.segment(Letter::A, 9, 0);
    let short = judge(video, &fault::short(&whole), 9).defects;
    assert_eq!(short, [Defect::new(DefectKind::Short, &[("have", 46), ("want", 48)])].into_iter().collect());
    let shifted = judge(video, &fault::shifted(&whole, -3003), 9).defects;
    assert_eq!(shifted.to_string(), "discontinuity;offset=-3003");
}

#[test]
fn chunks_are_sound_and_their_numbers_grow_from_segment_to_segment() {
    let clip = Clip::builtin();
    for rendition in clip.renditions() {
        for samples in [0, 1, 5, 12, 48, 1000] {
            let chunked = |number| fault::chunked(&rendition.segment(Letter::A, number, 0), samples);
            let inspection = judge(rendition, &chunked(3), 3);
            assert!(inspection.defects.is_empty(), "{} {samples}: {}", rendition.id(), inspection.defects);
            let numbers: Vec<_> = (0..3)
                .flat_map(|number| {
                    Segment::read(&chunked(number))
                        .expect("its own shape")
                        .chunks
                        .into_iter()
                        .map(|c| c.sequence)
                        .collect::<Vec<_>>()
                })
                .collect();
            assert!(numbers.is_sorted_by(|left, right| left < right), "{numbers:?}");
        }
    }
}

#[test]
fn bytes_that_are_no_test_segment_come_back_as_they_are() {
    let text = b"WEBVTT\n\n".as_slice();
    for (index, spoilt) in [
        fault::short(text),
        fault::shifted(text, 1),
        fault::truncated(text),
        fault::garbled(text),
        fault::filler(text),
        fault::no_sync(text),
        fault::disorder(text),
        fault::chunked(text, 0),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(spoilt, text, "{index}");
    }
}
