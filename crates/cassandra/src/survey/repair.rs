//! Mends what a check has found, one thing after the other, each looked at once more just before it is touched, and
//! slowly, because bursts of deletions hurt a cluster. Must never touch what a server may still need: a record changes by
//! compare-and-set, a place of the listing goes only as it was seen, and chunks only if no record can come to name them.

use std::collections::HashSet;

use headwater_model::row::{Object, Row, Version};
use headwater_store::{Body, StoreError};
use serde::Serialize;

use super::find::Found;
use super::report::{Case, Finding, Report};
use super::{Mend, Survey, before};
use crate::changes::{Note, Notes};
use crate::chunks::{self, Chunk, Chunks};
use crate::engine::{listed_s, ttl_s};
use crate::error::unavailable;
use crate::events::FREE_PACE;
use crate::index::keeps;
use crate::options::{RACES_MAX, RETRY_PAUSE};
use crate::place::{self, Place};
use crate::rows::Swap;
use crate::tables::Records;
use crate::version;

/// How far clocks may be apart: what was listed later than this before a check is left to a later one.
const SKEW: std::time::Duration = std::time::Duration::from_secs(10);

/// What a repair found and did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repaired {
    /// What was found before.
    #[serde(skip)]
    pub report: Report,
    /// What the keyspaces are called, without their endings.
    pub keyspace: String,
    /// Nothing was changed, only found out.
    pub dry_run: bool,
    /// Nothing that counts is damaged or missing any more.
    pub whole: bool,
    /// There was more than one repair takes on: repair again.
    pub more: bool,
    /// What became of each finding.
    pub deeds: Vec<Deed>,
}

/// What became of a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deed {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Whether it was mended, or would be.
    pub mended: bool,
    /// What was done, or what there is to do.
    pub told: String,
}

/// What became of a case.
pub(super) enum Outcome {
    Did(String),
    Left(&'static str),
}

const CHANGED: &str = "it has changed meanwhile; nothing to do";
/// Another datacentre may have what names it, and this one not yet.
const UNSURE: &str = "not every node answers: bring all up and repair again";
const ELSEWHERE: &str = "the other datacentre has recorded it: repair it there";
const NO_EVENTS: &str = "no event is known at all, which looks like a lost table: bring the events back first";

impl Survey {
    /// Checks everything, and mends what can be mended without a loss; what cannot only if it is told to.
    ///
    /// # Errors
    /// If the cluster does not answer. What was done is done; a repair may be begun again at any time.
    pub async fn repair(&self, payloads: bool, mend: Mend) -> Result<Repaired, StoreError> {
        let found = self.find(payloads).await?;
        let report = found.report();
        let begun = self.begun(&found).await?;
        self.progress.begin("repair", found.cases.len() as u64);
        let mut deeds = Vec::new();
        let buried = self.bury(&found, mend).await?;
        for case in &found.cases {
            let outcome = match case {
                Case::Over { event, .. } => match buried.get(event) {
                    Some(records) => Outcome::Did(format!("deleted {records} records and their listing")),
                    None if !found.lives.any => Outcome::Left(NO_EVENTS),
                    None => Outcome::Left(UNSURE),
                },
                case => self.mend(case, &found, begun.as_ref(), mend).await?,
            };
            let finding = case.finding(&found.lives);
            deeds.push(match outcome {
                Outcome::Did(told) => Deed { finding, mended: true, told },
                Outcome::Left(told) => Deed { finding, mended: told == CHANGED, told: told.to_owned() },
            });
            self.progress.done(1);
        }
        let mended = deeds.iter().all(|deed| deed.mended || !deed.finding.counts);
        let whole = if mend.dry_run { report.whole } else { mended };
        let (keyspace, more) = (report.keyspace.clone(), report.more);
        Ok(Repaired { report, keyspace, dry_run: mend.dry_run, whole, more, deeds })
    }

