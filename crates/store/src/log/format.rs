//! The bytes of a bucket file: a header block, records, and a footer once it is sealed. Pure: no I/O, no clock.
//!
//! ```text
//! block 0      FileHeader (64 bytes) and a copy of it in the middle
//! records      head (80 bytes) · meta · [zeros to 4 KiB if the payload has a page or more] · payload · zeros to 64
//! footer       one item per record: offset, head fields, meta
//! trailer      where the footer is and its digest (64 bytes), the last of the file
//! ```
//! Each commit begins on a block of its own, so that a torn write never harms what was synced before it. A record's
//! check covers its place and its bucket: bytes that look like a record inside somebody's upload are none.

use headwater_model::Timestamp;
use headwater_model::event::Entry;
use headwater_model::row::{Digest, EventId, Keep, Key, Row};
use twox_hash::XxHash3_128;

use super::broken::{Fault, broken};
pub(crate) use super::header::{FileHeader, NoHeader};
use crate::codec::{self, DecodeError, array};

/// Raised when a build can no longer read what an older one wrote, or the other way round.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// What a disk writes at once, and what a page cache works in.
pub(crate) const BLOCK: u64 = 4096;
/// Where records may begin: a scan past damage looks at every one of these.
pub(crate) const GRAIN: u64 = 64;
pub(crate) const FILE_HEADER_BYTES: usize = 64;
pub(crate) const HEAD_BYTES: usize = 80;
pub(crate) const TRAILER_BYTES: usize = 64;
/// Longest meta that is believed: an event entry with every limit used up stays far below it.
pub(crate) const META_MAX: u32 = 16 << 20;

/// Smaller payloads are not punched out of their bucket when they no longer count.
pub(crate) const HOLE_BYTES_MIN: u64 = 2 * BLOCK;

pub(crate) const RECORD_MAGIC: [u8; 8] = *b"HwRecord";
const FOOTER_MAGIC: [u8; 8] = *b"HwFooter";
const SUMMARY_MAGIC: [u8; 8] = *b"HwSummry";

/// Which rows share a bucket: those kept for about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Class(pub(crate) u8);

impl Class {
    /// Records that are kept until they are replaced.
    pub(crate) const STANDING: Self = Self(255);

    /// The class of a row kept as `keep` says, written `now`: the power of two of seconds that covers it.
    pub(crate) fn of(keep: Keep, now: Timestamp) -> Self {
        let Keep::Until(until) = keep else { return Self::STANDING };
        let seconds = (until.nanos_since(now) / 1_000_000_000).clamp(1, 1 << 40) as u64;
        Self(seconds.next_power_of_two().trailing_zeros() as u8)
    }

    /// How long a bucket of this class takes records, in nanoseconds of the stamp clock. An eighth of the retention
    /// wastes an eighth of the space; below a minute the files would be too many, over a day too long unsealed.
    pub(crate) fn span_nanos(self) -> i128 {
        let seconds = if self == Self::STANDING { 3600 } else { ((1i128 << self.0) / 8).clamp(60, 86_400) };
        seconds * 1_000_000_000
    }
}

pub(crate) fn file_name(id: u64) -> String {
    format!("{id:016x}.hwl")
}

/// The bucket a file name stands for; `None` for any other file.
pub(crate) fn file_id(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".hwl").filter(|digits| digits.len() == 16)?;
    let id = u64::from_str_radix(digits, 16).ok()?;
    (file_name(id) == name).then_some(id)
}

