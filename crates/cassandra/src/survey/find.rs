//! The check: every record, then every place of the listing, then every chunk, each table once. What is written first
//! (chunks and listing before their record) is read last, so that what is missing there was missing. What fits is
//! dropped at once; what does not is suspect, and looked at again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::time::Duration;

use headwater_model::Timestamp;
use headwater_model::row::{Row, Version};
use headwater_store::log::survey::Amount;
use headwater_store::{Body, StoreError};

use super::pages::Pages;
use super::report::{Case, Report};
use super::{Lives, Survey, before};
use crate::chunks;
use crate::error::unavailable;
use crate::index::keeps;
use crate::options::{PUBLISH_BUDGET, SCANS_MAX};
use crate::place::Place;
use crate::rows;
use crate::tables::Records;

/// An upload may still be in progress for this much longer than a publish may take: clocks that differ, last attempts.
const SLACK: Duration = Duration::from_secs(60);
/// Of each kind no more than this is listed. A cluster that lost more needs a restore, not a list.
pub(super) const FOUND_MAX: usize = 100_000;

/// What a check found.
pub(super) struct Found {
    pub(super) cases: Vec<Case>,
    pub(super) lives: Lives,
    /// When the check began, by this machine's clock.
    pub(super) started: Timestamp,
    /// The same on the monotonic clock.
    pub(super) began: Duration,
    /// With its facts, without its findings.
    facts: Report,
}

impl Found {
    /// As it is told.
    pub(super) fn report(&self) -> Report {
        let findings: Vec<_> = self.cases.iter().map(|case| case.finding(&self.lives)).collect();
        let whole = findings.iter().all(|finding| !finding.counts);
        Report { findings, whole, ..self.facts.clone() }
    }
}

/// What may be wrong.
pub(super) struct Suspects {
    pub(super) facts: Report,
    /// The chunks of each record by its token.
    parts: HashMap<Version, Parts>,
    /// Places of records, blocks and shelves that the listing has not shown.
    unlisted: HashSet<u64>,
    pub(super) unreadable: Vec<(Place, String)>,
    pub(super) expired: Vec<Row>,
    /// Records of lives that are over.
    pub(super) over: HashMap<i64, u64>,
    pub(super) idle: Vec<Place>,
    pub(super) orphans: BTreeMap<Version, Vec<u32>>,
    pub(super) missing: Vec<Row>,
    pub(super) lost: Vec<Row>,
    pub(super) damaged: Vec<Row>,
    /// When the records and when the listing had been read, on the monotonic clock.
    pub(super) rows_read: Duration,
    pub(super) listing_read: Duration,
}

struct Parts {
    wanted: u32,
    seen: u32,
    counts: bool,
}

type RowColumns = (i64, String, i64, String, String, Option<Vec<u8>>);

