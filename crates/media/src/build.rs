//! Boxes by hand, for tests.

/// A box of `kind` around `parts`.
pub(crate) fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let size = payload.len() as u32 + 8;
    [&size.to_be_bytes()[..], kind, &payload].concat()
}

/// A full box of big-endian words.
pub(crate) fn full(kind: &[u8; 4], version: u8, flags: u32, words: &[u32]) -> Vec<u8> {
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    boxed(kind, &[&(u32::from(version) << 24 | flags).to_be_bytes(), &words])
}

/// A `moof` of one track with the given `tfhd`, `tfdt` and `trun` boxes, or whatever else.
pub(crate) fn moof(sequence: u32, in_traf: &[&[u8]]) -> Vec<u8> {
    boxed(b"moof", &[&full(b"mfhd", 0, 0, &[sequence]), &boxed(b"traf", in_traf)])
}

/// A whole segment of one fragment.
pub(crate) fn segment(in_traf: &[&[u8]]) -> Vec<u8> {
    let styp = boxed(b"styp", &[b"msdh", &[0; 4], b"msdh"]);
    [styp, moof(1, in_traf), boxed(b"mdat", &[&[0; 16]])].concat()
}
