//! Bytes at an offset, from a body that may have come in several pieces. Exists so that a segment is inspected where
//! it lies: box headers and small boxes are copied at most when they straddle two pieces, `mdat` payload never is.

use std::borrow::Cow;
use std::ops::Range;

/// A body of known length.
pub trait Source {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// The bytes of `range`, borrowed where they lie in one piece; `None` if the body does not have all of them.
    fn slice(&self, range: Range<u64>) -> Option<Cow<'_, [u8]>>;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: AsRef<[u8]> + ?Sized> Source for T {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn slice(&self, range: Range<u64>) -> Option<Cow<'_, [u8]>> {
        let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        self.as_ref().get(start..end).map(Cow::Borrowed)
    }
}

/// A body in several pieces, as it came off the wire.
#[derive(Debug)]
pub struct Pieces<'a, T> {
    pieces: &'a [T],
    /// Where each piece ends in the body, so that a read costs a binary search and not a scan.
    ends: Vec<u64>,
}

impl<'a, T: AsRef<[u8]>> Pieces<'a, T> {
    /// The body that `pieces` make in their order.
    #[must_use]
    pub fn new(pieces: &'a [T]) -> Self {
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.as_ref().len() as u64;
            Some(*end)
        });
        Self { pieces, ends: ends.collect() }
    }
}

impl<T: AsRef<[u8]>> Source for Pieces<'_, T> {
    fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    fn slice(&self, range: Range<u64>) -> Option<Cow<'_, [u8]>> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let mut index = self.ends.partition_point(|end| *end <= range.start);
        let Some(first) = self.pieces.get(index) else { return Some(Cow::Borrowed(&[])) };
        let from = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        let start = usize::try_from(range.start - from).ok()?;
        let wanted = usize::try_from(range.end - range.start).ok()?;
        let head = &first.as_ref()[start..];
        if let Some(whole) = head.get(..wanted) {
            return Some(Cow::Borrowed(whole));
        }
        let mut copy = Vec::with_capacity(wanted);
        copy.extend_from_slice(head);
        while copy.len() < wanted {
            index += 1;
            let piece = self.pieces.get(index)?.as_ref();
            copy.extend_from_slice(&piece[..piece.len().min(wanted - copy.len())]);
        }
        Some(Cow::Owned(copy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_lies_in_one_piece_is_borrowed() {
        let pieces = [b"head".to_vec(), b"tail".to_vec()];
        let body = Pieces::new(&pieces);
        assert!(matches!(body.slice(4..8), Some(Cow::Borrowed(b"tail"))));
        assert!(matches!(body.slice(3..5), Some(Cow::Owned(copy)) if copy == b"dt"));
        assert_eq!(body.slice(5..9), None);
    }

    proptest! {
        #[test]
        fn pieces_read_like_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..6),
            start in 0u64..40, len in 0u64..40,
        ) {
            let whole = pieces.concat();
            let body = Pieces::new(&pieces);
            prop_assert_eq!(body.len(), Source::len(&whole));
            prop_assert_eq!(body.slice(start..start + len), Source::slice(&whole, start..start + len));
        }
    }
}