    async fn mend(
        &self,
        case: &Case,
        found: &Found,
        begun: Option<&HashSet<Version>>,
        mend: Mend,
    ) -> Result<Outcome, StoreError> {
        match case {
            Case::Lost { confirmed: false, .. } => {
                Ok(Outcome::Left("not every node that may have the chunks answers: bring all up and check again"))
            }
            Case::Lost { .. } | Case::Damaged { .. } if !mend.drop_lost => {
                Ok(Outcome::Left("publish it again after a DELETE, or give it up with --drop-lost"))
            }
            Case::Lost { row, .. } => match self.lost(row).await? {
                Some(Case::Lost { row, confirmed: true, .. }) => self.drop_lost(&row, found, mend).await,
                _ => Ok(Outcome::Left(CHANGED)),
            },
            Case::Damaged { row, .. } => match self.damaged(row).await? {
                Some(Case::Damaged { row, .. }) => self.drop_lost(&row, found, mend).await,
                _ => Ok(Outcome::Left(CHANGED)),
            },
            Case::Unreadable { .. } => Ok(Outcome::Left("look at it with the build that wrote it")),
            Case::Unlisted { row } => self.list(row, mend).await,
            Case::Orphan { version, parts } => match begun {
                None => Ok(Outcome::Left(UNSURE)),
                Some(begun) if begun.contains(version) => Ok(Outcome::Left(CHANGED)),
                Some(_) => self.delete_chunks(*version, parts, mend).await,
            },
            Case::Over { .. } => Ok(Outcome::Left(CHANGED)),
            Case::Expired { row } => self.delete_expired(row, found, mend).await,
            Case::Idle { place } => {
                if !self.cluster.row_serial(place).await?.is_empty() {
                    return Ok(Outcome::Left(CHANGED));
                }
                match self.row_anywhere(place).await? {
                    None => Ok(Outcome::Left(UNSURE)),
                    Some(copies) if copies.is_empty() => self.unlist(place, found, mend).await,
                    Some(_) => Ok(Outcome::Left(CHANGED)),
                }
            }
        }
    }

