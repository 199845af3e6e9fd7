//! The second look at what seemed wrong: only what is still so, after what may have been in progress has ended, is told.

use std::time::Duration;

use headwater_model::Pipeline;
use headwater_model::row::{EventId, Row};
use headwater_store::StoreError;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

use super::find::Suspects;
use super::report::Case;
use super::{Lives, Survey};
use crate::announce::is_removed;
use crate::chunks;
use crate::copies::Copies;
use crate::error::{damaged, unavailable};
use crate::index::keeps;
use crate::place::{self, Place};
use crate::publish::REPLACED_FOR;
use crate::tables::Records;

/// What was begun before has ended this long after a publish's budget, or after the chunks of a replaced object go.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// What expires within this is about to go, its record and its listing not at the same moment.
const GOING: i128 = 60_000_000_000;

impl Survey {
    /// What of the suspects is wrong, with the lives as they are now.
    pub(super) async fn verify(&self, suspects: Suspects) -> Result<(Vec<Case>, Lives), StoreError> {
        let mut cases = Vec::new();
        let idle = self.idle(suspects.idle).await?;
        if !idle.is_empty() {
            self.until(suspects.listing_read + self.options.publish_budget + SETTLED_AFTER).await;
        }
        if !suspects.orphans.is_empty() {
            self.until(suspects.rows_read + REPLACED_FOR + SETTLED_AFTER).await;
        }
        let count = suspects.lost.len() + suspects.damaged.len() + suspects.missing.len() + suspects.expired.len();
        self.progress.begin("verify", (count + idle.len() + suspects.orphans.len()) as u64);
        for row in suspects.lost {
            cases.extend(self.lost(&row).await?);
            self.progress.done(1);
        }
        for row in suspects.damaged {
            cases.extend(self.damaged(&row).await?);
            self.progress.done(1);
        }
        for (place, error) in suspects.unreadable {
            cases.extend(self.unreadable(place, error).await?);
        }
        for row in suspects.missing {
            cases.extend(self.is_unlisted(&row).await?.then_some(Case::Unlisted { row }));
            self.progress.done(1);
        }
        for (version, parts) in suspects.orphans {
            let mut left = Vec::new();
            for part in parts {
                self.pace(1).await;
                left.extend((self.chunk(version, part).await? == Some(None)).then_some(part));
            }
            cases.extend((!left.is_empty()).then_some(Case::Orphan { version, parts: left }));
            self.progress.done(1);
        }
        for row in suspects.expired {
            cases.extend(self.still(&row).await?.map(|row| Case::Expired { row }));
            self.progress.done(1);
        }
        for place in self.idle(idle).await? {
            cases.push(Case::Idle { place });
            self.progress.done(1);
        }
        cases.extend(suspects.over.into_iter().map(|(event, records)| Case::Over { event, records }));
        // Last: the media of an event that was deleted meanwhile went before its records did.
        let lives = self.lives().await?;
        cases.retain(|case| match case {
            Case::Over { event, .. } => lives.is_over(*event),
            Case::Lost { row, .. } | Case::Damaged { row, .. } | Case::Unlisted { row } | Case::Expired { row } => {
                !lives.is_over(place::event(row.key.event))
            }
            Case::Unreadable { place, .. } | Case::Idle { place } => !lives.is_over(place.event),
            Case::Orphan { .. } => true,
        });
        cases.sort_by_key(Case::what);
        Ok((cases, lives))
    }

    /// The record that stands, if it is of the same upload as `row`.
    pub(super) async fn still(&self, row: &Row) -> Result<Option<Row>, StoreError> {
        self.pace(1).await;
        let stands = self.cluster.row_serial(&Place::of(&row.key)).await?;
        Ok(stands.rows().find(|stands| stands.is_same(row)).cloned())
    }

    /// The chunks of `row` that are nowhere, if it still stands.
    pub(super) async fn lost(&self, row: &Row) -> Result<Option<Case>, StoreError> {
        let mut missing = Vec::new();
        let mut confirmed = true;
        for part in 0..chunks::parts(row) {
            self.pace(1).await;
            if self.chunk(row.version, part).await?.is_none() {
                match self.is_anywhere(row, part).await {
                    Some(true) => continue,
                    Some(false) => {}
                    None => confirmed = false,
                }
                missing.push(part);
            }
        }
        if missing.is_empty() {
            return Ok(None);
        }
        // After the chunks: those of a record that stands are never taken away.
        let Some(row) = self.still(row).await?.filter(|row| !is_removed(row) && self.stays(row)) else {
            return Ok(None);
        };
        let intact = self.intact(&row).await?;
        Ok(Some(Case::Lost { row, missing, confirmed, intact }))
    }

