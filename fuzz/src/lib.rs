//! What the fuzz targets in `tests/` share: how long each runs, real bytes to begin with, and ways to spoil them.
//!
//! `cargo test -p headwater-fuzz` runs each target for a few seconds from a random seed, which a failure prints;
//! `cargo bolero test` runs the same targets under a coverage-guided engine for as long as one likes.

use std::time::Duration;

use headwater_media::content::fault;
use headwater_media::{Clip, Letter};

/// How long a target runs under `cargo test`: some hundred thousand inputs, short enough for every run.
pub const TIME: Duration = Duration::from_secs(3);

/// One change to a seed: what to do, where, with what. Plain numbers, so that an engine can make and shrink them.
pub type Edit = (u8, u16, u32);

/// Most changes that are applied: after a few more no parser gets past the first box.
const EDITS_MAX: usize = 4;
/// Values that parsers of sizes and counts get wrong.
const SUSPECT: [u32; 10] = [0, 1, 7, 8, 15, 16, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, u32::MAX];

/// Media segments: picture and sound, whole and in chunks.
#[must_use]
pub fn segments() -> Vec<Vec<u8>> {
    let clip = Clip::builtin();
    let whole = clip.renditions().iter().map(|rendition| rendition.segment(Letter::A, 5, 0));
    whole.flat_map(|segment| [fault::chunked(&segment, 12), segment]).collect()
}

/// Init segments: picture and sound.
#[must_use]
pub fn inits() -> Vec<Vec<u8>> {
    Clip::builtin().renditions().iter().map(|rendition| rendition.init().to_vec()).collect()
}

/// A seed with `edits` applied, within its first 2,000 bytes, where the boxes are.
#[must_use]
pub fn spoil(seeds: &[Vec<u8>], which: u8, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seeds[usize::from(which) % seeds.len()].clone();
    for (what, at, value) in edits.iter().take(EDITS_MAX) {
        let at = usize::from(*at) % bytes.len().clamp(1, 2000);
        match what % 6 {
            0 => overwrite(&mut bytes, at, &[*value as u8]),
            1 => overwrite(&mut bytes, at, &value.to_be_bytes()),
            // Boxes and most of their fields lie on multiples of four.
            2 => overwrite(&mut bytes, at & !3, &SUSPECT[*value as usize % SUSPECT.len()].to_be_bytes()),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..(at + *value as usize % 64).min(bytes.len()))),
            _ => {
                let piece = bytes.get(at..(at + *value as usize % 64)).unwrap_or_default().to_vec();
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), piece);
            }
        }
    }
    bytes
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + with.len()) {
        place.copy_from_slice(with);
    }
}
