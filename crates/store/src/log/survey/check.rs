//! Every checksum of a directory, verified: headers, footers, heads and metas, payloads. Whatever looks wrong is looked at
//! a second time against what the directory holds by then, because a server may be writing, expiring and freeing in it.
//! Must never report as damage what a server has just changed.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use headwater_model::Timestamp;
use headwater_model::row::{Key, Object, Row};

use super::super::bucket::Stored;
use super::super::format::{FILE_HEADER_BYTES, HEAD_BYTES, Head, Record, file_name, payload_bytes};
use super::super::header::Legible;
use super::super::index::row;
use super::super::look::{self, Footer};
use super::super::scan::{self, Payload};
use super::aside::Aside;
use super::report::{Damage, Later, Report, Subject, Torn, What};
use super::{Closed, Leftover, Pace, Standing, Survey, SurveyError, Surveyed};
use crate::disk::{Disk, File};

/// Reads all of `disk` and reports what is not as it was written, as of `now` on the wall clock.
///
/// # Errors
/// [`SurveyError`], with what to do. Damage is none.
pub fn check(disk: &Arc<dyn Disk>, now: Timestamp, pace: &dyn Pace) -> Result<Report, SurveyError> {
    let survey = Survey::take(disk, now, pace)?;
    let bytes = survey.files.values().map(|file| file.length).sum();
    pace.begin(survey.files.len() as u64, bytes);
    let mut pass = Pass::new(&survey, &**disk, pace, None);
    pass.run()?;
    let Pass { mut report, suspects, .. } = pass;
    if !suspects.is_empty() {
        let again = Survey::take(disk, now, pace)?;
        let mut second = Pass::new(&again, &**disk, pace, Some(&suspects));
        second.run()?;
        let Pass { report: confirmed, .. } = second;
        report.online |= again.online;
        report.payloads += confirmed.payloads;
        report.freed += confirmed.freed;
        report.damage = confirmed.damage;
        let ids: BTreeSet<u64> = suspects.iter().map(|suspect| suspect.0).collect();
        let is_gone = |id: &&u64| !again.files.contains_key(*id) && !again.closed.contains_key(*id);
        report.vanished += confirmed.vanished + ids.iter().filter(is_gone).count() as u64;
        report.torn.retain(|torn| confirmed.torn.contains(torn));
    }
    if report.online {
        // Somebody is writing there.
        report.torn.clear();
    }
    report.damage.sort_by(|one, other| (&one.file, one.offset, one.what).cmp(&(&other.file, other.offset, other.what)));
    report.whole = !report.has_losses() && report.later.is_empty();
    Ok(report)
}

/// A place that looks wrong: bucket, offset, what it is.
type Suspect = (u64, u64, What);

/// One time over the directory.
struct Pass<'a> {
    survey: &'a Survey,
    disk: &'a dyn Disk,
    pace: &'a dyn Pace,
    /// Only these are looked at; everything, if there are none.
    only: Option<&'a BTreeSet<Suspect>>,
    report: Report,
    suspects: BTreeSet<Suspect>,
    /// Candidates whose bytes are not there.
    lost: HashSet<Key>,
}

impl<'a> Pass<'a> {
    fn new(survey: &'a Survey, disk: &'a dyn Disk, pace: &'a dyn Pace, only: Option<&'a BTreeSet<Suspect>>) -> Self {
        let (directory, online, vanished) = (disk.place(), survey.online, survey.vanished);
        let missing = survey.missing.iter().map(|id| file_name(*id)).collect();
        let report = Report { directory, online, vanished, missing, ..Report::default() };
        Self { survey, disk, pace, only, report, suspects: BTreeSet::new(), lost: HashSet::new() }
    }

    fn run(&mut self) -> Result<(), SurveyError> {
        for (id, closed) in &self.survey.closed {
            self.closed(*id, closed);
        }
        for (id, surveyed) in &self.survey.files {
            if self.only.is_some_and(|only| !only.iter().any(|suspect| suspect.0 == *id)) {
                continue;
            }
            match self.disk.open(&file_name(*id)) {
                Ok(file) => self.file(*id, surveyed, &Aside::ahead(file, self.pace)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.report.vanished += 1;
                    self.pace.done(surveyed.length);
                }
                Err(error) => {
                    let place = format!("{}/{}", self.disk.place(), file_name(*id));
                    return Err(SurveyError::Unreadable { place, error });
                }
            }
        }
        self.name_the_intact();
        Ok(())
    }

    /// A file of whose records nothing is known.
    fn closed(&mut self, id: u64, closed: &Closed) {
        let file = file_name(id);
        let header = FILE_HEADER_BYTES as u64;
        match closed {
            Closed::Blank => {}
            Closed::Later(version) => self.report.later.push(Later { file, version: *version }),
            Closed::NoHeader => self.found(id, 0..header, What::Header, Standing::Counts, None, None),
            Closed::Unreadable(error) => self.found(id, 0..0, What::File, Standing::Counts, None, Some(error)),
        }
    }

