//! What goes wrong in packagers, as pure functions on test segments: each gives exactly the one defect of contract §4
//! that it is named after. Bytes that are no test segment come back as they are.

use super::segment::{Chunk, Segment};
use crate::boxes::TopLevel;

/// How many samples [`short`] drops: two frames, so that it is not one that rounding could hide.
const DROPPED: usize = 2;

/// The last samples are missing; the boxes are sound.
#[must_use]
pub fn short(segment: &[u8]) -> Vec<u8> {
    edit(segment, |parsed| {
        if let Some(last) = parsed.chunks.last_mut() {
            let kept = last.sizes.len().saturating_sub(DROPPED).max(1);
            last.sizes.truncate(kept);
            last.payload = &last.payload[..payload_len(&last.sizes)];
        }
    })
}

/// The decode time is off by `offset` in the track's timescale.
#[must_use]
pub fn shifted(segment: &[u8], offset: i64) -> Vec<u8> {
    edit(segment, |parsed| {
        for chunk in &mut parsed.chunks {
            chunk.decode_time = chunk.decode_time.saturating_add_signed(offset);
        }
    })
}

/// The bytes end in the middle of the last `mdat`.
#[must_use]
pub fn truncated(segment: &[u8]) -> Vec<u8> {
    let last = Segment::read(segment).and_then(|parsed| parsed.chunks.last().map(|chunk| chunk.payload.len()));
    segment[..segment.len() - last.unwrap_or(0).div_ceil(2)].to_vec()
}

/// A box inside the first `moof` claims to be larger than the `moof`.
#[must_use]
pub fn garbled(segment: &[u8]) -> Vec<u8> {
    let mut bytes = segment.to_vec();
    let moof = TopLevel::new(segment).map_while(Result::ok).find(|header| header.is(b"moof"));
    let size = moof.and_then(|moof| usize::try_from(moof.payload).ok()).and_then(|at| bytes.get_mut(at..at + 4));
    if let Some(size) = size {
        size.copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    }
    bytes
}

/// A slate: the brand `slat`.
#[must_use]
pub fn filler(segment: &[u8]) -> Vec<u8> {
    edit(segment, |parsed| parsed.brands.push(*b"slat"))
}

/// The first sample is no sync sample.
#[must_use]
pub fn no_sync(segment: &[u8]) -> Vec<u8> {
    const NON_SYNC_THAT_DEPENDS: u32 = 0x0101_0000;
    edit(segment, |parsed| {
        if let Some(first) = parsed.chunks.first_mut() {
            first.first_flags = NON_SYNC_THAT_DEPENDS;
        }
    })
}

/// Sequence numbers fall within the segment, which comes in two chunks for it.
#[must_use]
pub fn disorder(segment: &[u8]) -> Vec<u8> {
    let samples = Segment::read(segment).map_or(0, |parsed| parsed.chunks.iter().map(|chunk| chunk.sizes.len()).sum());
    edit(&chunked(segment, samples.div_ceil(2)), |parsed| {
        for (back, chunk) in parsed.chunks.iter_mut().rev().enumerate() {
            chunk.sequence = back as u32 + 1;
        }
    })
}

/// No fault: the same samples in CMAF chunks of at most `samples`, as a low-latency packager sends them.
#[must_use]
pub fn chunked(segment: &[u8], samples: usize) -> Vec<u8> {
    edit(segment, |parsed| {
        let chunks = std::mem::take(&mut parsed.chunks);
        parsed.chunks = chunks.iter().flat_map(|chunk| split(chunk, samples.max(1))).collect();
    })
}

fn split<'a>(whole: &Chunk<'a>, samples: usize) -> Vec<Chunk<'a>> {
    let parts = whole.sizes.len().div_ceil(samples) as u32;
    let mut payload = whole.payload;
    let mut decode_time = whole.decode_time;
    let mut first_flags = whole.first_flags;
    let mut chunks = Vec::with_capacity(parts as usize);
    for (part, sizes) in (0..parts).zip(whole.sizes.chunks(samples)) {
        let (head, tail) = payload.split_at(payload_len(sizes));
        // Each segment has `parts` numbers of its own, so that they grow from segment to segment too.
        let sequence = whole.sequence.wrapping_sub(1).wrapping_mul(parts).wrapping_add(part + 1);
        let chunk = Chunk { sequence, decode_time, first_flags, sizes: sizes.to_vec(), payload: head, ..whole.clone() };
        decode_time = decode_time.saturating_add(chunk.total_duration());
        (payload, first_flags) = (tail, whole.flags);
        chunks.push(chunk);
    }
    chunks
}

fn payload_len(sizes: &[u32]) -> usize {
    sizes.iter().map(|size| *size as usize).sum()
}

fn edit(segment: &[u8], change: impl FnOnce(&mut Segment<'_>)) -> Vec<u8> {
    let Some(mut parsed) = Segment::read(segment) else { return segment.to_vec() };
    change(&mut parsed);
    parsed.write()
}
