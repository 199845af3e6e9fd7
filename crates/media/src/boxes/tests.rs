use proptest::prelude::*;

use super::*;
use crate::build::boxed;
use crate::content::{Clip, Letter};

fn walk(bytes: &[u8]) -> Result<Vec<String>, Broken> {
    TopLevel::new(bytes).map(|header| header.map(|header| header.kind.to_string())).collect()
}

fn is_malformed<T: fmt::Debug>(result: Result<T, Broken>) -> bool {
    matches!(result, Err(Broken::Malformed { .. }))
}

#[test]
fn all_three_ways_to_give_a_size_are_read() {
    let small = boxed(b"free", &[b"1234"]);
    let large = [&1_u32.to_be_bytes()[..], b"skip", &20_u64.to_be_bytes(), b"1234"].concat();
    let open = [&0_u32.to_be_bytes()[..], b"mdat", b"to the end"].concat();
    let bytes = [small, large, open].concat();
    let headers: Vec<_> = TopLevel::new(&bytes).map(|header| header.expect("sound")).collect();
    let places: Vec<_> = headers.iter().map(|header| (header.start, header.payload, header.end)).collect();
    assert_eq!(places, [(0, 8, 12), (12, 28, 32), (32, 40, 50)]);
}

#[test]
fn a_uuid_belongs_to_the_header() {
    let bytes = boxed(b"uuid", &[&[7; 16], b"rest"]);
    let header = TopLevel::new(&bytes).next().expect("one").expect("sound");
    assert_eq!(header.payload, 24);
    assert!(is_malformed(walk(&boxed(b"uuid", &[&[7; 15]]))), "too small for its UUID");
}

#[test]
fn bytes_that_end_early_are_incomplete() {
    let whole = [boxed(b"styp", &[b"msdh\0\0\0\0"]), boxed(b"mdat", &[&[1; 100]])].concat();
    for len in 1..whole.len() {
        let cut = walk(&whole[..len]);
        assert_eq!(cut.is_err(), len != 16, "{len}");
        assert!(!is_malformed(cut), "{len}");
    }
}

#[test]
fn impossible_bytes_are_malformed() {
    for bytes in [
        &b"\0\0\0\x07free"[..],
        b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x0f",
        b"WEBVTT\n\n00:00:00.000 --> 00:00:01.000",
        b"\x47\x40\x00\x10\x00\x00\xb0\x0d\x00\x01\xc1\x00\x00",
        b"#EXTM3U\n#EXT-X-VERSION:7",
    ] {
        assert!(is_malformed(walk(bytes)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_size_near_2_to_the_64_does_not_wrap() {
    let bytes = [&boxed(b"free", &[])[..], &1_u32.to_be_bytes(), b"mdat", &u64::MAX.to_be_bytes()].concat();
    assert_eq!(walk(&bytes), Err(Broken::Incomplete { at: 8 }));
}

#[test]
fn a_flood_of_tiny_boxes_ends_the_walk() {
    let flood = boxed(b"free", &[]).repeat(TOP_BOXES_MAX + 1);
    assert!(is_malformed(walk(&flood)));
    assert!(walk(&flood[8..]).is_ok());
}

#[test]
fn a_giant_moof_is_not_read() {
    let header = Header { kind: FourCc(*b"moof"), start: 0, payload: 8, end: READ_BOX_MAX + 1 };
    assert!(is_malformed(header.read(b"")));
}

#[test]
fn a_child_stays_inside_its_parent() {
    let sound = boxed(b"free", &[b"12"]);
    assert_eq!(Children::new(&sound).count(), 1);
    for broken in
        [&sound[..9], &sound[..7], b"\0\0\0\0free", b"\0\0\0\x04free", b"\0\0\0\x01free\xff\xff\xff\xff\0\0\0\0"]
    {
        let children: Vec<_> = Children::new(broken).collect();
        assert_eq!(children.len(), 1);
        assert!(is_malformed(children[0]));
    }
}

#[test]
fn pieces_walk_like_the_whole_wherever_they_are_cut() {
    let clip = Clip::builtin();
    let whole = clip.renditions()[1].segment(Letter::A, 3, 0);
    let expected: Vec<_> = TopLevel::new(&whole).collect();
    for cut in 0..400 {
        let pieces = [&whole[..cut], &whole[cut..cut + 1], &whole[cut + 1..]];
        assert_eq!(TopLevel::new(&crate::Pieces::new(&pieces)).collect::<Vec<_>>(), expected);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_and_headers_never_leave_the_body(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for header in TopLevel::new(&bytes).flatten() {
            prop_assert!(header.start < header.payload && header.payload <= header.end);
            prop_assert!(header.end <= bytes.len() as u64);
        }
        prop_assert!(Children::new(&bytes).count() <= bytes.len() / 8 + 1);
    }
}
