//! What a survey found, for people and scripts, and what it knows beyond that to mend it. Pure.

use headwater_model::row::{EventId, Key, Object, Row, Version};
use headwater_model::{Pipeline, Timestamp};
use headwater_store::log::survey::{Amount, Subject};
use serde::Serialize;

use super::Lives;
use crate::chunks;
use crate::place::Place;
use crate::version;

/// What was found in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// What the keyspaces are called, without their endings.
    pub keyspace: String,
    /// Nothing that counts is damaged or missing.
    pub whole: bool,
    /// What is wrong: first what counts.
    pub findings: Vec<Finding>,
    /// There was more than is listed.
    pub more: bool,
    /// Records of objects that count.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks of any kind.
    pub chunks: u64,
    /// Chunks that no record names and that expire by themselves: of segments that were replaced or removed, or whose
    /// upload failed.
    pub expiring: u64,
    /// Payloads whose digest was verified.
    pub payloads: Amount,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub what: What,
    /// Whether it is something that readers miss. If not, it only takes space.
    pub counts: bool,
    /// What it is of, where that is known.
    #[serde(flatten)]
    pub subject: Option<Subject>,
    /// Chunks that the object has, or that are left over.
    pub parts: Option<u32>,
    /// Those of them that are missing, from 0.
    pub missing: Vec<u32>,
    /// Whether every node that should have what is missing was asked. If not, one that is down may have it.
    pub confirmed: Option<bool>,
    /// Other pipelines' sound candidates of the same object that are whole.
    pub intact: Vec<Pipeline>,
    /// Records of an event's life that is over.
    pub records: Option<u64>,
    /// The token of chunks.
    pub version: Option<String>,
    /// When chunks were staged.
    pub staged: Option<Timestamp>,
    /// What could not be read, and why.
    pub error: Option<String>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// An object some of whose chunks are missing.
    #[default]
    MissingChunks,
    /// An object whose bytes are not those that were stored.
    DamagedBytes,
    /// A record that cannot be read.
    UnreadableRecord,
    /// A record that listings do not find.
    UnlistedRecord,
    /// Chunks that no record names, and that never expire.
    ChunksWithoutRecord,
    /// What is left of an event that is gone.
    EventOver,
    /// A record that should have expired.
    ExpiredRecord,
    /// A place of the listing at which there is no record.
    ListingWithoutRecord,
}

impl What {
    /// For a table.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::MissingChunks => "chunks missing",
            Self::DamagedBytes => "damaged bytes",
            Self::UnreadableRecord => "unreadable record",
            Self::UnlistedRecord => "record not listed",
            Self::ChunksWithoutRecord => "chunks without a record",
            Self::EventOver => "event is gone",
            Self::ExpiredRecord => "expired record",
            Self::ListingWithoutRecord => "listed without a record",
        }
    }

    /// Whether readers miss it.
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::MissingChunks | Self::DamagedBytes | Self::UnreadableRecord | Self::UnlistedRecord => true,
            Self::ChunksWithoutRecord | Self::EventOver | Self::ExpiredRecord | Self::ListingWithoutRecord => false,
        }
    }
}

/// A finding with what it takes to mend it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Case {
    Lost { row: Row, missing: Vec<u32>, confirmed: bool, intact: Vec<Pipeline> },
    Damaged { row: Row, intact: Vec<Pipeline> },
    Unreadable { place: Place, error: String },
    Unlisted { row: Row },
    Orphan { version: Version, parts: Vec<u32> },
    Over { event: i64, records: u64 },
    Expired { row: Row },
    Idle { place: Place },
}

impl Case {
    pub(super) fn what(&self) -> What {
        match self {
            Self::Lost { .. } => What::MissingChunks,
            Self::Damaged { .. } => What::DamagedBytes,
            Self::Unreadable { .. } => What::UnreadableRecord,
            Self::Unlisted { .. } => What::UnlistedRecord,
            Self::Orphan { .. } => What::ChunksWithoutRecord,
            Self::Over { .. } => What::EventOver,
            Self::Expired { .. } => What::ExpiredRecord,
            Self::Idle { .. } => What::ListingWithoutRecord,
        }
    }

    /// As it is told.
    pub(super) fn finding(&self, lives: &Lives) -> Finding {
        let finding = Finding { what: self.what(), counts: self.what().counts(), ..Finding::default() };
        let of_place = |place: &Place| place.key().map(|key| subject(&key, lives));
        match self {
            Self::Lost { row, missing, confirmed, intact } => Finding {
                subject: Some(subject(&row.key, lives)),
                parts: Some(chunks::parts(row)),
                missing: missing.clone(),
                confirmed: Some(*confirmed),
                intact: intact.clone(),
                ..finding
            },
            Self::Damaged { row, intact } => {
                let (subject, parts) = (Some(subject(&row.key, lives)), Some(chunks::parts(row)));
                Finding { subject, parts, intact: intact.clone(), ..finding }
            }
            Self::Unreadable { place, error } => {
                Finding { subject: of_place(place), error: Some(error.clone()), ..finding }
            }
            Self::Unlisted { row } | Self::Expired { row } => {
                Finding { subject: Some(subject(&row.key, lives)), ..finding }
            }
            Self::Orphan { version, parts } => Finding {
                parts: Some(parts.len() as u32),
                version: Some(format!("{:032x}", version.0)),
                staged: Some(version::staged(*version)),
                ..finding
            },
            Self::Over { event, records } => {
                let event_id = EventId(event.cast_unsigned());
                let of = Subject {
                    record: "event",
                    event: lives.name(event_id),
                    event_id: Some(event_id),
                    ..<_>::default()
                };
                Finding { subject: Some(of), records: Some(*records), ..finding }
            }
            Self::Idle { place } => Finding { subject: of_place(place), ..finding },
        }
    }
}

/// What a candidate is, in words.
pub(super) fn subject(key: &Key, lives: &Lives) -> Subject {
    let (event, pipeline) = (lives.name(key.event), Some(key.pipeline.clone()));
    let of = Subject { event, event_id: Some(key.event), pipeline, ..Subject::default() };
    match &key.object {
        Object::Segment { rendition, number } => {
            Subject { record: "segment", rendition: Some(rendition.clone()), number: Some(*number), ..of }
        }
        Object::Init { rendition } => Subject { record: "init", rendition: Some(rendition.clone()), ..of },
        Object::Loose { path } => Subject { record: "object", path: Some(path.to_string()), ..of },
    }
}
