//! The ISO BMFF box walker (ISO/IEC 14496-12 §4.2) over untrusted bytes. It tells two kinds of broken apart:
//! *malformed*, which no further byte could repair, and *incomplete*, where the bytes just end early.
//!
//! Never recurses: the parsers above descend along fixed paths, so hostile nesting costs nothing. Never looks into
//! a box that nobody asked for.

use std::borrow::Cow;
use std::fmt;

use crate::source::Source;

/// Most top-level boxes of one body: a 60 s segment of one-frame chunks at 120 frames a second has 7,200 chunks of
/// up to four boxes (`prft`, `emsg`, `moof`, `mdat`) each.
pub const TOP_BOXES_MAX: usize = 32_768;
/// Longest box that is read as a whole (`moov`, `moof`, `styp`): an hour of 120 frames a second, 16 bytes a sample.
pub const READ_BOX_MAX: u64 = 8 << 20;
/// What is read of a header: type and 64-bit size.
const HEADER_READ: u64 = 16;

/// A four-character code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// Whether all four bytes are printable ASCII (or the © of QuickTime), as those of every registered type are.
    #[must_use]
    pub fn is_printable(self) -> bool {
        let [first, rest @ ..] = self.0;
        let printable = |byte: u8| (0x20..=0x7e).contains(&byte);
        (printable(first) || first == 0xa9) && rest.into_iter().all(printable)
    }

    /// Whether this is a type that stands at the top level of segments and files.
    #[must_use]
    pub fn is_top_level(self) -> bool {
        const KNOWN: [&[u8; 4]; 17] = [
            b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"ssix", b"emsg", b"prft", b"free", b"skip", b"uuid",
            b"mfra", b"meta", b"pdin", b"wide", b"imda",
        ];
        KNOWN.contains(&&self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Why bytes could not be read as boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// No further byte could repair it.
    #[error("malformed at byte {at}: {problem}")]
    Malformed {
        /// Offset in the body.
        at: u64,
        /// What is wrong, for a person.
        problem: &'static str,
    },
    /// The bytes end before the boxes do.
    #[error("incomplete: the bytes end before the box at byte {at} does")]
    Incomplete {
        /// Offset in the body of the box that is cut, or of the one that is missing.
        at: u64,
    },
}

impl Broken {
    pub(crate) const fn malformed(at: u64, problem: &'static str) -> Self {
        Self::Malformed { at, problem }
    }

    /// The same with its offset counted from `base` bytes earlier.
    #[must_use]
    pub(crate) const fn moved(self, base: u64) -> Self {
        match self {
            Self::Malformed { at, problem } => Self::Malformed { at: at.saturating_add(base), problem },
            Self::Incomplete { at } => Self::Incomplete { at: at.saturating_add(base) },
        }
    }
}

/// Where a top-level box lies in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its type.
    pub kind: FourCc,
    /// Offset of the first byte of the header.
    pub start: u64,
    /// Offset of the first byte after the header.
    pub payload: u64,
    /// Offset after the last byte.
    pub end: u64,
}

impl Header {
    /// Whether the type is `kind`.
    #[must_use]
    pub fn is(&self, kind: &[u8; 4]) -> bool {
        self.kind.0 == *kind
    }

    /// The payload, if the box is one that is read as a whole.
    ///
    /// # Errors
    /// [`Broken::Malformed`] over [`READ_BOX_MAX`].
    pub fn read<'s, S: Source + ?Sized>(&self, source: &'s S) -> Result<Cow<'s, [u8]>, Broken> {
        if self.end - self.start > READ_BOX_MAX {
            return Err(Broken::malformed(self.start, "the box is larger than any of its type has to be"));
        }
        source.slice(self.payload..self.end).ok_or(Broken::Incomplete { at: self.start })
    }
}

/// The declared extent of a box.
enum Extent {
    Size(u64),
    ToTheEnd,
}

/// Reads type, header length and extent from the first bytes of a box; `None` if they do not suffice. The UUID of a
/// `uuid` box counts as header and is not looked at.
fn header(prefix: &[u8]) -> Option<(FourCc, u64, Extent)> {
    let mut fields = Reader::new(prefix);
    let (size, kind) = (fields.u32()?, fields.array()?);
    let (len, extent) = match size {
        0 => (8, Extent::ToTheEnd),
        1 => (16, Extent::Size(fields.u64()?)),
        small => (8, Extent::Size(u64::from(small))),
    };
    let uuid = if kind == *b"uuid" { 16 } else { 0 };
    Some((FourCc(kind), len + uuid, extent))
}

/// The top-level boxes of a body, in order. Ends after the first error.
#[derive(Debug)]
pub struct TopLevel<'s, S: ?Sized> {
    source: &'s S,
    at: u64,
    left: usize,
}

