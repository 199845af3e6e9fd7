use proptest::prelude::*;

use super::*;
use crate::build::{boxed, full};
use crate::content::Clip;

fn trak(id: u32, handler: &[u8; 4], timescale: u32, language: u32) -> Vec<u8> {
    let tkhd = full(b"tkhd", 0, 3, &[0, 0, id]);
    let mdhd = full(b"mdhd", 0, 0, &[0, 0, timescale, 0, language << 16]);
    let hdlr = full(b"hdlr", 0, 0, &[0, u32::from_be_bytes(*handler)]);
    boxed(b"trak", &[&tkhd, &boxed(b"mdia", &[&mdhd, &hdlr])])
}

#[test]
fn the_init_segments_of_the_clip_are_read() {
    let clip = Clip::builtin();
    let init = Init::read(clip.renditions()[0].init()).expect("an init segment");
    assert_eq!(init.tracks().len(), 1);
    assert_eq!((init.main().id, init.main().language.as_deref()), (1, None));
}

#[test]
fn tracks_have_kinds_languages_and_defaults() {
    let english = 0x15c7; // e, n, g: five bits each
    let trex = full(b"trex", 0, 0, &[2, 1, 512, 0, 0x0101_0000]);
    let silent = full(b"trex", 0, 0, &[1, 1, 0, 0, 0]);
    let mvex = boxed(b"mvex", &[&trex, &silent]);
    let moov = boxed(b"moov", &[&trak(1, b"soun", 48_000, english), &trak(2, b"vide", 90_000, 0x55c4), &mvex]);
    let init = Init::read(&moov).expect("sound");
    let [sound, picture] = init.tracks() else { panic!("two tracks") };
    assert_eq!((sound.kind, sound.timescale, sound.language.as_deref()), (TrackKind::Audio, 48_000, Some("eng")));
    assert_eq!(sound.defaults, Defaults { duration: None, flags: Some(0) });
    assert_eq!((picture.kind, picture.language.as_deref()), (TrackKind::Video, None));
    assert_eq!(picture.defaults, Defaults { duration: Some(512), flags: Some(0x0101_0000) });
    assert_eq!(init.main(), picture);
}

#[test]
fn long_versions_of_headers_are_read() {
    let tkhd = full(b"tkhd", 1, 3, &[0, 0, 0, 0, 7]);
    let mdhd = full(b"mdhd", 1, 0, &[0, 0, 0, 0, 1000, 0, 0, 0x55c4_0000]);
    let moov = boxed(b"moov", &[&boxed(b"trak", &[&tkhd, &boxed(b"mdia", &[&mdhd])])]);
    let init = Init::read(&moov).expect("sound");
    assert_eq!((init.main().id, init.main().timescale, init.main().kind), (7, 1000, TrackKind::Unknown));
}

#[test]
fn presentation_starts_at_the_first_edit_that_shows_media() {
    let start = |elst: &[u8]| {
        let tkhd = full(b"tkhd", 0, 3, &[0, 0, 1]);
        let mdia = boxed(b"mdia", &[&full(b"mdhd", 0, 0, &[0, 0, 1000, 0, 0])]);
        let moov = boxed(b"moov", &[&boxed(b"trak", &[&tkhd, &boxed(b"edts", &[elst]), &mdia])]);
        Init::read(&moov).expect("sound").main().edit_start
    };
    assert_eq!(start(&full(b"elst", 0, 0, &[1, 0, 1024, 0x1_0000])), 1024);
    assert_eq!(start(&full(b"elst", 0, 0, &[2, 5000, u32::MAX, 0x1_0000, 0, 7, 0x1_0000])), 7);
    assert_eq!(start(&full(b"elst", 1, 0, &[1, 0, 0, 1, 1024, 0x1_0000])), (1 << 32) + 1024);
    assert_eq!(start(&full(b"elst", 0, 0, &[u32::MAX, 0])), 0);
    assert_eq!(start(&[]), 0);
}

#[test]
fn what_is_no_init_segment_says_why() {
    assert_eq!(Init::read(&boxed(b"ftyp", &[b"cmfc"])), Err(NoInit::NoMoov));
    assert_eq!(Init::read(b""), Err(NoInit::NoMoov));
    assert_eq!(Init::read(&boxed(b"moov", &[])), Err(NoInit::NoTrack));
    assert_eq!(Init::read(&boxed(b"moov", &[&trak(1, b"vide", 0, 0)])), Err(NoInit::NoTrack));
    let whole = boxed(b"moov", &[&trak(1, b"vide", 1, 0)]);
    let cut = Init::read(&whole[..whole.len() - 1]);
    assert_eq!(cut, Err(NoInit::Broken(Broken::Incomplete { at: 0 })));
    let broken = Init::read(&boxed(b"moov", &[b"\0\0\0\xfftrak"]));
    assert!(matches!(broken, Err(NoInit::Broken(Broken::Malformed { at: 8, .. }))), "{broken:?}");
    assert!(matches!(Init::read(b"WEBVTT\n\n00"), Err(NoInit::Broken(Broken::Malformed { .. }))));
    let crowd = boxed(b"moov", &[&trak(1, b"vide", 1, 0).repeat(TRACKS_MAX + 1)]);
    assert!(Init::read(&crowd).is_err());
}

proptest! {
    #[test]
    fn no_mutation_panics(changes in prop::collection::vec((0usize..727, any::<u8>()), 0..10), audio: bool) {
        let clip = Clip::builtin();
        let mut bytes = clip.renditions()[if audio { 2 } else { 0 }].init().to_vec();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if let Ok(init) = Init::read(&bytes) {
            prop_assert!(init.main().timescale > 0);
        }
    }
}
