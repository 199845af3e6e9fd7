use proptest::prelude::*;

use super::*;
use crate::build::{boxed, full, moof, segment};
use crate::content::{Clip, Letter, fault};

const NON_SYNC: u32 = 0x0001_0000;

/// Segment `index` of 2 s, of a track with 25 samples of 512 a second.
fn two_seconds(index: i128, kind: TrackKind) -> Expectation {
    let track = TrackFacts { timescale: Some(12_800), kind, ..TrackFacts::default() };
    Expectation { container: Container::Mp4, segment: SegmentDuration::new(2, 1).expect("in range"), index, track }
}

fn video() -> Expectation {
    two_seconds(0, TrackKind::Video)
}

fn found(bytes: &[u8], expectation: &Expectation) -> String {
    inspect(bytes, expectation).defects.to_string()
}

/// A track fragment at `time` with `count` samples of `duration` and `flags`.
fn samples(time: u32, count: u32, duration: u32, flags: u32) -> Vec<u8> {
    let tfhd = full(b"tfhd", 0, 0x02_0028, &[1, duration, flags]);
    [tfhd, full(b"tfdt", 0, 0, &[time]), full(b"trun", 0, 0, &[count])].concat()
}

fn of_samples(time: u32, count: u32, duration: u32) -> Vec<u8> {
    segment(&[&samples(time, count, duration, 0)])
}

#[test]
fn a_segment_as_expected_has_no_defect() {
    let inspection = inspect(&of_samples(25_600, 50, 512), &two_seconds(1, TrackKind::Video));
    assert_eq!(inspection.defects.to_string(), "");
    assert_eq!((inspection.samples, inspection.duration, inspection.decode_time), (50, Some(25_600), Some(25_600)));
    assert_eq!((inspection.fragments, inspection.broken), (1, None));
}

#[test]
fn a_whole_missing_sample_is_short_and_less_is_not() {
    assert_eq!(found(&of_samples(0, 48, 512), &video()), "short;have=48;want=50");
    assert_eq!(found(&of_samples(0, 49, 512), &video()), "short;have=49;want=50");
    assert_eq!(found(&of_samples(0, 50, 502), &video()), "", "500 units of 502 are missing");
    assert_eq!(found(&of_samples(0, 51, 512), &video()), "", "too long is no defect");
}

#[test]
fn aac_on_a_grid_that_it_does_not_fit_is_not_short() {
    let mut expectation = two_seconds(0, TrackKind::Audio);
    expectation.track.timescale = Some(48_000);
    assert_eq!(found(&of_samples(0, 93, 1024), &expectation), "");
    assert_eq!(found(&of_samples(0, 94, 1024), &expectation), "");
    assert_eq!(found(&of_samples(0, 92, 1024), &expectation), "short;have=92;want=94");
}

#[test]
fn a_duration_of_1001_500_is_exact() {
    let mut expectation = two_seconds(1_000_000, TrackKind::Video);
    expectation.segment = SegmentDuration::new(1001, 500).expect("in range");
    expectation.track.timescale = Some(60_000);
    let at = |time: u64, count| {
        let tfhd = full(b"tfhd", 0, 0x28, &[1, 1001, 0]);
        let tfdt = full(b"tfdt", 1, 0, &[(time >> 32) as u32, time as u32]);
        segment(&[&tfhd, &tfdt, &full(b"trun", 0, 0, &[count])])
    };
    assert_eq!(found(&at(120_120_000_000, 120), &expectation), "");
    assert_eq!(found(&at(120_120_000_000, 119), &expectation), "short;have=119;want=120");
    assert_eq!(found(&at(120_120_003_003, 120), &expectation), "discontinuity;offset=3003");
}

#[test]
fn a_start_more_than_one_sample_off_is_a_discontinuity() {
    let expectation = two_seconds(1, TrackKind::Video);
    assert_eq!(found(&of_samples(25_600 + 512, 50, 512), &expectation), "");
    assert_eq!(found(&of_samples(25_600 - 512, 50, 512), &expectation), "");
    assert_eq!(found(&of_samples(25_600 + 513, 50, 512), &expectation), "discontinuity;offset=513");
    assert_eq!(found(&of_samples(0, 50, 512), &expectation), "discontinuity;offset=-25600");
}

