//! Rows and keys as bytes: one codec for the log's records and for the feed between nodes. Little-endian, lengths
//! before texts. Decoding checks everything it reads, because the bytes come from a disk or a network, and never
//! allocates more than it was given.

use std::sync::Arc;

use headwater_model::Timestamp;
use headwater_model::defect::{Defect, DefectKind, Defects};
use headwater_model::name::{Kind, Name};
use headwater_model::row::{Digest, EventId, Keep, Key, Object, Row, Version};

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record: {0}")]
pub struct DecodeError(pub &'static str);

/// Appends `row`, but for whom it was passed over: an engine that processes share keeps that beside it.
pub fn encode_row(row: &Row, to: &mut Vec<u8>) {
    encode_key(&row.key, to);
    to.extend(row.version.0.to_le_bytes());
    to.extend(row.size.to_le_bytes());
    to.extend(row.digest.0.to_le_bytes());
    text(&row.content_type, to);
    to.push(row.defects.iter().count() as u8);
    row.defects.iter().for_each(|defect| encode_defect(defect, to));
    text(row.region.as_str(), to);
    match row.keep {
        Keep::Standing => to.push(0),
        Keep::Until(moment) => {
            to.push(1);
            encode_time(moment, to);
        }
    }
    encode_time(row.first, to);
    match row.sound {
        None => to.push(0),
        Some(moment) => {
            to.push(1);
            encode_time(moment, to);
        }
    }
    encode_time(row.published, to);
}

/// Appends `key`.
pub fn encode_key(key: &Key, to: &mut Vec<u8>) {
    to.extend(key.event.0.to_le_bytes());
    match &key.object {
        Object::Segment { rendition, number } => {
            to.push(0);
            text(rendition.as_str(), to);
            to.extend(number.to_le_bytes());
        }
        Object::Init { rendition } => {
            to.push(1);
            text(rendition.as_str(), to);
        }
        Object::Loose { path } => {
            to.push(2);
            text(path, to);
        }
    }
    text(key.pipeline.as_str(), to);
}

fn encode_defect(defect: &Defect, to: &mut Vec<u8>) {
    text(defect.kind.word(), to);
    // A report has at most a handful of facts; more than a byte can count would have been refused at the door.
    let facts = &defect.facts[..defect.facts.len().min(255)];
    to.push(facts.len() as u8);
    for (name, value) in facts {
        text(name, to);
        to.extend(value.to_le_bytes());
    }
}

pub(crate) fn encode_time(moment: Timestamp, to: &mut Vec<u8>) {
    to.extend(moment.nanos().to_le_bytes());
}

fn text(text: &str, to: &mut Vec<u8>) {
    let mut length = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    to.extend((length as u16).to_le_bytes());
    to.extend(&text.as_bytes()[..length]);
}

/// Reads one row from the front of `from`.
///
/// # Errors
/// [`DecodeError`] if it is none.
pub fn decode_row(from: &mut &[u8]) -> Result<Row, DecodeError> {
    let key = decode_key(from)?;
    let version = Version(u128::from_le_bytes(array(from)?));
    let size = u64::from_le_bytes(array(from)?);
    let digest = Digest(u128::from_le_bytes(array(from)?));
    let content_type: Arc<str> = decode_text(from)?.into();
    let defects =
        (0..byte(from)?).map(|_| decode_defect(from)).collect::<Result<Vec<_>, _>>()?.into_iter().collect::<Defects>();
    let region = name(from)?;
    let keep = match byte(from)? {
        0 => Keep::Standing,
        1 => Keep::Until(decode_time(from)?),
        _ => return Err(DecodeError("unknown retention")),
    };
    let first = decode_time(from)?;
    let sound = match byte(from)? {
        0 => None,
        1 => Some(decode_time(from)?),
        _ => return Err(DecodeError("unknown soundness")),
    };
    let published = decode_time(from)?;
    Ok(Row {
        key,
        version,
        size,
        digest,
        content_type,
        defects,
        region,
        keep,
        first,
        sound,
        published,
        passed: Box::default(),
    })
}

/// Reads one key from the front of `from`.
///
/// # Errors
/// [`DecodeError`] if it is none.
pub fn decode_key(from: &mut &[u8]) -> Result<Key, DecodeError> {
    let event = EventId(u64::from_le_bytes(array(from)?));
    let object = match byte(from)? {
        0 => {
            let rendition = name(from)?;
            Object::Segment { rendition, number: u64::from_le_bytes(array(from)?) }
        }
        1 => Object::Init { rendition: name(from)? },
        2 => Object::Loose { path: decode_text(from)?.into() },
        _ => return Err(DecodeError("unknown kind of object")),
    };
    Ok(Key { event, object, pipeline: name(from)? })
}

fn decode_defect(from: &mut &[u8]) -> Result<Defect, DecodeError> {
    let kind = DefectKind::from_word(decode_text(from)?).ok_or(DecodeError("unknown defect"))?;
    let mut facts = Vec::new();
    for _ in 0..byte(from)? {
        let name = decode_text(from)?.to_owned();
        facts.push((name, i64::from_le_bytes(array(from)?)));
    }
    Ok(Defect { kind, facts })
}

pub(crate) fn decode_time(from: &mut &[u8]) -> Result<Timestamp, DecodeError> {
    Ok(Timestamp::from_nanos(i128::from_le_bytes(array(from)?)))
}

fn name<K: Kind>(from: &mut &[u8]) -> Result<Name<K>, DecodeError> {
    Name::new(decode_text(from)?).map_err(|_| DecodeError("a name breaks its rule"))
}

fn decode_text<'a>(from: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    let length = usize::from(u16::from_le_bytes(array(from)?));
    let (text, rest) = from.split_at_checked(length).ok_or(DecodeError("it ends early"))?;
    *from = rest;
    std::str::from_utf8(text).map_err(|_| DecodeError("a text is not UTF-8"))
}

