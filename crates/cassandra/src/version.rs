//! The token of an upload: when it was staged, whether it stays, how large its chunks are, and 80 bits of chance. Chunks
//! carry it, the record that commits them names it, and it is never drawn twice; so a part may be sent again at any time,
//! and a reader that follows one token never mixes two uploads.

use headwater_model::Timestamp;
use headwater_model::row::Version;

use crate::options::ChunkSize;

const CHANCE_BITS: u32 = 80;
const SIZE_BITS: u32 = 3;
/// Above the size; never set in schemas before version 3.
const STAYS_BITS: u32 = 1;
const TIME_SHIFT: u32 = CHANCE_BITS + SIZE_BITS + STAYS_BITS;

/// A new token for an upload that is staged at `wall` and `stays` until it is replaced or expires by itself. The time is
/// for people and for `store check`; nothing is decided by it.
pub(crate) fn draw(wall: Timestamp, chunk_size: ChunkSize, stays: bool, chance: u128) -> Version {
    let millis = (wall.nanos() / 1_000_000).clamp(0, (1 << 44) - 1) as u128;
    let kind = u128::from(stays) << SIZE_BITS | chunk_size as u128;
    Version(millis << TIME_SHIFT | kind << CHANCE_BITS | chance >> (128 - CHANCE_BITS))
}

/// When the upload with this token was staged, by the clock of its process.
pub(crate) fn staged(version: Version) -> Timestamp {
    Timestamp::from_millis((version.0 >> TIME_SHIFT) as i64)
}

/// Whether its chunks lie where nothing expires.
pub(crate) fn stays(version: Version) -> bool {
    version.0 >> (CHANCE_BITS + SIZE_BITS) & 1 == 1
}

/// Bytes of each chunk but the last; `None` if no such token was ever drawn.
pub(crate) fn chunk_bytes(version: Version) -> Option<u64> {
    let index = (version.0 >> CHANCE_BITS) & ((1 << SIZE_BITS) - 1);
    ChunkSize::ALL.get(usize::try_from(index).ok()?).map(|size| size.bytes())
}

/// 128 bits from the system's source of chance.
pub(crate) fn chance() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // No known system fails here once it has booted. What is left is different in each process and each call.
        let seed = |_| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        let halves: [u64; 2] = std::array::from_fn(seed);
        return u128::from(halves[0]) << 64 | u128::from(halves[1]);
    }
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_what_its_chunks_are_and_is_never_drawn_twice() {
        let mut drawn = std::collections::HashSet::new();
        for size in ChunkSize::ALL {
            for index in 0..100 {
                let version = draw(Timestamp::from_seconds(1_800_000_000), size, index % 2 == 1, chance());
                assert_eq!((chunk_bytes(version), stays(version)), (Some(size.bytes()), index % 2 == 1));
                assert_eq!(staged(version), Timestamp::from_seconds(1_800_000_000));
                assert!(drawn.insert(version));
            }
        }
        assert_eq!(chunk_bytes(Version(u128::MAX)), None);
    }

    #[test]
    fn later_tokens_are_larger() {
        let at = |second| draw(Timestamp::from_seconds(second), ChunkSize::Kib64, false, chance());
        assert!(at(1) < at(2) && at(2) < at(3));
    }
}
