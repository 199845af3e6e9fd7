//! What a check found, as a value: for people it becomes text, for scripts JSON, both in the binary.

use headwater_model::row::{EventId, Object};
use headwater_model::{Pipeline, Rendition};
use serde::Serialize;

use super::super::format::Record;
use super::holdings::Amount;
use super::{Standing, Survey};

/// What a check found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The directory.
    pub directory: String,
    /// Whether a server was running on it.
    pub online: bool,
    /// Whether nothing that counts is damaged, missing or of a later format version.
    pub whole: bool,
    /// What is damaged, by file and offset.
    pub damage: Vec<Damage>,
    /// Names of bucket files that should be there and are not.
    pub missing: Vec<String>,
    /// Files that this build cannot read.
    pub later: Vec<Later>,
    /// What a crash left behind the last whole record of a file; the next start cuts it off.
    pub torn: Vec<Torn>,
    /// Bucket files that were checked.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Payloads whose digest was verified, and their bytes.
    pub payloads: Amount,
    /// Payloads of deleted events and of superseded records whose space was given back, or may be at any time.
    pub freed: Amount,
    /// Files that expired while they were being read.
    pub vanished: u64,
}

impl Report {
    /// Whether something that counts is damaged or missing.
    #[must_use]
    pub fn has_losses(&self) -> bool {
        !self.missing.is_empty() || self.damage.iter().any(|damage| damage.standing == Standing::Counts)
    }
}

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file's name in the directory.
    pub file: String,
    /// Where in it the thing begins, in bytes.
    pub offset: u64,
    /// Bytes of the thing: of it all, not of the part that is wrong.
    pub bytes: u64,
    /// What kind of thing it is.
    pub what: What,
    /// Why the system could not read it; `None` if it could and the checksum is wrong.
    pub error: Option<String>,
    /// Whether it is needed.
    pub standing: Standing,
    /// What the record is about; of an unreadable stretch what its head says, which may be wrong. `None` where nothing
    /// tells.
    #[serde(flatten)]
    pub subject: Option<Subject>,
    /// Of a payload that counts: other pipelines whose candidate of the same object is intact.
    pub intact: Vec<Pipeline>,
}

/// What kind of thing is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The file's header: a server makes it good from its copy, or leaves the whole file alone where it cannot.
    Header,
    /// The footer or trailer: a server finds the records by a scan, and writes it anew.
    Footer,
    /// Head and meta of a record.
    RecordHead,
    /// The bytes of an object.
    Payload,
    /// Bytes of an unsealed file in which records lay that nothing tells of.
    Stretch,
    /// The file, which the system refuses to read.
    File,
}

impl What {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Header => "file header",
            Self::Footer => "footer",
            Self::RecordHead => "record head",
            Self::Payload => "payload",
            Self::Stretch => "unreadable stretch",
            Self::File => "whole file",
        }
    }
}

/// What a record is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// `segment`, `init`, `object` (any other upload), `event` (an event entry), `removal`, `void` or `mark`.
    pub record: &'static str,
    /// TENANT/EVENT; `None` if no record tells the name.
    pub event: Option<String>,
    /// The event's life.
    pub event_id: Option<EventId>,
    /// The rendition of a segment or init segment.
    pub rendition: Option<Rendition>,
    /// The number of a segment.
    pub number: Option<u64>,
    /// The path of any other upload.
    pub path: Option<String>,
    /// Whose candidate.
    pub pipeline: Option<Pipeline>,
}

impl Subject {
    /// What `record` is about.
    pub(super) fn of(record: &Record, survey: &Survey) -> Self {
        let key = match record {
            Record::Row(row) => &row.key,
            Record::Removal { key, .. } => key,
            Record::Entry { entry, .. } => {
                let (tenant, name) = entry.names();
                let event_id = entry.alive().map(|event| event.id);
                return Self { record: "event", event: Some(format!("{tenant}/{name}")), event_id, ..Self::default() };
            }
            Record::Void { .. } => return Self { record: "void", ..Self::default() },
            Record::Mark => return Self { record: "mark", ..Self::default() },
        };
        let (event, pipeline) = (survey.event_name(key.event), Some(key.pipeline.clone()));
        let mut subject = Self { event, event_id: Some(key.event), pipeline, ..Self::default() };
        subject.record = match &key.object {
            Object::Segment { rendition, number } => {
                (subject.rendition, subject.number) = (Some(rendition.clone()), Some(*number));
                "segment"
            }
            Object::Init { rendition } => {
                subject.rendition = Some(rendition.clone());
                "init"
            }
            Object::Loose { path } => {
                subject.path = Some(path.to_string());
                "object"
            }
        };
        if let Record::Removal { .. } = record {
            subject.record = "removal";
        }
        subject
    }
}

/// A file of a later format version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Later {
    /// Its name.
    pub file: String,
    /// Its version.
    pub version: u32,
}

/// The end of a file that was being written when a process or machine died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// Its name.
    pub file: String,
    /// Where the last whole record ends.
    pub offset: u64,
    /// Bytes behind it.
    pub bytes: u64,
}
