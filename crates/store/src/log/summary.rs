//! What a start has to know of a sealed bucket when it leaves the records of its segments on the disk: which numbers they
//! have, what they use and until when, and every other record in full. Stands in front of the footer, with a check of its
//! own; earlier builds never look there. As large as what lives in the bucket, not as its number of segments. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headwater_model::row::{EventId, Keep, Key, Object, Row};
use headwater_model::{EventName, Tenant, Timestamp};

use super::bucket::{Bucket, Stored};
use super::format::{self, Class, Record};
use crate::codec::{self, DecodeError, array};
use crate::usage::{Step, Usage, coarse, steps};

/// Steps in which the media of one event in one bucket expires, in a summary: the usage told between two of them is too
/// high by up to a 64th of the bucket, which took records for an eighth of their retention.
const STEPS_MAX: usize = 64;

/// A bucket in brief.
#[derive(Debug, PartialEq)]
pub(crate) struct Summary {
    /// Where its records end.
    pub(crate) length: u64,
    pub(crate) expires: Timestamp,
    pub(crate) highest: Timestamp,
    /// Objects of which another bucket may have a record too.
    pub(crate) contested: Vec<Key>,
    pub(crate) spans: Vec<Span>,
    /// What its segments use, by event.
    pub(crate) uses: Vec<(EventId, Vec<Step>)>,
}

/// The segments of one pipeline in a rendition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    /// With the lowest number of them.
    pub(crate) first: Key,
    /// The highest number.
    pub(crate) last: u64,
    pub(crate) rows: u64,
}

/// Whether a record may be left on the disk by a start: that of a segment whose retention ends.
pub(crate) fn plain(record: &Record) -> Option<&Row> {
    let is_plain = |row: &&Row| segment_number(&row.key).is_some() && row.keep != Keep::Standing;
    if let Record::Row(row) = record { Some(row).filter(is_plain) } else { None }
}

/// The number of a segment.
pub(crate) fn segment_number(key: &Key) -> Option<u64> {
    if let Object::Segment { number, .. } = key.object { Some(number) } else { None }
}

impl Summary {
    /// The summary of `bucket`, none of whose records is void, and the records that go with it in full; `None` if a
    /// start has to read them all.
    pub(crate) fn of(bucket: &Bucket) -> Option<(Self, Vec<&Arc<Stored>>)> {
        if bucket.header.class == Class::STANDING {
            return None;
        }
        let mut latest = HashMap::<&Key, (Timestamp, &Row)>::new();
        for stored in &bucket.records {
            let Some(row) = plain(&stored.record) else { continue };
            let newest = latest.entry(&row.key).or_insert((stored.stamp, row));
            if stored.stamp > newest.0 {
                *newest = (stored.stamp, row);
            }
        }
        let mut events = BTreeMap::<EventId, Vec<&Row>>::new();
        latest.values().for_each(|(_, row)| events.entry(row.key.event).or_default().push(row));
        let summary = Self {
            length: bucket.length,
            expires: bucket.expires,
            highest: bucket.highest,
            contested: sorted(bucket.replaces.iter().cloned().collect()),
            spans: spans(latest.keys().copied()),
            uses: events.into_iter().map(|(id, rows)| (id, coarse(steps(&rows), STEPS_MAX))).collect(),
        };
        (!summary.spans.is_empty()).then(|| (summary, in_full(&bucket.records)))
    }

    /// Appends it, and the records that go with it.
    pub(crate) fn encode(&self, in_full: &[&Arc<Stored>], to: &mut Vec<u8>) {
        let start = to.len();
        to.extend([0; 8]);
        to.extend(self.length.to_le_bytes());
        codec::encode_time(self.expires, to);
        codec::encode_time(self.highest, to);
        to.extend((self.contested.len() as u32).to_le_bytes());
        self.contested.iter().for_each(|key| codec::encode_key(key, to));
        to.extend((self.spans.len() as u32).to_le_bytes());
        for span in &self.spans {
            codec::encode_key(&span.first, to);
            to.extend(span.last.to_le_bytes());
            to.extend(span.rows.to_le_bytes());
        }
        to.extend((self.uses.len() as u32).to_le_bytes());
        for (event, steps) in &self.uses {
            to.extend(event.0.to_le_bytes());
            to.extend((steps.len() as u32).to_le_bytes());
            for (second, usage) in steps {
                to.extend(second.to_le_bytes());
                to.extend(usage.objects.to_le_bytes());
                to.extend(usage.bytes.to_le_bytes());
            }
        }
        for stored in in_full {
            format::encode_item(&stored.record, stored.stamp, stored.digest, stored.extent, to);
        }
        let length = (to.len() - start) as u64;
        to[start..start + 8].copy_from_slice(&length.to_le_bytes());
    }

