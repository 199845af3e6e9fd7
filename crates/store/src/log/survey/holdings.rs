//! What a directory holds and what it occupies: by event, by retention, in all. From footers and scans alone; no payload
//! is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::Arc;

use headwater_model::row::{EventId, Object, Row};
use headwater_model::{Pipeline, Rendition, Timestamp};
use serde::Serialize;

use super::super::format::{Class, file_name};
use super::super::index::row;
use super::{Closed, Pace, Standing, Survey, SurveyError, retention_seconds};
use crate::disk::Disk;

/// Objects and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Candidates: each pipeline's counts.
    pub objects: u64,
    /// Of their bodies.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// What a directory holds.
#[derive(Clone, Debug, Serialize)]
pub struct Holdings {
    /// The directory.
    pub directory: String,
    /// Whether a server was running on it.
    pub online: bool,
    /// What counts, by tenant and name; events without media too.
    pub events: Vec<EventUse>,
    /// What no longer counts and waits for its bucket to expire.
    pub no_longer_counted: Discounted,
    /// The buckets, by how long they keep their records.
    pub retention: Vec<RetentionUse>,
    /// Bytes of the bucket files.
    pub file_bytes: u64,
    /// Bytes that they take on the volume, which are fewer where parts of them were freed.
    pub disk_bytes: u64,
    /// Bytes that are free on the volume.
    pub free_bytes: u64,
    /// Bytes of the volume.
    pub volume_bytes: u64,
    /// When the next bucket expires; `None` if none holds media. A moment that has passed: a server will remove it.
    pub next_expiry: Option<Timestamp>,
    /// Bucket files whose header cannot be read: `headwater store check` names them.
    pub unreadable: u64,
}

/// What one event has stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventUse {
    /// The tenant; `None` if no record tells the event's name.
    pub tenant: Option<String>,
    /// The event's name.
    pub event: Option<String>,
    /// The event's life.
    pub id: EventId,
    /// What it has stored, all pipelines together.
    #[serde(flatten)]
    pub amount: Amount,
    /// Renditions with segments or init segments.
    pub renditions: BTreeSet<Rendition>,
    /// Who published.
    pub pipelines: BTreeSet<Pipeline>,
    /// When the oldest of it was published.
    pub oldest: Option<Timestamp>,
    /// When the newest of it was published.
    pub newest: Option<Timestamp>,
}

/// What no longer counts, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Discounted {
    /// Replaced or removed.
    pub superseded: Amount,
    /// Its time is over.
    pub expired: Amount,
    /// Its event was deleted.
    pub deleted: Amount,
}

impl Discounted {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Amount {
        let mut total = self.superseded;
        total += self.expired;
        total += self.deleted;
        total
    }
}

/// The buckets of one retention class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionUse {
    /// Their rows are kept for up to this many seconds; `None`: until they are replaced.
    pub kept_seconds: Option<u64>,
    /// Without a footer: they take records, or did when their server ended.
    pub open: u64,
    /// With a footer.
    pub sealed: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
    /// Bytes that they take on the volume.
    pub disk_bytes: u64,
    /// When the next of them expires.
    pub next_expiry: Option<Timestamp>,
}

/// What `disk` holds as of `now` on the wall clock.
///
/// # Errors
/// [`SurveyError`], with what to do.
pub fn holdings(disk: &Arc<dyn Disk>, now: Timestamp, pace: &dyn Pace) -> Result<Holdings, SurveyError> {
    let survey = Survey::take(disk, now, pace)?;
    let mut unreadable = 0;
    for (id, closed) in &survey.closed {
        let file = file_name(*id);
        match closed {
            Closed::Blank => {}
            Closed::NoHeader | Closed::Unreadable(_) => unreadable += 1,
            Closed::Later(version) => return Err(SurveyError::Later { file, version: *version }),
        }
    }
    let failed = |error| SurveyError::Unreadable { place: disk.place(), error };
    let (events, no_longer_counted) = events(&survey);
    let retention = retention(&survey);
    Ok(Holdings {
        directory: disk.place(),
        online: survey.online,
        events,
        no_longer_counted,
        file_bytes: retention.iter().map(|class| class.file_bytes).sum(),
        disk_bytes: retention.iter().map(|class| class.disk_bytes).sum(),
        free_bytes: disk.free_bytes().map_err(failed)?,
        volume_bytes: disk.total_bytes().map_err(failed)?,
        next_expiry: retention.iter().filter_map(|class| class.next_expiry).min(),
        retention,
        unreadable,
    })
}

fn events(survey: &Survey) -> (Vec<EventUse>, Discounted) {
    let blank = |id| (id, EventUse::nothing(id, survey));
    let mut events: BTreeMap<EventId, EventUse> = survey.alive().into_iter().map(|(id, ..)| blank(id)).collect();
    let mut discounted = Discounted::default();
    for stored in survey.shelf.buckets.values().flat_map(|bucket| &bucket.records) {
        let Some(row) = row(stored).filter(|row| !is_left_of_a_removal(row)) else { continue };
        match survey.standing(stored) {
            Standing::Counts => {
                let id = row.key.event;
                events.entry(id).or_insert_with(|| EventUse::nothing(id, survey)).add(row);
            }
            Standing::Expired => discounted.expired.add(row.size),
            Standing::Superseded => discounted.superseded.add(row.size),
            Standing::Deleted => discounted.deleted.add(row.size),
        }
    }
    let mut events: Vec<EventUse> = events.into_values().collect();
    events.sort_by(|one, other| (&one.tenant, &one.event, one.id).cmp(&(&other.tenant, &other.event, other.id)));
    (events, discounted)
}

/// Of a removed segment a record without bytes stays.
fn is_left_of_a_removal(row: &Row) -> bool {
    matches!(row.key.object, Object::Segment { .. }) && row.is_removed()
}

impl EventUse {
    fn nothing(id: EventId, survey: &Survey) -> Self {
        let names = survey.names.get(&id);
        Self {
            tenant: names.map(|(tenant, _)| tenant.to_string()),
            event: names.map(|(_, event)| event.to_string()),
            id,
            amount: Amount::default(),
            renditions: BTreeSet::new(),
            pipelines: BTreeSet::new(),
            oldest: None,
            newest: None,
        }
    }

    fn add(&mut self, row: &Row) {
        self.amount.add(row.size);
        match &row.key.object {
            Object::Segment { rendition, .. } | Object::Init { rendition } => {
                if !self.renditions.contains(rendition) {
                    self.renditions.insert(rendition.clone());
                }
            }
            Object::Loose { .. } => {}
        }
        if !self.pipelines.contains(&row.key.pipeline) {
            self.pipelines.insert(row.key.pipeline.clone());
        }
        let at = row.published;
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
    }
}

fn retention(survey: &Survey) -> Vec<RetentionUse> {
    let mut classes = BTreeMap::<Class, RetentionUse>::new();
    for (id, file) in &survey.files {
        let class = file.header.class;
        let entry = classes.entry(class).or_default();
        entry.kept_seconds = retention_seconds(class);
        entry.file_bytes += file.length;
        entry.disk_bytes += file.allocated;
        match &file.scanned {
            None => entry.sealed += 1,
            Some(_) => entry.open += 1,
        }
        let expires = survey.shelf.buckets.get(id).map(|bucket| bucket.expires);
        let expires = expires.filter(|expires| class != Class::STANDING && *expires > Timestamp::MIN);
        entry.next_expiry = [entry.next_expiry, expires].into_iter().flatten().min();
    }
    classes.into_values().collect()
}
