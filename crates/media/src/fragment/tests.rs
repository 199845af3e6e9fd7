use super::*;
use crate::build::{boxed, full, moof};

const NON_SYNC: u32 = 0x0001_0000;
const TREX: Defaults = Defaults { duration: Some(7), flags: Some(NON_SYNC) };

fn read(in_traf: &[&[u8]], defaults: Defaults) -> TrackFragment {
    Fragment::read(&moof(9, in_traf)[8..], defaults).expect("sound").tracks.remove(0)
}

#[test]
fn durations_come_from_the_sample_then_tfhd_then_trex() {
    let plain = full(b"tfhd", 0, 0, &[1]);
    let with_default = full(b"tfhd", 0, TFHD_DURATION, &[1, 20]);
    let bare_run = full(b"trun", 0, 0, &[3]);
    let own_run = full(b"trun", 0, TRUN_DURATION | TRUN_SIZE, &[2, 100, 1, 200, 1]);
    assert_eq!(read(&[&plain, &bare_run], TREX).samples.total(), Some(21));
    assert_eq!(read(&[&with_default, &bare_run], TREX).samples.total(), Some(60));
    assert_eq!(read(&[&with_default, &own_run], TREX).samples.total(), Some(300));
    let unknown = read(&[&plain, &bare_run], Defaults::default()).samples;
    assert_eq!((unknown.count, unknown.total()), (3, None));
}

#[test]
fn flags_come_from_first_sample_flags_then_the_sample_then_tfhd_then_trex() {
    let plain = full(b"tfhd", 0, 0, &[1]);
    let sync = full(b"tfhd", 0, TFHD_FLAGS, &[1, 0x0200_0000]);
    let bare_run = full(b"trun", 0, 0, &[3]);
    let of_sample = full(b"trun", 0, TRUN_DURATION | TRUN_FLAGS, &[1, 5, NON_SYNC]);
    let of_first = full(b"trun", 0, TRUN_DATA_OFFSET | TRUN_FIRST_FLAGS, &[3, 0, 0x0200_0000]);
    assert_eq!(read(&[&plain, &bare_run], Defaults::default()).starts_with_sync(), None);
    assert_eq!(read(&[&plain, &bare_run], TREX).starts_with_sync(), Some(false));
    assert_eq!(read(&[&sync, &bare_run], TREX).starts_with_sync(), Some(true));
    assert_eq!(read(&[&sync, &of_sample], TREX).starts_with_sync(), Some(false));
    assert_eq!(read(&[&plain, &of_first], TREX).starts_with_sync(), Some(true));
}

#[test]
fn all_optional_fields_of_tfhd_are_stepped_over() {
    let tfhd = full(b"tfhd", 0, 0x3b, &[1, 0, 0, 1, 50, 999, NON_SYNC]);
    let track = read(&[&tfhd], Defaults::default());
    assert_eq!(track.defaults, Defaults { duration: Some(50), flags: Some(NON_SYNC) });
}

#[test]
fn both_versions_of_tfdt_are_read() {
    let tfhd = full(b"tfhd", 0, 0, &[1]);
    assert_eq!(read(&[&tfhd, &full(b"tfdt", 0, 0, &[5])], TREX).decode_time, Some(5));
    assert_eq!(read(&[&tfhd, &full(b"tfdt", 1, 0, &[2, 5])], TREX).decode_time, Some((2 << 32) + 5));
}

#[test]
fn the_first_composition_offset_is_signed_in_version_1_of_trun() {
    let tfhd = full(b"tfhd", 0, 0, &[1]);
    for (version, expected) in [(0, i64::from(u32::MAX)), (1, -1)] {
        let trun = full(b"trun", version, TRUN_DURATION | TRUN_COMPOSITION, &[2, 10, u32::MAX, 11, 0]);
        let track = read(&[&tfhd, &trun, &trun], TREX);
        assert_eq!((track.samples.total(), track.first_composition), (Some(42), expected));
    }
}

#[test]
fn four_billion_samples_cost_nothing() {
    let tfhd = full(b"tfhd", 0, TFHD_DURATION, &[1, u32::MAX]);
    let trun = full(b"trun", 0, 0, &[u32::MAX]);
    let runs = vec![trun.as_slice(); 1000];
    let track = read(&[&[tfhd.as_slice()][..], &runs].concat(), TREX);
    assert_eq!(track.samples.count, u64::from(u32::MAX) * 1000);
    assert!(track.samples.total().is_some());
}

#[test]
fn the_usual_duration_is_the_most_common_one() {
    let mut tally = Tally::default();
    (0..1000).for_each(|duration| tally.add(Some(duration), 1));
    assert_eq!(tally.durations.len(), DURATIONS_MAX);
    tally.add(Some(3), 5);
    assert_eq!(tally.usual(), Some(3));
    let mut alike = Tally::default();
    alike.add(Some(33), 1);
    alike.add(Some(34), 1);
    assert_eq!(alike.usual(), Some(34));
    let mut nothing = Tally::default();
    nothing.add(Some(0), 10);
    assert_eq!(nothing.usual(), None);
}

#[test]
fn fragments_that_lack_or_break_a_box_are_malformed() {
    let tfhd = full(b"tfhd", 0, 0, &[1]);
    let no_mfhd = boxed(b"moof", &[&boxed(b"traf", &[&tfhd])]);
    let cases = [
        no_mfhd,
        moof(1, &[]),
        moof(1, &[&full(b"tfhd", 0, TFHD_DURATION, &[1])]),
        moof(1, &[&tfhd, &full(b"tfdt", 1, 0, &[5])]),
        moof(1, &[&tfhd, &full(b"tfdt", 2, 0, &[0, 5])]),
        moof(1, &[&tfhd, &full(b"trun", 0, TRUN_SIZE, &[3, 1, 1])]),
        moof(1, &[&tfhd, &full(b"trun", 0, 0xf00, &[u32::MAX])]),
        moof(1, &[&tfhd, &boxed(b"trun", &[])]),
        moof(1, &[&tfhd, b"\0\0\0\xfftrun"]),
        boxed(b"moof", &[&full(b"mfhd", 0, 0, &[1]), &boxed(b"traf", &[&tfhd]).repeat(TRAFS_MAX + 1)]),
    ];
    for (index, case) in cases.iter().enumerate() {
        let read = Fragment::read(&case[8..], TREX);
        assert!(matches!(read, Err(Broken::Malformed { .. })), "case {index}: {read:?}");
    }
}