fn byte(from: &mut &[u8]) -> Result<u8, DecodeError> {
    array::<1>(from).map(|[byte]| byte)
}

pub(crate) fn array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, rest) = from.split_first_chunk::<N>().ok_or(DecodeError("it ends early"))?;
    *from = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_model::Region;
    use headwater_model::{Pipeline, Rendition};
    use proptest::prelude::*;

    fn row(object: Object, keep: Keep, sound: Option<i64>) -> Row {
        let facts = Defect::new(DefectKind::Short, &[("have", 48), ("want", -50)]);
        Row {
            key: Key { event: EventId(7), object, pipeline: Pipeline::new("a").unwrap() },
            version: Version(1 << 90),
            size: 12,
            digest: Digest(u128::MAX - 5),
            content_type: "video/mp4".into(),
            defects: [facts, Defect::new(DefectKind::NoSync, &[])].into_iter().collect(),
            region: Region::new("local").unwrap(),
            keep,
            first: Timestamp::from_millis(-5),
            sound: sound.map(Timestamp::from_millis),
            published: Timestamp::MAX,
            passed: Box::default(),
        }
    }

    #[test]
    fn rows_are_read_as_written_and_never_from_less() {
        let rendition = Rendition::new("v").unwrap();
        let objects = [
            Object::Segment { rendition: rendition.clone(), number: u64::MAX },
            Object::Init { rendition },
            Object::Loose { path: "ä/x.mpd".into() },
        ];
        for object in objects {
            for row in [row(object.clone(), Keep::Standing, None), row(object, Keep::Until(Timestamp::MIN), Some(3))] {
                let mut bytes = Vec::new();
                encode_row(&row, &mut bytes);
                let mut rest = &bytes[..];
                assert_eq!(decode_row(&mut rest).unwrap(), row);
                assert!(rest.is_empty());
                for length in 0..bytes.len() {
                    assert!(decode_row(&mut &bytes[..length]).is_err());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_row_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_row(&mut &bytes[..]);
        }
    }
}