impl Survey {
    /// Checks everything; with `payloads` the bytes of every object too. Changes nothing.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub async fn check(&self, payloads: bool) -> Result<Report, StoreError> {
        Ok(self.find(payloads).await?.report())
    }

    pub(super) async fn find(&self, payloads: bool) -> Result<Found, StoreError> {
        let (started, began) = (self.clock.wall(), self.clock.monotonic());
        let lives = self.lives().await?;
        let mut suspects = Suspects::new(self.options.keyspace.clone());
        self.read_rows(&lives, &mut suspects).await?;
        self.read_listing(&lives, &mut suspects).await?;
        self.read_blocks(&lives, &mut suspects).await?;
        self.read_chunks(started, &mut suspects).await?;
        self.look_again(&mut suspects).await?;
        if payloads {
            self.read_payloads(&lives, &mut suspects).await?;
        }
        let facts = std::mem::take(&mut suspects.facts);
        let (cases, lives) = self.verify(suspects).await?;
        Ok(Found { cases, lives, started, began, facts })
    }

    async fn read_rows(&self, lives: &Lives, suspects: &mut Suspects) -> Result<(), StoreError> {
        let mut pages = self.pages("records", &self.statements.rows);
        while let Some(page) = pages.next::<RowColumns>().await? {
            let now = self.clock.wall();
            for (place, row) in page.into_iter().filter_map(|columns| self.record(columns)) {
                match row {
                    Ok(row) => self.take_in(place, row, lives, now, suspects),
                    Err(error) if lives.is_over(place.event) => suspects.over_by(place.event, 1, &error),
                    Err(error) => push(&mut suspects.unreadable, (place, error), &mut suspects.facts),
                }
            }
        }
        suspects.rows_read = self.clock.monotonic();
        Ok(())
    }

    fn take_in(&self, place: Place, row: Row, lives: &Lives, now: Timestamp, suspects: &mut Suspects) {
        let counts = !lives.is_over(place.event) && keeps(&row, self.options.grace, now);
        if row.size > 0 {
            suspects.parts.insert(row.version, Parts { wanted: chunks::parts(&row), seen: 0, counts });
        }
        if lives.is_over(place.event) {
            // What only marks that it was passed over goes by itself.
            let records = u64::from(row.has_come());
            if records > 0 {
                *suspects.over.entry(place.event).or_default() += records;
            }
        } else if counts {
            if row.has_come() {
                suspects.facts.records += 1;
                suspects.facts.bytes += row.size;
                let Place { event, shelf, block, .. } = &place;
                suspects.unlisted.extend([mark(&(*event, shelf)), mark(&(*event, shelf, *block)), mark(&place)]);
            }
        } else if !keeps(&row, self.options.grace, before(now, SLACK)) {
            push(&mut suspects.expired, row, &mut suspects.facts);
        }
    }

    async fn read_listing(&self, lives: &Lives, suspects: &mut Suspects) -> Result<(), StoreError> {
        let mut pages = self.pages("listing", &self.statements.listing);
        while let Some(page) = pages.next::<(i64, String, i64, i64, String, String)>().await? {
            for (event, shelf, block, number, name, pipeline) in page {
                let place = Place { event, shelf, block, number, name, pipeline };
                if lives.is_over(event) {
                    suspects.over.entry(event).or_default();
                } else if !suspects.unlisted.remove(&mark(&place)) {
                    // Most were recorded since the records were read.
                    self.pace(1).await;
                    if self.cluster.row(&place).await?.is_empty() {
                        push(&mut suspects.idle, place, &mut suspects.facts);
                    }
                }
            }
        }
        suspects.listing_read = self.clock.monotonic();
        Ok(())
    }

    async fn read_blocks(&self, lives: &Lives, suspects: &mut Suspects) -> Result<(), StoreError> {
        let mut pages = self.pages("blocks", &self.statements.blocks);
        while let Some(page) = pages.next::<(i64, String, i64)>().await? {
            for (event, shelf, block) in page {
                suspects.unlisted.remove(&mark(&(event, &shelf, block)));
                if lives.is_over(event) {
                    suspects.over.entry(event).or_default();
                }
            }
        }
        let mut pages = self.pages("shelves", &self.statements.shelves);
        while let Some(page) = pages.next::<(i64, String)>().await? {
            for (event, shelf) in page {
                suspects.unlisted.remove(&mark(&(event, &shelf)));
                if lives.is_over(event) {
                    suspects.over.entry(event).or_default();
                }
            }
        }
        Ok(())
    }

    async fn read_chunks(&self, started: Timestamp, suspects: &mut Suspects) -> Result<(), StoreError> {
        // What was staged before this was recorded, if at all, before the records were read.
        let old = before(started, self.options.publish_budget.max(PUBLISH_BUDGET) + SLACK);
        for (what, table) in [("chunks", &self.statements.chunks), ("standing", &self.statements.standing)] {
            self.read_chunks_of(self.pages(what, &table.all), old, suspects).await?;
        }
        Ok(())
    }

    async fn read_chunks_of(
        &self,
        mut pages: Pages<'_>,
        old: Timestamp,
        suspects: &mut Suspects,
    ) -> Result<(), StoreError> {
        while let Some(page) = pages.next::<(Vec<u8>, i32)>().await? {
            for (version, part) in page {
                suspects.facts.chunks += 1;
                // No token of ours, and nothing to say of it.
                let Ok(version) = <[u8; 16]>::try_from(version) else { continue };
                let (version, part) = (Version(u128::from_be_bytes(version)), part.cast_unsigned());
                if let Some(parts) = suspects.parts.get_mut(&version) {
                    parts.seen += u32::from(part < parts.wanted);
                } else if crate::version::staged(version) < old {
                    self.pace(1).await;
                    match self.chunk(version, part).await? {
                        Some(Some(_)) => suspects.facts.expiring += 1,
                        Some(None) => suspects.orphan(version, part),
                        None => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the records once more for those of which something was not there.
    async fn look_again(&self, suspects: &mut Suspects) -> Result<(), StoreError> {
        let parts = std::mem::take(&mut suspects.parts).into_iter();
        let lost = parts.filter(|(_, parts)| parts.counts && parts.seen < parts.wanted);
        let lost: HashSet<Version> = lost.map(|(version, _)| version).collect();
        let unlisted = std::mem::take(&mut suspects.unlisted);
        if lost.is_empty() && unlisted.is_empty() {
            return Ok(());
        }
        let mut pages = self.pages("suspects", &self.statements.rows);
        while let Some(page) = pages.next::<RowColumns>().await? {
            for (place, row) in page.into_iter().filter_map(|columns| self.record(columns)) {
                let Ok(row) = row else { continue };
                let Place { event, shelf, block, .. } = &place;
                let marks = [mark(&(*event, shelf)), mark(&(*event, shelf, *block)), mark(&place)];
                if row.size > 0 && lost.contains(&row.version) {
                    push(&mut suspects.lost, row.clone(), &mut suspects.facts);
                }
                if row.has_come() && marks.iter().any(|mark| unlisted.contains(mark)) {
                    push(&mut suspects.missing, row, &mut suspects.facts);
                }
            }
        }
        Ok(())
    }

    async fn read_payloads(&self, lives: &Lives, suspects: &mut Suspects) -> Result<(), StoreError> {
        let lost: HashSet<Version> = suspects.lost.iter().map(|row| row.version).collect();
        let mut pages = self.pages("payloads", &self.statements.rows);
        while let Some(page) = pages.next::<RowColumns>().await? {
            let records = page.into_iter().filter_map(|columns| self.record(columns));
            for row in records.filter_map(|(_, row)| row.ok()) {
                let kept = keeps(&row, self.options.grace, self.clock.wall());
                if row.size == 0
                    || !kept
                    || lives.is_over(crate::place::event(row.key.event))
                    || lost.contains(&row.version)
                {
                    continue;
                }
                self.pace_bytes(row.size).await;
                match self.payload(&row).await {
                    Ok(Some(_)) => {
                        suspects.facts.payloads.objects += 1;
                        suspects.facts.payloads.bytes += row.size;
                    }
                    Ok(None) => push(&mut suspects.lost, row, &mut suspects.facts),
                    Err(StoreError::Damaged(_)) => push(&mut suspects.damaged, row, &mut suspects.facts),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// A record with its place, or what is wrong with it; `None` where there is none any more.
    fn record(&self, columns: RowColumns) -> Option<(Place, Result<Row, String>)> {
        let (event, shelf, number, name, column, row) = columns;
        let pipeline = self.cluster.sites.read(&column).map(|(_, pipeline)| pipeline.to_owned());
        let is_ours = pipeline.is_some();
        let place = Place::without_block(event, shelf, number, name, pipeline.unwrap_or_else(|| column.clone()));
        let row = match rows::decode(&row?) {
            Ok(_) if !is_ours => Err(format!("`{column}` names no datacentre of `store.replication`")),
            Ok(row) if Place::of(&row.key) == place => Ok(row),
            Ok(row) => Err(format!("it tells of {:?}", row.key)),
            Err(error) => Err(error.to_string()),
        };
        Some((place, row))
    }

    /// The bytes of `row`, past memcached, verified; `None` if a chunk is missing.
    pub(super) async fn payload(&self, row: &Row) -> Result<Option<Body>, StoreError> {
        let mut tries = 1;
        loop {
            match chunks::fetch(&self.cluster, row).await {
                Err(StoreError::Unavailable(error)) if tries < SCANS_MAX => {
                    tracing::warn!(error, "a payload cannot be read yet; trying again");
                    tries += 1;
                }
                answer => return Ok(answer?.map(|(body, _)| body)),
            }
        }
    }

    /// Whether a chunk is there, and for how many seconds; `Some(None)` for ever.
    pub(super) async fn chunk(&self, version: Version, part: u32) -> Result<Option<Option<i32>>, StoreError> {
        let values = (version.0.to_be_bytes(), part.cast_signed());
        let statement = &self.statements.chunks_of(version).ttl;
        let result = self.cluster.session.execute_unpaged(statement, values).await;
        let result = result.map_err(|error| unavailable("looking for a chunk", error))?;
        let damaged = |error: &dyn std::fmt::Display| crate::error::damaged("a chunk", error);
        let rows = result.into_rows_result().map_err(|error| damaged(&error))?;
        let row = rows.maybe_first_row::<(Option<i32>,)>().map_err(|error| damaged(&error))?;
        Ok(row.map(|(ttl,)| ttl))
    }
}

impl Suspects {
    fn new(keyspace: String) -> Self {
        Self {
            facts: Report { keyspace, payloads: Amount::default(), ..Report::default() },
            parts: HashMap::new(),
            unlisted: HashSet::new(),
            unreadable: Vec::new(),
            expired: Vec::new(),
            over: HashMap::new(),
            idle: Vec::new(),
            orphans: BTreeMap::new(),
            missing: Vec::new(),
            lost: Vec::new(),
            damaged: Vec::new(),
            rows_read: Duration::ZERO,
            listing_read: Duration::ZERO,
        }
    }

    fn over_by(&mut self, event: i64, records: u64, error: &str) {
        tracing::debug!(event, error, "a record of an event that is gone");
        *self.over.entry(event).or_default() += records;
    }

    fn orphan(&mut self, version: Version, part: u32) {
        if self.orphans.len() < FOUND_MAX || self.orphans.contains_key(&version) {
            self.orphans.entry(version).or_default().push(part);
        } else {
            self.facts.more = true;
        }
    }
}

fn push<T>(list: &mut Vec<T>, one: T, facts: &mut Report) {
    if list.len() < FOUND_MAX {
        list.push(one);
    } else {
        facts.more = true;
    }
}

/// Stands for a thing in a set: millions of them fit in memory, and two of them share one in no life-time.
fn mark(of: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}