#[test]
fn reordered_frames_and_run_up_are_no_discontinuity() {
    let tfhd = full(b"tfhd", 0, 0x28, &[1, 512, 0]);
    let trun = [full(b"trun", 1, 0x800, &[1, 1024]), full(b"trun", 0, 0, &[49])].concat();
    let expectation = two_seconds(1, TrackKind::Video);
    let early = |by: u32| segment(&[&tfhd, &full(b"tfdt", 0, 0, &[25_600 - by]), &trun]);
    assert_eq!(found(&early(1024), &expectation), "", "decoded two frames ahead of its time");
    assert_eq!(found(&early(3000), &expectation), "discontinuity;offset=-3000");

    let mut primed = two_seconds(1, TrackKind::Audio);
    primed.track = TrackFacts { timescale: Some(48_000), edit_start: 1024, ..primed.track };
    assert_eq!(found(&of_samples(97_280, 94, 1024), &primed), "");
    assert_eq!(found(&of_samples(98_304, 94, 1024), &primed), "discontinuity;offset=2304");
}

#[test]
fn without_a_timescale_only_what_needs_none_is_found() {
    let mut expectation = video();
    for timescale in [None, Some(0)] {
        expectation.track.timescale = timescale;
        assert_eq!(found(&of_samples(999_999, 1, 512), &expectation), "");
        assert_eq!(found(&segment(&[&samples(0, 1, 512, NON_SYNC)]), &expectation), "no-sync");
    }
}

#[test]
fn without_a_duration_nothing_is_said_about_time() {
    let tfhd = full(b"tfhd", 0, 0, &[1]);
    let bytes = segment(&[&tfhd, &full(b"tfdt", 0, 0, &[7777]), &full(b"trun", 0, 0, &[3])]);
    assert_eq!(found(&bytes, &video()), "");
    let mut with_trex = video();
    with_trex.track.defaults = Defaults { duration: Some(512), flags: Some(NON_SYNC) };
    assert_eq!(found(&bytes, &with_trex), "short;have=3;want=50, discontinuity;offset=7777, no-sync");
}

#[test]
fn a_first_sample_that_depends_on_others_matters_unless_it_is_sound_or_text() {
    let bytes = segment(&[&samples(0, 50, 512, NON_SYNC)]);
    for (kind, expected) in
        [(TrackKind::Video, "no-sync"), (TrackKind::Unknown, "no-sync"), (TrackKind::Audio, ""), (TrackKind::Text, "")]
    {
        assert_eq!(found(&bytes, &two_seconds(0, kind)), expected, "{kind}");
    }
}

#[test]
fn chunks_add_up() {
    let mdat = boxed(b"mdat", &[&[0; 4]]);
    let chunk = |sequence, time, flags| [moof(sequence, &[&samples(time, 25, 512, flags)]), mdat.clone()].concat();
    let whole = [chunk(5, 0, 0), chunk(6, 12_800, NON_SYNC)].concat();
    assert_eq!(found(&whole, &video()), "");
    assert_eq!(inspect(&whole, &video()).fragments, 2);
    assert_eq!(found(&whole[..whole.len() / 2], &video()), "short;have=25;want=50");
    for last in [5, 4, 0] {
        assert_eq!(found(&[chunk(5, 0, 0), chunk(last, 0, 0)].concat(), &video()), "disorder");
    }
    assert_eq!(found(&[chunk(u32::MAX, 0, 0), chunk(0, 0, 0)].concat(), &video()), "", "numbers start over");
}

#[test]
fn only_the_expected_track_is_judged() {
    let mfhd = full(b"mfhd", 0, 0, &[1]);
    let sound = boxed(b"traf", &[&full(b"tfhd", 0, 8, &[2, 1024]), &full(b"trun", 0, 0, &[1])]);
    let picture = boxed(b"traf", &[&samples(0, 50, 512, 0)]);
    let bytes = [boxed(b"moof", &[&mfhd, &sound, &picture]), boxed(b"mdat", &[])].concat();
    let mut expectation = video();
    expectation.track.id = Some(1);
    assert_eq!(found(&bytes, &expectation), "");
    expectation.track.id = None;
    assert_eq!(found(&bytes, &expectation), "short;have=1;want=25");
}

