//! Where CMAF chunks end in a segment that is still arriving, so that its bytes are passed on at borders that a
//! player can use (contract §5, low latency). Looks at box headers only.

use crate::boxes::{Broken, TopLevel};
use crate::source::Source;

/// The end of the last chunk that is there in full, looking from `from` (0, or an earlier answer); `None` if not
/// one more chunk is. A chunk is everything up to the end of an `mdat`.
///
/// # Errors
/// [`Broken::Malformed`] if no further byte can make boxes of this.
pub fn last_chunk_end<S: Source + ?Sized>(source: &S, from: u64) -> Result<Option<u64>, Broken> {
    let mut end = None;
    for header in TopLevel::from(source, from) {
        match header {
            // Without a size it goes on to the end of the segment, which nobody knows yet.
            Ok(header) if source.slice(header.start..header.start + 4).is_some_and(|size| *size == [0; 4]) => break,
            Ok(header) if header.is(b"mdat") => end = Some(header.end),
            Ok(_) | Err(Broken::Incomplete { .. }) => {}
            Err(malformed) => return Err(malformed),
        }
    }
    Ok(end)
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Clip, Letter, fault};

    #[test]
    fn a_growing_segment_shows_its_chunks_one_by_one() {
        let clip = Clip::builtin();
        let video = clip.rendition("v180").expect("in the clip");
        let segment = fault::chunked(&video.segment(Letter::A, 7, 0), 12);
        let mut ends = Vec::new();
        for len in 0..=segment.len() {
            let from = ends.last().copied().unwrap_or(0);
            if let Some(end) = last_chunk_end(&segment[..len], from).expect("sound boxes") {
                assert_eq!(end, len as u64, "a chunk is seen as soon as its last byte is there");
                ends.push(end);
            }
        }
        assert_eq!(ends.len(), 4);
        assert_eq!(ends.last(), Some(&(segment.len() as u64)));
    }

    #[test]
    fn a_box_that_goes_on_to_the_end_is_no_chunk() {
        assert_eq!(last_chunk_end(b"\0\0\0\x08mdat\0\0\0\0mdatmedia", 0), Ok(Some(8)));
    }

    #[test]
    fn text_is_no_chunk() {
        assert!(last_chunk_end(b"WEBVTT\n\n00:00.000 --> 00:01.000", 0).is_err());
    }
}