    /// Whether any node has a chunk that a quorum has not, which brings it back to the others; `None` if not all answer.
    async fn is_anywhere(&self, row: &Row, part: u32) -> Option<bool> {
        let values = (row.version.0.to_be_bytes(), part.cast_signed());
        let statement = &self.statements.chunks_of(row.version).everywhere;
        let asked = self.cluster.session.execute_unpaged(statement, values).await;
        match asked.map(QueryResult::into_rows_result) {
            Ok(Ok(rows)) => Some(rows.rows_num() > 0),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a chunk's answer cannot be read");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "not every node could be asked for a chunk");
                None
            }
        }
    }

    /// The records at `place` as any node of any datacentre has them; `None` if not all answer.
    pub(super) async fn row_anywhere(&self, place: &Place) -> Result<Option<Copies>, StoreError> {
        self.pace(1).await;
        match self.cluster.copies(&self.statements.everywhere.row, &self.statements.everywhere.row, place).await {
            Ok(copies) => Ok(Some(copies)),
            Err(StoreError::Unavailable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the bytes of `row` are others than were stored, if it still stands.
    pub(super) async fn damaged(&self, row: &Row) -> Result<Option<Case>, StoreError> {
        match self.payload(row).await {
            Ok(Some(_)) => return Ok(None),
            Ok(None) => return self.lost(row).await,
            Err(StoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
        let Some(row) = self.still(row).await?.filter(|row| !is_removed(row) && self.stays(row)) else {
            return Ok(None);
        };
        let intact = self.intact(&row).await?;
        Ok(Some(Case::Damaged { row, intact }))
    }

    async fn unreadable(&self, place: Place, error: String) -> Result<Option<Case>, StoreError> {
        self.pace(1).await;
        match self.cluster.row_serial(&place).await {
            Ok(stands) if stands.rows().all(|row| Place::of(&row.key) == place) => Ok(None),
            Ok(_) => Ok(Some(Case::Unreadable { place, error })),
            Err(StoreError::Damaged(_)) => Ok(Some(Case::Unreadable { place, error })),
            Err(error) => Err(error),
        }
    }

    /// Whether listings do not find `row`, which still stands.
    pub(super) async fn is_unlisted(&self, row: &Row) -> Result<bool, StoreError> {
        let place = Place::of(&row.key);
        self.pace(3).await;
        let listed = self.is_listed(&place).await?
            && self.is_block_listed(&place).await?
            && self.cluster.shelves(row.key.event).await?.contains(&place.shelf);
        Ok(!listed && self.still(row).await?.is_some_and(|row| self.stays(&row)))
    }

    pub(super) async fn is_listed(&self, place: &Place) -> Result<bool, StoreError> {
        let Place { event, shelf, block, number, name, pipeline } = place;
        self.is_there(&self.statements.listed, (event, shelf, block, number, name, pipeline)).await
    }

    pub(super) async fn is_block_listed(&self, place: &Place) -> Result<bool, StoreError> {
        self.is_there(&self.statements.block, (place.event, &place.shelf, place.block)).await
    }

    async fn is_there(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<bool, StoreError> {
        let result = self.cluster.session.execute_unpaged(statement, values).await;
        let rows = result.map_err(|error| unavailable("looking into the listing", error))?.into_rows_result();
        Ok(rows.map_err(|error| damaged("the listing", error))?.rows_num() > 0)
    }

    /// Those of `places` at which there is no record, after everything that was begun.
    async fn idle(&self, places: Vec<Place>) -> Result<Vec<Place>, StoreError> {
        let mut idle = Vec::new();
        for place in places {
            self.pace(1).await;
            if self.cluster.row_serial(&place).await?.is_empty() && self.is_listed(&place).await? {
                idle.push(place);
            }
        }
        Ok(idle)
    }

    /// Whether a record counts and will for a while.
    pub(super) fn stays(&self, row: &Row) -> bool {
        keeps(row, self.options.grace, self.clock.wall().offset_nanos(GOING))
    }

    /// Pipelines whose sound candidates of the same object are whole.
    async fn intact(&self, row: &Row) -> Result<Vec<Pipeline>, StoreError> {
        let Place { event, shelf, block, number, .. } = Place::of(&row.key);
        let event = EventId(event.cast_unsigned());
        let mut intact = Vec::new();
        for other in self.cluster.rows_of(event, &shelf, &[block], number..=number).await? {
            let same = other.key.object == row.key.object && other.key.pipeline != row.key.pipeline;
            if same && other.sound.is_some() && self.is_whole(&other).await? {
                intact.push(other.key.pipeline);
            }
        }
        Ok(intact)
    }

    async fn is_whole(&self, row: &Row) -> Result<bool, StoreError> {
        for part in 0..chunks::parts(row) {
            self.pace(1).await;
            if self.chunk(row.version, part).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
