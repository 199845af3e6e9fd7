//! Media segments from strangers: the box walker, the inspection, content types.

use headwater_fuzz::{Edit, TIME, segments, spoil};
use headwater_media::boxes::TopLevel;
use headwater_media::chunk::last_chunk_end;
use headwater_media::fragment::{Defaults, Fragment, TrackFragment};
use headwater_media::{Container, Expectation, Pieces, TrackFacts, content_type, inspect, is_media_segment};
use headwater_model::SegmentDuration;
use mp4_atom::{Decode, Encode, Moof, Traf};

fn look_at(bytes: &[u8]) {
    let track = TrackFacts { timescale: Some(12_800), ..TrackFacts::default() };
    let segment = SegmentDuration::new(48, 25).expect("in range");
    let expectation = Expectation { container: Container::Mp4, segment, index: 5, track };
    let whole = inspect(bytes, &expectation);
    let pieces: Vec<_> = bytes.chunks(37).collect();
    assert_eq!(inspect(&Pieces::new(&pieces), &expectation), whole);
    for path in ["a/1.m4s", "a/1.mp4", "a/1"] {
        let _ = content_type(path, bytes);
        let _ = is_media_segment(path, bytes);
    }
    if let Ok(Some(end)) = last_chunk_end(bytes, 0) {
        assert!(end <= bytes.len() as u64);
    }
}

#[test]
fn any_bytes() {
    bolero::check!().with_test_time(TIME).for_each(look_at);
}

#[test]
fn spoilt_segments() {
    let seeds = segments();
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .with_test_time(TIME)
        .for_each(|(which, edits)| look_at(&spoil(&seeds, *which, edits)));
}

/// What another parser takes for a `moof`, ours reads too, and finds the same in it. The other one's own spelling is
/// what is read, because it accepts some that no specification allows.
#[test]
fn fragments_that_another_parser_reads() {
    let seeds = segments();
    bolero::check!().with_type::<(u8, Vec<Edit>)>().with_test_time(TIME).for_each(|(which, edits)| {
        let bytes = spoil(&seeds, *which, edits);
        for header in TopLevel::new(&bytes).map_while(Result::ok).filter(|header| header.is(b"moof")) {
            let raw = &bytes[header.start as usize..header.end as usize];
            let Ok(theirs) = Moof::decode(&mut &raw[..]) else { continue };
            let mut spelt = Vec::new();
            if theirs.encode(&mut spelt).is_ok() {
                let ours = Fragment::read(&spelt[8..], Defaults::default()).expect("another parser wrote it");
                assert_eq!(ours.sequence, theirs.mfhd.sequence_number);
                assert_eq!(ours.tracks.len(), theirs.traf.len());
                ours.tracks.iter().zip(&theirs.traf).for_each(|(ours, theirs)| compare(ours, theirs));
            }
        }
    });
}

fn compare(ours: &TrackFragment, theirs: &Traf) {
    assert_eq!(ours.track, theirs.tfhd.track_id);
    assert_eq!(ours.decode_time, theirs.tfdt.as_ref().map(|tfdt| tfdt.base_media_decode_time));
    assert_eq!(ours.is_empty, theirs.tfhd.duration_is_empty);
    let count: u64 = theirs.trun.iter().map(|run| run.samples.len() as u64).sum();
    assert_eq!(ours.samples.count, count);
    // Runs that say nothing may be four billion samples long.
    if count < 10_000 {
        let samples = theirs.trun.iter().flat_map(|run| run.samples.iter());
        let durations = samples.map(|sample| sample.duration.or(theirs.tfhd.default_sample_duration).map(u128::from));
        assert_eq!(ours.samples.total(), durations.sum::<Option<u128>>());
    }
}
