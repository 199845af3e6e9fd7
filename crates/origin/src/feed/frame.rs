//! What is told, and its bytes: a kind (8 bits), a length (32), then the fields; integers little-endian, records and keys in
//! the store's own codec. Both ends are of one version or follow each other in a rolling upgrade: a kind that is not
//! known is skipped.

use bytes::Bytes;
use headwater_model::event::Entry;
use headwater_model::row::Row;
use headwater_store::Notice;
use headwater_store::codec::{decode_key, decode_row, encode_key, encode_row};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Something was committed.
    Commit(Notice),
    /// An upload that may be followed has taken off, with the record it will have.
    Began {
        /// Its number.
        flight: u64,
        /// Its record, but for size and digest.
        row: Row,
    },
    /// More of it has arrived.
    Grown {
        /// Its number.
        flight: u64,
        /// What has come.
        bytes: Bytes,
    },
    /// It is whole and committed.
    Landed {
        /// Its number.
        flight: u64,
        /// Its record.
        row: Row,
    },
    /// It will not come to an end.
    Died {
        /// Its number.
        flight: u64,
    },
}

/// Bytes that are no frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the feed of another node cannot be read: {0}")]
pub struct BadFrame(&'static str);

const HEAD: usize = 5;

impl Frame {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![0; HEAD];
        bytes[0] = match self {
            Self::Commit(Notice::Published(row)) => {
                encode_row(row, &mut bytes);
                1
            }
            Self::Commit(Notice::Removed(key)) => {
                encode_key(key, &mut bytes);
                2
            }
            Self::Commit(Notice::Entry(entry)) => {
                bytes.extend(entry.to_json());
                3
            }
            Self::Began { flight, row } => {
                bytes.extend(flight.to_le_bytes());
                encode_row(row, &mut bytes);
                4
            }
            Self::Grown { flight, bytes: more } => {
                bytes.extend(flight.to_le_bytes());
                bytes.extend_from_slice(more);
                5
            }
            Self::Landed { flight, row } => {
                bytes.extend(flight.to_le_bytes());
                encode_row(row, &mut bytes);
                6
            }
            Self::Died { flight } => {
                bytes.extend(flight.to_le_bytes());
                7
            }
        };
        let length = (bytes.len() - HEAD) as u32;
        bytes[1..HEAD].copy_from_slice(&length.to_le_bytes());
        bytes.into()
    }

    fn decode(kind: u8, mut from: Bytes) -> Result<Option<Self>, BadFrame> {
        let row = |mut from: &[u8]| decode_row(&mut from).map_err(|error| BadFrame(error.0));
        let flight = |from: &mut Bytes| {
            let number = from.first_chunk::<8>().map(|number| u64::from_le_bytes(*number));
            let number = number.ok_or(BadFrame("it ends early"))?;
            let _ = from.split_to(8);
            Ok::<u64, BadFrame>(number)
        };
        Ok(Some(match kind {
            1 => Self::Commit(Notice::Published(row(&from)?)),
            2 => Self::Commit(Notice::Removed(decode_key(&mut &from[..]).map_err(|error| BadFrame(error.0))?)),
            3 => Self::Commit(Notice::Entry(Entry::from_json(&from).map_err(|_| BadFrame("no event entry"))?)),
            4 => Self::Began { flight: flight(&mut from)?, row: row(&from)? },
            5 => Self::Grown { flight: flight(&mut from)?, bytes: from },
            6 => Self::Landed { flight: flight(&mut from)?, row: row(&from)? },
            7 => Self::Died { flight: flight(&mut from)? },
            _ => return Ok(None),
        }))
    }
}

/// The frames of an answer.
///
/// # Errors
/// [`BadFrame`] if the bytes are none.
pub fn decode(mut from: Bytes) -> Result<Vec<Frame>, BadFrame> {
    let mut frames = Vec::new();
    while !from.is_empty() {
        let head = from.first_chunk::<HEAD>().ok_or(BadFrame("it ends early"))?;
        let (kind, length) = (head[0], u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize);
        let _ = from.split_to(HEAD);
        if from.len() < length {
            return Err(BadFrame("it ends early"));
        }
        frames.extend(Frame::decode(kind, from.split_to(length))?);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{live, segment_row};

    fn all() -> Vec<Frame> {
        let row = segment_row("v", 7, "a", 5);
        let entry = Entry::Alive(Box::new(Clone::clone(&*live("{}").event())));
        vec![
            Frame::Commit(Notice::Published(row.clone())),
            Frame::Commit(Notice::Removed(row.key.clone())),
            Frame::Commit(Notice::Entry(entry)),
            Frame::Began { flight: 1, row: row.clone() },
            Frame::Grown { flight: 1, bytes: Bytes::from_static(b"moof") },
            Frame::Landed { flight: 1, row },
            Frame::Died { flight: u64::MAX },
        ]
    }

    fn encoded(frames: &[Frame]) -> Vec<u8> {
        frames.iter().flat_map(|frame| frame.encode().to_vec()).collect()
    }

    #[test]
    fn frames_are_read_as_written() {
        assert_eq!(decode(encoded(&all()).into()), Ok(all()));
    }

    #[test]
    fn what_is_cut_short_is_no_feed() {
        let bytes = encoded(&all());
        let borders: Vec<usize> = (0..all().len()).map(|count| encoded(&all()[..count]).len()).collect();
        for cut in (0..bytes.len()).filter(|cut| !borders.contains(cut)) {
            assert!(decode(bytes[..cut].to_vec().into()).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_a_later_version_tells_is_skipped() {
        let mut bytes = encoded(&all()[..1]);
        bytes.extend([99, 3, 0, 0, 0, 1, 2, 3]);
        bytes.extend(encoded(&all()[1..2]));
        assert_eq!(decode(bytes.into()).map(|frames| frames.len()), Ok(2));
    }
}