#[test]
fn a_fragment_without_samples_is_short_unless_text_says_so() {
    let empty = full(b"tfhd", 0, 0x01_0008, &[1, 25_600]);
    let silent = full(b"tfhd", 0, 0, &[1]);
    assert_eq!(found(&segment(&[&empty]), &two_seconds(0, TrackKind::Text)), "");
    assert_eq!(found(&segment(&[&empty]), &video()), "short;have=0;want=1");
    assert_eq!(found(&segment(&[&silent]), &two_seconds(0, TrackKind::Text)), "short;have=0;want=1");
}

#[test]
fn a_slate_is_filler_by_any_of_its_brands() {
    let body = &of_samples(0, 50, 512)[20..];
    let with = |parts: &[&[u8]]| [&boxed(b"styp", parts)[..], body].concat();
    assert_eq!(found(&with(&[b"slat", &[0; 4]]), &video()), "filler");
    assert_eq!(found(&with(&[b"msdh", &[0; 4], b"msdh", b"slat"]), &video()), "filler");
    assert_eq!(found(&with(&[b"msdh", b"slat", b"msdh"]), &video()), "", "that is the minor version");
}

#[test]
fn a_segment_cut_anywhere_is_never_taken_for_sound() {
    let whole = of_samples(0, 50, 512);
    assert_eq!(found(&whole, &video()), "");
    for len in 0..whole.len() {
        let expected = if len < 8 { "malformed" } else { "incomplete" };
        assert_eq!(found(&whole[..len], &video()), expected, "{len}");
    }
}

#[test]
fn what_is_no_media_segment_is_malformed_where_the_path_claims_mp4() {
    let init = Clip::builtin().renditions()[0].init();
    let progressive = [boxed(b"ftyp", &[b"isom"]), boxed(b"mdat", &[b"x"]), boxed(b"moov", &[])].concat();
    for bytes in [
        init,
        &progressive,
        b"",
        b"x",
        b"garbage",
        b"hello world, this is no box",
        b"WEBVTT\n\n",
        b"\x47\x40\x11\x10\x00\x42\xf0\x25",
        b"<?xml version=\"1.0\"?><MPD/>",
        b"{\"a json\": \"document\"}",
    ] {
        assert_eq!(found(bytes, &video()), "malformed", "{}", bytes[..bytes.len().min(20)].escape_ascii());
        let elsewhere = Expectation { container: Container::Other, ..video() };
        assert_eq!(found(bytes, &elsewhere), "");
    }
    let unsaid = Expectation { container: Container::Unsaid, ..video() };
    assert_eq!(found(b"WEBVTT\n\n00:00.000", &unsaid), "");
    assert_eq!(found(&of_samples(0, 48, 512), &unsaid), "short;have=48;want=50");
}

#[test]
fn facts_fit_a_structured_field() {
    assert_eq!(fact(i128::MAX), 999_999_999_999_999);
    assert_eq!(fact(i128::MIN), -999_999_999_999_999);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let clip = Clip::builtin();
    let change = (0usize..900, any::<u8>());
    (0usize..3, any::<bool>(), prop::collection::vec(change, 0..8), 0usize..2000).prop_map(
        move |(rendition, chunks, changes, cut)| {
            let mut bytes = clip.renditions()[rendition].segment(Letter::A, 5, 0);
            if chunks {
                bytes = fault::chunked(&bytes, 10);
            }
            changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
            bytes.truncate(if cut < 1000 { cut } else { bytes.len() });
            bytes
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), timescale in any::<Option<u32>>(), index in any::<i64>()) {
        let mut expectation = two_seconds(i128::from(index), TrackKind::Unknown);
        expectation.track.timescale = timescale;
        let _ = inspect(&bytes, &expectation);
    }

    #[test]
    fn no_mutation_panics_and_pieces_are_judged_like_the_whole(bytes in mutated(), size in 1usize..700) {
        let whole = inspect(&bytes, &video());
        let pieces: Vec<_> = bytes.chunks(size).collect();
        prop_assert_eq!(inspect(&crate::Pieces::new(&pieces), &video()), whole);
    }
}