    /// Reads it; what follows in `from` are the items of the records in full.
    pub(crate) fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        let whole = from.len() as u64;
        if u64::from_le_bytes(array(from)?) != whole {
            return Err(DecodeError("it has another length"));
        }
        let length = u64::from_le_bytes(array(from)?);
        let (expires, highest) = (codec::decode_time(from)?, codec::decode_time(from)?);
        let contested = several(from, codec::decode_key)?;
        let spans = several(from, |from| {
            let first = codec::decode_key(from)?;
            let (last, rows) = (u64::from_le_bytes(array(from)?), u64::from_le_bytes(array(from)?));
            segment_number(&first).map(|_| Span { first, last, rows }).ok_or(DecodeError("no segments"))
        })?;
        let uses = several(from, |from| Ok((EventId(u64::from_le_bytes(array(from)?)), several(from, step)?)))?;
        Ok(Self { length, expires, highest, contested, spans, uses })
    }
}

fn step(from: &mut &[u8]) -> Result<Step, DecodeError> {
    let second = i64::from_le_bytes(array(from)?);
    let (objects, bytes) = (u64::from_le_bytes(array(from)?), u64::from_le_bytes(array(from)?));
    Ok((second, Usage { objects, bytes }))
}

/// A count and that many of what `one` reads.
fn several<T>(from: &mut &[u8], one: impl Fn(&mut &[u8]) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
    (0..u32::from_le_bytes(array(from)?)).map(|_| one(from)).collect()
}

fn sorted(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort();
    keys
}

/// The spans of segments, by event, rendition and pipeline.
fn spans<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<Span> {
    let mut spans = BTreeMap::<_, Span>::new();
    for key in keys {
        let Object::Segment { rendition, number } = &key.object else { continue };
        let span = spans.entry((key.event, rendition, &key.pipeline));
        let span = span.or_insert_with(|| Span { first: key.clone(), last: *number, rows: 0 });
        if segment_number(&span.first).is_some_and(|first| *number < first) {
            span.first = key.clone();
        }
        span.last = span.last.max(*number);
        span.rows += 1;
    }
    spans.into_values().collect()
}

/// What is no plain record. Of one object or event only the newest, which hides the older ones for as long as the file
/// is there; of entries also those that end a life.
fn in_full(records: &[Arc<Stored>]) -> Vec<&Arc<Stored>> {
    let mut newest = HashMap::<Subject<'_>, Timestamp>::new();
    for stored in records {
        let Some(subject) = subject(&stored.record) else { continue };
        let at = newest.entry(subject).or_insert(stored.stamp);
        *at = stored.stamp.max(*at);
    }
    let counts = |stored: &&Arc<Stored>| match &stored.record {
        Record::Mark => false,
        Record::Void { .. } | Record::Entry { ended: Some(_), .. } => true,
        record if plain(record).is_some() => false,
        record => subject(record).and_then(|subject| newest.get(&subject)).is_none_or(|newest| stored.stamp >= *newest),
    };
    records.iter().filter(counts).collect()
}

#[derive(PartialEq, Eq, Hash)]
enum Subject<'a> {
    Object(&'a Key),
    Event(&'a Tenant, &'a EventName),
}

fn subject(record: &Record) -> Option<Subject<'_>> {
    match record {
        Record::Row(row) => Some(Subject::Object(&row.key)),
        Record::Removal { key, .. } => Some(Subject::Object(key)),
        Record::Entry { entry, .. } => {
            let (tenant, name) = entry.names();
            Some(Subject::Event(tenant, name))
        }
        Record::Void { .. } | Record::Mark => None,
    }
}
