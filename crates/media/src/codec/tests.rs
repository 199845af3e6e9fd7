use super::*;
use crate::build::{boxed, full};

fn visual(kind: &[u8; 4], config: &[u8]) -> String {
    of(&boxed(kind, &[&[0; VISUAL_ENTRY_LEN], config]), TrackKind::Video)
}

fn audio(kind: &[u8; 4], config: &[u8]) -> String {
    of(&boxed(kind, &[&[0; AUDIO_ENTRY_LEN], config]), TrackKind::Audio)
}

fn of(entry: &[u8], kind: TrackKind) -> String {
    let child = Children::new(entry).next().expect("one").expect("sound");
    describe(&child, kind).codec
}

fn esds(object: u8, specific: &[u8]) -> Vec<u8> {
    let specific = [&[DECODER_SPECIFIC, 0x80, 0x80, 0x80, specific.len() as u8], specific].concat();
    let config = [&[DECODER_CONFIG, specific.len() as u8 + 13, object], &[0; 12][..], &specific].concat();
    let stream = [&[ES_DESCRIPTOR, config.len() as u8 + 3, 0, 1, 0][..], &config].concat();
    boxed(b"esds", &[&[0; 4], &stream])
}

#[test]
fn video_codecs_are_named() {
    let avc = boxed(b"avcC", &[&[1, 0x64, 0x00, 0x28, 0xff]]);
    assert_eq!(visual(b"avc1", &avc), "avc1.640028");
    assert_eq!(visual(b"avc3", &avc), "avc3.640028");
    let hevc = boxed(b"hvcC", &[&[1, 0x01, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93, 0xf0]]);
    assert_eq!(visual(b"hvc1", &hevc), "hvc1.1.6.L93.B0");
    let high_tier = boxed(b"hvcC", &[&[1, 0x22, 0x20, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 153]]);
    assert_eq!(visual(b"hev1", &high_tier), "hev1.2.4.H153.90");
    assert_eq!(visual(b"av01", &boxed(b"av1C", &[&[0x81, 0x08, 0x0c, 0]])), "av01.0.08M.08");
    assert_eq!(visual(b"av01", &boxed(b"av1C", &[&[0x81, 0x2d, 0xc0, 0]])), "av01.1.13H.10");
    assert_eq!(visual(b"vp09", &full(b"vpcC", 1, 0, &[0x0232_a000])), "vp09.02.50.10");
}

#[test]
fn audio_codecs_are_named() {
    assert_eq!(audio(b"mp4a", &esds(0x40, &[0x11, 0x90])), "mp4a.40.2");
    assert_eq!(audio(b"mp4a", &esds(0x40, &[0x2b, 0x11])), "mp4a.40.5");
    assert_eq!(audio(b"mp4a", &esds(0x40, &[0xf9, 0x40])), "mp4a.40.42", "escaped object type");
    assert_eq!(audio(b"mp4a", &esds(0x6b, &[])), "mp4a.6b");
    for (kind, name) in [(b"ac-3", "ac-3"), (b"ec-3", "ec-3"), (b"Opus", "opus"), (b"fLaC", "fLaC")] {
        assert_eq!(audio(kind, &[]), name);
    }
}

#[test]
fn text_codecs_are_named() {
    assert_eq!(of(&boxed(b"stpp", &[&[0; 8]]), TrackKind::Text), "stpp");
    assert_eq!(of(&boxed(b"wvtt", &[&[0; 8]]), TrackKind::Text), "wvtt");
}

#[test]
fn an_encrypted_entry_is_named_by_what_it_was() {
    let frma = boxed(b"frma", &[b"avc1"]);
    let boxes = [boxed(b"avcC", &[&[1, 0x4d, 0x40, 0x1f]]), boxed(b"sinf", &[&frma])].concat();
    assert_eq!(visual(b"encv", &boxes), "avc1.4d401f");
}

#[test]
fn a_broken_configuration_gives_the_bare_code() {
    assert_eq!(visual(b"avc1", &[]), "avc1");
    assert_eq!(visual(b"avc1", &boxed(b"avcC", &[&[1]])), "avc1");
    assert_eq!(visual(b"hvc1", b"\0\0\0\x04hvcC"), "hvc1");
    assert_eq!(audio(b"mp4a", &boxed(b"esds", &[&[0; 4], &[3, 200, 0]])), "mp4a");
    assert_eq!(visual(b"\"<>&", &[]), "unknown", "it must not spoil a manifest");
}

#[test]
fn sizes_and_sound_are_read() {
    let mut entry = [0; VISUAL_ENTRY_LEN];
    entry[24..28].copy_from_slice(&[0x07, 0x80, 0x04, 0x38]);
    assert_eq!(picture_size(&entry), Some((1920, 1080)));
    let mut entry = [0; AUDIO_ENTRY_LEN];
    entry[17] = 2;
    entry[24..26].copy_from_slice(&48_000_u16.to_be_bytes());
    assert_eq!(sound(&entry), Some((2, 48_000)));
}