impl<'s, S: Source + ?Sized> TopLevel<'s, S> {
    /// Walks `source` from its first byte.
    #[must_use]
    pub fn new(source: &'s S) -> Self {
        Self::from(source, 0)
    }

    /// Walks `source` from offset `at`, where a box must begin.
    #[must_use]
    pub fn from(source: &'s S, at: u64) -> Self {
        Self { source, at, left: TOP_BOXES_MAX }
    }

    fn step(&mut self) -> Result<Header, Broken> {
        let start = self.at;
        let total = self.source.len();
        let Some(left) = self.left.checked_sub(1) else {
            return Err(Broken::malformed(start, "more boxes than a segment can need"));
        };
        self.left = left;
        let prefix = self.source.slice(start..total.min(start.saturating_add(HEADER_READ))).unwrap_or_default();
        let kind = prefix.get(4..8).and_then(|kind| kind.try_into().ok()).map(FourCc);
        if kind.is_some_and(|kind| !kind.is_printable()) {
            return Err(Broken::malformed(start, "the box type is not printable"));
        }
        let Some((kind, len, extent)) = header(&prefix) else { return Err(Broken::Incomplete { at: start }) };
        let size = match extent {
            Extent::ToTheEnd => total - start,
            Extent::Size(size) => size,
        };
        if size < len {
            return Err(Broken::malformed(start, "the box is smaller than its own header"));
        }
        match start.checked_add(size) {
            Some(end) if end <= total => Ok(Header { kind, start, payload: start + len, end }),
            _ => Err(Broken::Incomplete { at: start }),
        }
    }
}

impl<S: Source + ?Sized> Iterator for TopLevel<'_, S> {
    type Item = Result<Header, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.source.len() {
            return None;
        }
        let step = self.step();
        self.at = step.as_ref().map_or(u64::MAX, |header| header.end);
        Some(step)
    }
}

/// A box inside another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<'a> {
    /// Its type.
    pub kind: FourCc,
    /// Offset of its header in the payload of the parent.
    pub start: u64,
    /// Offset of its payload in the payload of the parent.
    pub payload_start: u64,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Child<'a> {
    /// Whether the type is `kind`.
    #[must_use]
    pub fn is(&self, kind: &[u8; 4]) -> bool {
        self.kind.0 == *kind
    }

    /// The boxes inside this one.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        Children { payload: self.payload, at: 0 }
    }

    /// Version, flags and the rest of a full box (ISO/IEC 14496-12 §4.2.2).
    pub(crate) fn full(&self) -> Result<(u8, u32, Reader<'a>), Broken> {
        let mut reader = Reader::new(self.payload);
        let word = reader.u32().ok_or_else(|| self.too_short())?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff, reader))
    }

    pub(crate) const fn too_short(&self) -> Broken {
        Broken::malformed(self.start, "the box is too short for its fields")
    }

    /// Moves an error inside this box to offsets in the payload of the parent.
    pub(crate) const fn inside(&self, broken: Broken) -> Broken {
        broken.moved(self.payload_start)
    }
}

/// The boxes in the payload of another one, in order. Ends after the first error, which is always
/// [`Broken::Malformed`]: the parent is there, so a child that reaches past it cannot become right.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Children<'a> {
    /// Walks the payload of a container box.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }

    /// The first child of type `kind`.
    ///
    /// # Errors
    /// If the walk breaks before there is one.
    pub fn find(mut self, kind: &[u8; 4]) -> Result<Option<Child<'a>>, Broken> {
        self.find_map(|child| match child {
            Ok(child) if !child.is(kind) => None,
            other => Some(other),
        })
        .transpose()
    }

    fn step(&self) -> Result<(Child<'a>, usize), Broken> {
        let start = self.at as u64;
        let rest = &self.payload[self.at..];
        let Some((kind, len, extent)) = header(rest) else {
            return Err(Broken::malformed(start, "a box header reaches past the end of its parent"));
        };
        let Extent::Size(size) = extent else {
            return Err(Broken::malformed(start, "size 0 (to the end) inside another box"));
        };
        if size < len {
            return Err(Broken::malformed(start, "the box is smaller than its own header"));
        }
        let payload = usize::try_from(size).ok().and_then(|size| rest.get(len as usize..size));
        let Some(payload) = payload else {
            return Err(Broken::malformed(start, "the box reaches past the end of its parent"));
        };
        Ok((Child { kind, start, payload_start: start + len, payload }, size as usize))
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<Child<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        match self.step() {
            Ok((child, size)) => {
                self.at += size;
                Some(Ok(child))
            }
            Err(broken) => {
                self.at = self.payload.len();
                Some(Err(broken))
            }
        }
    }
}

/// Big-endian fields, one after another; `None` past the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Without the first `skip` bytes.
    pub(crate) fn at(bytes: &'a [u8], skip: usize) -> Option<Self> {
        bytes.get(skip..).map(Self)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
#[path = "boxes/tests.rs"]
mod tests;