    fn file(&mut self, id: u64, surveyed: &Surveyed, file: &dyn File) {
        self.report.files += 1;
        if let Ok((_, Ok(Legible::Mended(_)))) = look::first_block(file, id) {
            self.found(id, 0..FILE_HEADER_BYTES as u64, What::Header, Standing::Counts, None, None);
        }
        if let Some(Leftover { damage, footer, end }) = &surveyed.scanned {
            for stretch in damage {
                self.stretch(id, file, stretch.clone());
            }
            match footer {
                Footer::Damaged(at) => self.found(id, *at..surveyed.length, What::Footer, Standing::Counts, None, None),
                Footer::None if *end < surveyed.length && damage.is_empty() => {
                    let torn = Torn { file: file_name(id), offset: *end, bytes: surveyed.length - end };
                    self.suspects.insert((id, *end, What::Stretch));
                    self.report.torn.push(torn);
                }
                Footer::None => {}
            }
        }
        let records = self.survey.shelf.buckets.get(&id).map(|bucket| bucket.records.clone()).unwrap_or_default();
        let mut records: Vec<Arc<Stored>> = records;
        // By a footer they come in the order of their keys.
        records.sort_unstable_by_key(|stored| stored.extent.offset);
        let mut at = 0;
        for stored in records {
            self.record(id, surveyed, file, &stored);
            self.pace.done(stored.extent.end.saturating_sub(at));
            at = at.max(stored.extent.end);
        }
        self.pace.done(surveyed.length.saturating_sub(at));
    }

    fn record(&mut self, id: u64, surveyed: &Surveyed, file: &dyn File, stored: &Stored) {
        let standing = self.survey.standing(stored);
        let subject = || Some(Subject::of(&stored.record, self.survey));
        let (offset, payload) = (stored.extent.offset, stored.extent.payload);
        if self.wants(id, offset, What::RecordHead) {
            self.report.records += 1;
            let head = scan::head_at(file, surveyed.header.seed(), offset, surveyed.length);
            let is_same = |(head, record): &(Head, Record)| {
                *record == stored.record && head.stamp == stored.stamp && head.digest == stored.digest
            };
            if !head.as_ref().is_ok_and(|head| head.as_ref().is_some_and(is_same)) {
                let place = offset..payload.max(offset + HEAD_BYTES as u64);
                self.found(id, place, What::RecordHead, standing, subject(), head.as_ref().err());
            }
        }
        let size = payload_bytes(&stored.record);
        if size == 0 || !self.wants(id, payload, What::Payload) {
            return;
        }
        if standing == Standing::Deleted {
            self.report.freed.add(size);
            return;
        }
        let read = scan::payload(file, (size, stored.digest), stored.extent, surveyed.length);
        match read {
            Ok(Payload::Whole) => self.report.payloads.add(size),
            // Of what was replaced or removed the space is given back too.
            Ok(Payload::Hole) if standing == Standing::Superseded => self.report.freed.add(size),
            read => {
                self.lost.extend(row(stored).filter(|_| standing == Standing::Counts).map(|row| row.key.clone()));
                self.found(id, payload..payload + size, What::Payload, standing, subject(), read.as_ref().err());
            }
        }
    }

    /// Bytes that were durable and hold no record that can be read. The first of them may still say what it was.
    fn stretch(&mut self, id: u64, file: &dyn File, stretch: Range<u64>) {
        let guess = scan::guess_at(file, stretch.clone()).ok().flatten();
        let subject = guess.map(|record| Subject::of(&record, self.survey));
        self.found(id, stretch, What::Stretch, Standing::Counts, subject, None);
    }

    fn wants(&self, id: u64, offset: u64, what: What) -> bool {
        self.only.is_none_or(|only| only.contains(&(id, offset, what)))
    }

    fn found(
        &mut self,
        id: u64,
        at: Range<u64>,
        what: What,
        standing: Standing,
        subject: Option<Subject>,
        error: Option<&io::Error>,
    ) {
        if self.wants(id, at.start, what) {
            self.suspects.insert((id, at.start, what));
            let (file, offset, bytes) = (file_name(id), at.start, at.end - at.start);
            let (error, intact) = (error.map(|error| error.to_string()), Vec::new());
            self.report.damage.push(Damage { file, offset, bytes, what, error, standing, subject, intact });
        }
    }

    /// For each damaged payload the pipelines whose bytes a server can give instead.
    fn name_the_intact(&mut self) {
        let counts = |damage: &&mut Damage| damage.what == What::Payload && damage.standing == Standing::Counts;
        for damage in self.report.damage.iter_mut().filter(counts) {
            let others = damage.subject.as_ref().map(|subject| candidates(self.survey, subject)).unwrap_or_default();
            let intact = others.into_iter().filter(|row| !self.lost.contains(&row.key)).map(|row| row.key.pipeline);
            damage.intact = intact.collect();
        }
    }
}

/// All candidates of the object that `subject` is one of.
fn candidates(survey: &Survey, subject: &Subject) -> Vec<Row> {
    let Some(event) = subject.event_id else { return Vec::new() };
    let expiry = survey.expiry();
    if let (Some(rendition), Some(number)) = (&subject.rendition, subject.number) {
        let keeps = |row: &Row| !row.is_removed() && expiry.keeps(row);
        return survey.index.rows(event, rendition, number..=number, usize::MAX, keeps);
    }
    let is_same = |row: &Row| match &row.key.object {
        Object::Segment { .. } => false,
        Object::Init { rendition } => subject.rendition.as_ref() == Some(rendition),
        Object::Loose { path } => subject.path.as_deref() == Some(path),
    };
    let mut all = survey.index.standing(event, 0);
    all.retain(|row| is_same(row) && expiry.keeps(row));
    all
}