/// What a record says. Only rows have a payload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// A candidate; the payload is its bytes.
    Row(Row),
    /// An object was removed: older rows of it in buckets up to `horizon` do not count.
    Removal { key: Key, horizon: u64 },
    /// An event entry; ends the event life `ended`, whose rows lie in buckets up to `horizon`.
    Entry { entry: Entry, ended: Option<EventId>, horizon: u64 },
    /// A commit failed: what was stamped from..=to and may lie in a bucket up to `horizon` does not count.
    Void { from: Timestamp, to: Timestamp, horizon: u64 },
    /// Nothing but its stamp: after a restart the stamp clock is at least there.
    Mark,
}

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Self::Row(_) => 1,
            Self::Removal { .. } => 2,
            Self::Entry { .. } => 3,
            Self::Void { .. } => 4,
            Self::Mark => 5,
        }
    }

    fn encode_meta(&self, to: &mut Vec<u8>) {
        match self {
            Self::Row(row) => codec::encode_row(row, to),
            Self::Removal { key, horizon } => {
                to.extend(horizon.to_le_bytes());
                codec::encode_key(key, to);
            }
            Self::Entry { entry, ended, horizon } => {
                to.extend(horizon.to_le_bytes());
                to.push(u8::from(ended.is_some()));
                to.extend(ended.map_or(0, |id| id.0).to_le_bytes());
                to.extend(entry.to_json());
            }
            Self::Void { from, to: until, horizon } => {
                to.extend(horizon.to_le_bytes());
                codec::encode_time(*from, to);
                codec::encode_time(*until, to);
            }
            Self::Mark => {}
        }
    }

    pub(crate) fn decode(kind: u8, mut meta: &[u8]) -> Result<Self, DecodeError> {
        let from = &mut meta;
        let record = match kind {
            1 => Self::Row(codec::decode_row(from)?),
            2 => {
                let horizon = u64::from_le_bytes(array(from)?);
                Self::Removal { key: codec::decode_key(from)?, horizon }
            }
            3 => {
                let horizon = u64::from_le_bytes(array(from)?);
                let [ends] = array::<1>(from)?;
                let id = EventId(u64::from_le_bytes(array(from)?));
                let entry = Entry::from_json(from).map_err(|_| DecodeError("no event entry"))?;
                return Ok(Self::Entry { entry, ended: (ends == 1).then_some(id), horizon });
            }
            4 => {
                let horizon = u64::from_le_bytes(array(from)?);
                Self::Void { from: codec::decode_time(from)?, to: codec::decode_time(from)?, horizon }
            }
            5 => Self::Mark,
            _ => return Err(DecodeError("unknown kind of record")),
        };
        if from.is_empty() { Ok(record) } else { Err(DecodeError("it goes on after its end")) }
    }
}

/// The fixed fields before a record's meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) meta: u32,
    pub(crate) payload: u64,
    /// This many bytes of the file were durable when the record was written: a scan need not check them again.
    pub(crate) durable: u64,
    pub(crate) stamp: Timestamp,
    pub(crate) digest: Digest,
    check: u128,
}

/// Where a record and its payload lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) payload: u64,
    pub(crate) end: u64,
}

impl Head {
    /// Appends head and meta of `record` as they stand at `offset` of the bucket with `seed`.
    pub(crate) fn encode(record: &Record, facts: &Facts, seed: u64, offset: u64, to: &mut Vec<u8>) -> Self {
        let start = to.len();
        to.extend([0; HEAD_BYTES]);
        record.encode_meta(to);
        let meta = (to.len() - start - HEAD_BYTES) as u32;
        let mut head = Self {
            kind: record.kind(),
            meta,
            payload: facts.payload,
            durable: facts.durable,
            stamp: facts.stamp,
            digest: facts.digest,
            check: 0,
        };
        to[start..start + HEAD_BYTES].copy_from_slice(&head.fields());
        head.check = check(seed, offset, &to[start..start + 64], &to[start + HEAD_BYTES..]);
        to[start + 64..start + HEAD_BYTES].copy_from_slice(&head.check.to_le_bytes());
        head
    }

    fn fields(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&RECORD_MAGIC);
        bytes[8..12].copy_from_slice(&self.meta.to_le_bytes());
        bytes[12] = self.kind;
        bytes[16..24].copy_from_slice(&self.payload.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.stamp.nanos().to_le_bytes());
        bytes[48..64].copy_from_slice(&self.digest.0.to_le_bytes());
        bytes
    }

    /// Reads the fixed fields; `None` if these bytes cannot begin a record. Not checked yet.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = bytes.get(..HEAD_BYTES)?;
        if array(&mut from).ok()? != RECORD_MAGIC {
            return None;
        }
        let meta = u32::from_le_bytes(array(&mut from).ok()?);
        let [kind, ..] = array::<4>(&mut from).ok()?;
        let payload = u64::from_le_bytes(array(&mut from).ok()?);
        let durable = u64::from_le_bytes(array(&mut from).ok()?);
        let stamp = codec::decode_time(&mut from).ok()?;
        let digest = Digest(u128::from_le_bytes(array(&mut from).ok()?));
        let check = u128::from_le_bytes(array(&mut from).ok()?);
        (meta <= META_MAX).then_some(Self { kind, meta, payload, durable, stamp, digest, check })
    }

    /// Whether head and `meta` were written by this log, for this place.
    pub(crate) fn holds(&self, seed: u64, offset: u64, meta: &[u8]) -> bool {
        broken(Fault::UncheckedRecords) || self.check == check(seed, offset, &self.fields()[..64], meta)
    }

    pub(crate) fn extent(&self, offset: u64) -> Extent {
        let after = offset + HEAD_BYTES as u64 + u64::from(self.meta);
        let payload = if self.payload >= BLOCK { after.next_multiple_of(BLOCK) } else { after };
        let end = payload.saturating_add(self.payload);
        Extent { offset, payload, end: end.checked_next_multiple_of(GRAIN).unwrap_or(u64::MAX) }
    }
}

