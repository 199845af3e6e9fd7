//! Init segments from strangers.

use headwater_fuzz::{Edit, TIME, inits, spoil};
use headwater_media::{Init, content_type};
use mp4_atom::{Decode, Encode, Moov};

fn look_at(bytes: &[u8]) {
    let _ = content_type("a/init.mp4", bytes);
    if let Ok(init) = Init::read(bytes) {
        assert!(!init.tracks().is_empty());
        for track in init.tracks() {
            assert!(track.timescale > 0 && track.id > 0);
            let codec = track.codec.as_deref().unwrap_or_default();
            assert!(codec.chars().all(|c| c.is_ascii_alphanumeric() || "-_. ".contains(c)), "{codec:?}");
        }
    }
}

#[test]
fn any_bytes() {
    bolero::check!().with_test_time(TIME).for_each(look_at);
}

#[test]
fn spoilt_headers() {
    let seeds = inits();
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .with_test_time(TIME)
        .for_each(|(which, edits)| look_at(&spoil(&seeds, *which, edits)));
}

/// What another parser takes for a `moov` with usable tracks, ours reads too, and finds the same in it.
#[test]
fn headers_that_another_parser_reads() {
    // Each file begins with an `ftyp` of 28 bytes.
    let seeds: Vec<_> = inits().iter().map(|init| init[28..].to_vec()).collect();
    bolero::check!().with_type::<(u8, Vec<Edit>)>().with_test_time(TIME).for_each(|(which, edits)| {
        let bytes = spoil(&seeds, *which, edits);
        let Ok(theirs) = Moov::decode(&mut &bytes[..]) else { return };
        let mut spelt = Vec::new();
        if theirs.encode(&mut spelt).is_err() {
            return;
        }
        let usable = theirs.trak.iter().map(|trak| (trak.tkhd.track_id, trak.mdia.mdhd.timescale));
        let usable: Vec<_> = usable.filter(|(id, timescale)| *id > 0 && *timescale > 0).collect();
        let read = Init::read(&spelt);
        let ours = read.iter().flat_map(|init| init.tracks()).map(|track| (track.id, track.timescale));
        assert_eq!(ours.collect::<Vec<_>>(), usable, "{read:?}");
    });
}
