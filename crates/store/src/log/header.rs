//! What a bucket file says of itself in its first block. All checks of the bucket hang on these few bytes, so that they
//! are written twice and made good from what is left of them. Pure: no I/O, no clock.

use headwater_model::Timestamp;
use twox_hash::XxHash3_128;

use super::format::{BLOCK, Class, FILE_HEADER_BYTES, FORMAT_VERSION, file_name};

const FILE_MAGIC: [u8; 8] = *b"HeadwLog";
/// What the check covers.
const CHECKED_BYTES: usize = 48;
/// Where the copy lies: on a sector of its own, in bytes that earlier builds left zero and never read.
pub(crate) const COPY_OFFSET: usize = BLOCK as usize / 2;

/// What one bucket file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) id: u64,
    pub(crate) class: Class,
    pub(crate) created: Timestamp,
}

/// A header that was found, and in what state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Legible {
    /// As it was written.
    Whole(FileHeader),
    /// Made good from the copy, or from what is left of the bytes.
    Mended(FileHeader),
}

/// Why a file's first block is no header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// Nothing was ever written, or a crash came before the first sync.
    Blank,
    /// Something else is there.
    Damaged,
    /// A later build wrote it.
    Later(u32),
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12] = self.class.0;
        bytes[16..24].copy_from_slice(&self.id.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.created.nanos().to_le_bytes());
        let check = XxHash3_128::oneshot(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The first block of a file: the header, and its copy.
    pub(crate) fn encode_block(&self) -> [u8; BLOCK as usize] {
        let (mut block, header) = ([0; BLOCK as usize], self.encode());
        block[..FILE_HEADER_BYTES].copy_from_slice(&header);
        block[COPY_OFFSET..COPY_OFFSET + FILE_HEADER_BYTES].copy_from_slice(&header);
        block
    }

    /// Reads the first block of bucket `id`.
    pub(crate) fn decode_block(block: &[u8; BLOCK as usize], id: u64) -> Result<Legible, NoHeader> {
        let at = |offset: usize| block[offset..].first_chunk().ok_or(NoHeader::Damaged);
        let (first, copy) = (at(0)?, at(COPY_OFFSET)?);
        // A header of another bucket is somebody's file under a wrong name: nothing in it would hold.
        let own = |header: &Self| header.id == id;
        match Self::decode(first) {
            Ok(header) if own(&header) => Ok(Legible::Whole(header)),
            Ok(_) => Err(NoHeader::Damaged),
            Err(trouble) => {
                let mended = Self::decode(copy).ok().filter(own).or_else(|| Self::mend(first, id));
                mended.map(Legible::Mended).ok_or(trouble)
            }
        }
    }

    fn decode(bytes: &[u8; FILE_HEADER_BYTES]) -> Result<Self, NoHeader> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(NoHeader::Blank);
        }
        if bytes[..8] != FILE_MAGIC {
            return Err(NoHeader::Damaged);
        }
        // Magic and version keep their place in every version; nothing else is promised.
        let version = u32::from_le_bytes(field(bytes, 8));
        if version > FORMAT_VERSION {
            return Err(NoHeader::Later(version));
        }
        if u128::from_le_bytes(field(bytes, CHECKED_BYTES)) != XxHash3_128::oneshot(&bytes[..CHECKED_BYTES]) {
            return Err(NoHeader::Damaged);
        }
        Ok(Self::fields(bytes))
    }

    fn fields(bytes: &[u8; FILE_HEADER_BYTES]) -> Self {
        let created = Timestamp::from_nanos(i128::from_le_bytes(field(bytes, 24)));
        Self { id: u64::from_le_bytes(field(bytes, 16)), class: Class(bytes[12]), created }
    }

    /// The header that became `bytes` by damage to what is known anyway, to one byte of the rest, or to a half of the
    /// check: files of earlier builds have no copy. A version that was damaged is told from a later one by this too.
    fn mend(bytes: &[u8; FILE_HEADER_BYTES], id: u64) -> Option<Self> {
        let check = u128::from_le_bytes(field(bytes, CHECKED_BYTES));
        let mut tried = Self { id, ..Self::fields(bytes) }.encode();
        let holds = |tried: &[u8; FILE_HEADER_BYTES]| {
            let differs = check ^ XxHash3_128::oneshot(&tried[..CHECKED_BYTES]);
            differs as u64 == 0 || (differs >> 64) as u64 == 0
        };
        if holds(&tried) {
            return Some(Self::fields(&tried));
        }
        for at in std::iter::once(12).chain(24..40) {
            let was = tried[at];
            for byte in 0..=u8::MAX {
                tried[at] = byte;
                if holds(&tried) {
                    return Some(Self::fields(&tried));
                }
            }
            tried[at] = was;
        }
        None
    }

    /// Sets this bucket's checks apart from those of every other.
    pub(crate) fn seed(&self) -> u64 {
        XxHash3_128::oneshot(&self.encode()[..CHECKED_BYTES]) as u64
    }

    pub(crate) fn file_name(&self) -> String {
        file_name(self.id)
    }
}

fn field<const N: usize>(bytes: &[u8; FILE_HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FileHeader {
        FileHeader { id: 0x1234, class: Class(13), created: Timestamp::from_seconds(1_790_000_000) }
    }

    fn without_copy() -> [u8; BLOCK as usize] {
        let mut block = header().encode_block();
        block[COPY_OFFSET..].fill(0);
        block
    }

    #[test]
    fn any_one_byte_may_be_damaged_with_a_copy_and_without() {
        for block in [header().encode_block(), without_copy()] {
            assert_eq!(FileHeader::decode_block(&block, 0x1234), Ok(Legible::Whole(header())));
            for at in 0..FILE_HEADER_BYTES {
                for flip in [1, 0x80, 0xFF] {
                    let mut block = block;
                    block[at] ^= flip;
                    assert_eq!(FileHeader::decode_block(&block, 0x1234), Ok(Legible::Mended(header())), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn a_sector_of_zeros_is_made_good_from_the_copy() {
        let mut block = header().encode_block();
        block[..512].fill(0);
        assert_eq!(FileHeader::decode_block(&block, 0x1234), Ok(Legible::Mended(header())));
        assert_eq!(FileHeader::decode_block(&[0; BLOCK as usize], 0x1234), Err(NoHeader::Blank));
    }

    #[test]
    fn what_is_none_is_not_made_into_one() {
        let damaged = Err(NoHeader::Damaged);
        assert_eq!(FileHeader::decode_block(&header().encode_block(), 7), damaged, "a file under another name");
        let mut block = without_copy();
        block[12..56].fill(7);
        assert_eq!(FileHeader::decode_block(&block, 0x1234), damaged);
    }

    #[test]
    fn a_later_version_is_told_from_a_damaged_one() {
        let mut block = without_copy();
        block[8] = 2;
        let check = XxHash3_128::oneshot(&block[..CHECKED_BYTES]);
        block[CHECKED_BYTES..FILE_HEADER_BYTES].copy_from_slice(&check.to_le_bytes());
        assert_eq!(FileHeader::decode_block(&block, 0x1234), Err(NoHeader::Later(2)));
    }
}
