use super::*;
use crate::build::boxed;
use crate::content::{Clip, Letter};

fn init(id: &str) -> &'static [u8] {
    Clip::builtin().rendition(id).expect("in the clip").init()
}

#[test]
fn the_extension_says_the_content_type() {
    for (path, expected) in [
        ("stream.mpd", "application/dash+xml"),
        ("v/MAIN.M3U8", "application/vnd.apple.mpegurl"),
        ("v/1.m4s", "video/iso.segment"),
        ("v/1.mp4", "video/mp4"),
        ("v/1.cmfv", "video/mp4"),
        ("a/1.cmfa", "audio/mp4"),
        ("Switching(v)/Streams(v1.cmfa)", "audio/mp4"),
        ("t/1.cmft", "application/mp4"),
        ("m/1.cmfm", "application/mp4"),
        ("1.ts", "video/mp2t"),
        ("1.aac", "audio/aac"),
        ("1.vtt", "text/vtt"),
        ("key/1.key", "application/octet-stream"),
        ("thumb.jpg", "image/jpeg"),
        ("page.html", "application/octet-stream"),
        ("image.svg", "application/octet-stream"),
        ("v.1/name", "application/octet-stream"),
        (".m4s", "video/iso.segment"),
    ] {
        assert_eq!(content_type(path, b"whatever"), expected, "{path}");
    }
}

#[test]
fn an_init_segment_is_typed_by_its_tracks() {
    for extension in ["mp4", "m4s", "init", "header", "bin"] {
        let path = format!("x/init.{extension}");
        assert_eq!(content_type(&path, init("v180")), "video/mp4", "{path}");
        assert_eq!(content_type(&path, init("audio")), "audio/mp4", "{path}");
    }
    assert_eq!(content_type("x/init.cmfv", init("audio")), "video/mp4", "here the extension is clear");
}

#[test]
fn without_a_known_extension_the_first_box_decides() {
    let segment = Clip::builtin().renditions()[0].segment(Letter::A, 0, 0);
    assert_eq!(content_type("v/42", &segment), "video/iso.segment");
    assert_eq!(content_type("v/init", init("audio")), "audio/mp4");
    assert_eq!(content_type("v/list", b"#EXTM3U\n"), "application/vnd.apple.mpegurl");
    assert_eq!(content_type("v/empty", b""), "application/octet-stream");
}

#[test]
fn media_ages_out_and_all_else_is_kept() {
    let segment = Clip::builtin().renditions()[0].segment(Letter::A, 0, 0);
    let whole = [init("v360"), &segment].concat();
    for (path, bytes, expected) in [
        ("v/1.m4s", segment.as_slice(), true),
        ("v/1", &segment, true),
        ("v/1.mp4", &whole, true),
        ("v/1.ts", b"\x47", true),
        ("v/1.aac", b"", true),
        ("v/1.vtt", b"WEBVTT", true),
        ("v/init.mp4", init("v360"), false),
        ("v/init.m4s", init("v360"), false),
        ("stream.mpd", b"<MPD/>", false),
        ("stream.m3u8", b"#EXTM3U", false),
        ("1.key", &[0; 16], false),
        ("poster.jpg", &segment, false),
        ("v/2.m4s", b"nonsense", false),
    ] {
        assert_eq!(is_media_segment(path, bytes), expected, "{path}");
    }
}

#[test]
fn the_path_says_what_container_to_expect() {
    for path in ["1.m4s", "a/b.mp4", "x.CMFV", "x.cmfa", "x.cmft", "x.cmfm", "x.m4v", "x.m4a", "Streams(v.cmfv)"] {
        assert_eq!(Container::of_path(path), Container::Mp4, "{path}");
    }
    for path in ["1.ts", "1.aac", "1.vtt", "a.b/1.jpg"] {
        assert_eq!(Container::of_path(path), Container::Other, "{path}");
    }
    assert_eq!(Container::of_path("v.1080/42"), Container::Unsaid);
    assert!(Container::Unsaid.is_mp4(&boxed(b"styp", &[])));
    assert!(!Container::Unsaid.is_mp4(b"\x47\x40\x11\x10\x00\x42\xf0\x25"));
}