    /// Ends what may be half recorded, of all that may name chunks which never expire; the tokens that are named now, by
    /// any node of any datacentre. Chunks without a record are deleted only after this: who asks for such a record later
    /// could end it then. `None` if not all nodes answer.
    async fn begun(&self, found: &Found) -> Result<Option<HashSet<Version>>, StoreError> {
        let mut named = HashSet::new();
        if !found.cases.iter().any(|case| matches!(case, Case::Orphan { .. })) {
            return Ok(Some(named));
        }
        let mut pages = self.pages("records", &self.statements.everywhere.listing);
        loop {
            let page = match pages.next::<(i64, String, i64, i64, String, String)>().await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(Some(named)),
                Err(StoreError::Unavailable(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            for (event, shelf, block, number, name, pipeline) in page {
                if !place::holds_segments(&shelf) {
                    let place = Place { event, shelf, block, number, name, pipeline };
                    named.extend(self.cluster.row_serial(&place).await?.rows().map(|row| row.version));
                    let Some(copies) = self.row_anywhere(&place).await? else { return Ok(None) };
                    named.extend(copies.rows().map(|row| row.version));
                }
            }
        }
    }

    async fn drop_lost(&self, row: &Row, found: &Found, mend: Mend) -> Result<Outcome, StoreError> {
        let place = Place::of(&row.key);
        let is_segment = matches!(row.key.object, Object::Segment { .. });
        let told = if is_segment { "removed the candidate" } else { "deleted the record" };
        if !self.is_own(row, &place).await? {
            return Ok(Outcome::Left(ELSEWHERE));
        }
        if mend.dry_run {
            return Ok(Outcome::Did(told.to_owned()));
        }
        let node = (version::chance() as u64).cast_signed();
        self.cluster.note(&Note::Removed(row.key.clone()), node, self.clock.wall()).await?;
        let left = is_segment.then(|| row.removed(Body::default().digest()));
        let ttl_s = ttl_s(row.keep, self.options.grace, self.clock.wall());
        if self.set(&place, row, left.as_ref(), ttl_s).await? != Swap::Set {
            return Ok(Outcome::Left(CHANGED));
        }
        chunks::delete(&self.cluster, row.version, row.size).await?;
        if !is_segment {
            self.unlist(&place, found, mend).await?;
        }
        Ok(Outcome::Did(told.to_owned()))
    }

    /// Whether `row` was recorded by this datacentre, which alone may change it.
    async fn is_own(&self, row: &Row, place: &Place) -> Result<bool, StoreError> {
        Ok(self.cluster.row_serial(place).await?.own.is_some_and(|own| own.is_same(row)))
    }

    /// Compares and sets until there is an answer.
    async fn set(&self, place: &Place, before: &Row, next: Option<&Row>, ttl_s: i32) -> Result<Swap, StoreError> {
        let mut tries = 1;
        loop {
            match self.cluster.swap(place, Some(before), next, ttl_s).await {
                Err(error @ StoreError::Unavailable(_)) if tries < RACES_MAX => {
                    tracing::debug!(%error, ?place, "a record is tried again");
                    tries += 1;
                    self.clock.sleep(RETRY_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// Lists a record again, where it is not.
    async fn list(&self, row: &Row, mend: Mend) -> Result<Outcome, StoreError> {
        if !self.is_unlisted(row).await? {
            return Ok(Outcome::Left(CHANGED));
        }
        let place = Place::of(&row.key);
        let ttl_s = ttl_s(row.keep, self.options.grace, self.clock.wall());
        if !mend.dry_run {
            self.cluster.list_shelf(&place).await?;
            // One that is there may live longer than this one would make it.
            if !self.is_block_listed(&place).await? {
                self.cluster.list_block(&place, listed_s(ttl_s)).await?;
            }
            self.cluster.list_row(&place, ttl_s).await?;
        }
        Ok(Outcome::Did("listed it again".to_owned()))
    }

    async fn delete_chunks(&self, version: Version, parts: &[u32], mend: Mend) -> Result<Outcome, StoreError> {
        let mut deleted = 0;
        for part in parts {
            let chunk = Chunk { version, part: *part };
            if self.chunk(version, *part).await? == Some(None) {
                deleted += 1;
                if !mend.dry_run {
                    self.cluster.delete(chunk).await?;
                    self.clock.sleep(FREE_PACE).await;
                }
            }
        }
        Ok(if deleted == 0 { Outcome::Left(CHANGED) } else { Outcome::Did(format!("deleted {deleted} chunks")) })
    }

    async fn delete_expired(&self, row: &Row, found: &Found, mend: Mend) -> Result<Outcome, StoreError> {
        let gone = |row: &Row| !keeps(row, self.options.grace, self.clock.wall());
        let Some(row) = self.still(row).await?.filter(gone) else { return Ok(Outcome::Left(CHANGED)) };
        let place = Place::of(&row.key);
        if !self.is_own(&row, &place).await? {
            return Ok(Outcome::Left(ELSEWHERE));
        }
        if !mend.dry_run {
            if self.set(&place, &row, None, 0).await? != Swap::Set {
                return Ok(Outcome::Left(CHANGED));
            }
            chunks::delete(&self.cluster, row.version, row.size).await?;
            self.unlist(&place, found, mend).await?;
        }
        Ok(Outcome::Did("deleted the record and its chunks".to_owned()))
    }

    /// Takes a place off the listing as the check has seen it: an upload that lists it again now writes it later.
    async fn unlist(&self, place: &Place, found: &Found, mend: Mend) -> Result<Outcome, StoreError> {
        if !mend.dry_run {
            let Place { event, shelf, block, number, name, pipeline } = place;
            let seen = (before(found.started, SKEW).nanos() / 1000) as i64;
            let values = (seen, event, shelf, block, number, name, pipeline);
            let result = self.cluster.session.execute_unpaged(&self.statements.unlist, values).await;
            result.map_err(|error| unavailable("removing a place of the listing", error))?;
            self.clock.sleep(FREE_PACE).await;
            if self.is_listed(place).await? {
                return Ok(Outcome::Left("it was listed a moment ago: repair again in a minute"));
            }
        }
        Ok(Outcome::Did("took it off the listing".to_owned()))
    }
}