/// What a head says besides its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) payload: u64,
    pub(crate) durable: u64,
    pub(crate) stamp: Timestamp,
    pub(crate) digest: Digest,
}

fn check(seed: u64, offset: u64, fields: &[u8], meta: &[u8]) -> u128 {
    let mut hasher = XxHash3_128::with_seed(seed);
    hasher.write(&offset.to_le_bytes());
    hasher.write(fields);
    hasher.write(meta);
    hasher.finish_128()
}

/// The last bytes of a sealed bucket; and, with a magic of its own, the last of a summary, right before the footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) footer: u64,
    pub(crate) length: u64,
    pub(crate) sealed: Timestamp,
    digest: u128,
}

impl Trailer {
    /// The trailer of `footer`, which lies at `offset`.
    pub(crate) fn of(footer: &[u8], offset: u64, sealed: Timestamp, seed: u64) -> Self {
        let digest = XxHash3_128::oneshot_with_seed(seed, footer);
        Self { footer: offset, length: footer.len() as u64, sealed, digest }
    }

    pub(crate) fn encode(&self) -> [u8; TRAILER_BYTES] {
        self.encode_as(FOOTER_MAGIC)
    }

    pub(crate) fn encode_of_summary(&self) -> [u8; TRAILER_BYTES] {
        self.encode_as(SUMMARY_MAGIC)
    }

    fn encode_as(&self, magic: [u8; 8]) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&magic);
        bytes[8..16].copy_from_slice(&self.footer.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.length.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.sealed.nanos().to_le_bytes());
        bytes[40..56].copy_from_slice(&self.digest.to_le_bytes());
        let check = XxHash3_128::oneshot(&bytes[..56]) as u64;
        bytes[56..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; TRAILER_BYTES]) -> Option<Self> {
        Self::decode_as(bytes, FOOTER_MAGIC)
    }

    pub(crate) fn decode_of_summary(bytes: &[u8; TRAILER_BYTES]) -> Option<Self> {
        Self::decode_as(bytes, SUMMARY_MAGIC)
    }

    fn decode_as(bytes: &[u8; TRAILER_BYTES], magic: [u8; 8]) -> Option<Self> {
        let mut from = &bytes[..];
        if array(&mut from).ok()? != magic {
            return None;
        }
        let footer = u64::from_le_bytes(array(&mut from).ok()?);
        let length = u64::from_le_bytes(array(&mut from).ok()?);
        let sealed = codec::decode_time(&mut from).ok()?;
        let digest = u128::from_le_bytes(array(&mut from).ok()?);
        let check = u64::from_le_bytes(array(&mut from).ok()?);
        let trailer = Self { footer, length, sealed, digest };
        (check == XxHash3_128::oneshot(&bytes[..56]) as u64).then_some(trailer)
    }

    pub(crate) fn holds(&self, footer: &[u8], seed: u64) -> bool {
        broken(Fault::UncheckedRecords) || self.digest == XxHash3_128::oneshot_with_seed(seed, footer)
    }
}

/// Appends a footer's item for `record` at `offset`.
pub(crate) fn encode_item(record: &Record, stamp: Timestamp, digest: Digest, item: Extent, to: &mut Vec<u8>) {
    let mut meta = Vec::new();
    record.encode_meta(&mut meta);
    to.extend(item.offset.to_le_bytes());
    to.extend(payload_bytes(record).to_le_bytes());
    codec::encode_time(stamp, to);
    to.extend(digest.0.to_le_bytes());
    to.push(record.kind());
    to.extend((meta.len() as u32).to_le_bytes());
    to.extend(meta);
}

/// Reads one item from the front of a footer.
pub(crate) fn decode_item(from: &mut &[u8]) -> Result<(Record, Timestamp, Digest, Extent), DecodeError> {
    let offset = u64::from_le_bytes(array(from)?);
    let payload = u64::from_le_bytes(array(from)?);
    let stamp = codec::decode_time(from)?;
    let digest = Digest(u128::from_le_bytes(array(from)?));
    let [kind] = array::<1>(from)?;
    let length = u32::from_le_bytes(array(from)?);
    let (meta, rest) = from.split_at_checked(length as usize).ok_or(DecodeError("it ends early"))?;
    *from = rest;
    let head = Head { kind, meta: length, payload, durable: 0, stamp, digest, check: 0 };
    Ok((Record::decode(kind, meta)?, stamp, digest, head.extent(offset)))
}

/// Bytes of the payload of `record`.
pub(crate) fn payload_bytes(record: &Record) -> u64 {
    match record {
        Record::Row(row) => row.size,
        _ => 0,
    }
}
