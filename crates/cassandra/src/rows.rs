//! Candidate records in the cluster: compare and set one, read one, list a range. Answers what the cluster says and
//! remembers nothing but which directory entries exist.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::pin::pin;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use headwater_model::row::{EventId, Object, Row};
use headwater_model::{Pipeline, Rendition};
use headwater_store::StoreError;
use headwater_store::codec::{decode_row, encode_row};
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;

use crate::copies::Copies;
use crate::error::{damaged, readable, stranger, unavailable};
use crate::place::{self, Place, SITE};
use crate::session::Cluster;
use crate::tables::{Keeps, Reach, Records};

/// Blocks that one listing reads at once.
const LISTED_AT_ONCE: usize = 8;
/// Records that one listing reads at once: those of a usual question together.
const ROWS_AT_ONCE: usize = 16;
/// Blocks between two looks whether there are enough records.
const BLOCKS_AT_ONCE: usize = 32;
/// Records of a block, at least, where segments are not missing.
const BLOCK_ROWS: usize = 64;

/// How a compare-and-set ended.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it lives for one commit")]
pub enum Swap {
    /// The own record is what was to be set.
    Set,
    /// It is something else.
    Stands(Copies),
}

impl Cluster {
    /// The records at `place`, each as a statement reads it.
    pub(crate) async fn copies(
        &self,
        own: &PreparedStatement,
        other: &PreparedStatement,
        place: &Place,
    ) -> Result<Copies, StoreError> {
        let own = self.record(own, place, &self.sites.own(&place.pipeline)).await?;
        self.with_other(own, other, place).await
    }

    /// The other one is read after the own one: what that says of it was written when it was here.
    async fn with_other(
        &self,
        own: Option<Row>,
        other: &PreparedStatement,
        place: &Place,
    ) -> Result<Copies, StoreError> {
        let Some(pipeline) = self.sites.other(&place.pipeline) else { return Ok(Copies::own(own)) };
        Ok(Copies { own, other: self.record(other, place, &pipeline).await? })
    }

    /// One record as `statement` reads it.
    pub(crate) async fn record(
        &self,
        statement: &PreparedStatement,
        place: &Place,
        pipeline: &str,
    ) -> Result<Option<Row>, StoreError> {
        let Place { event, shelf, number, name, .. } = place;
        let values = (event, shelf, number, name, pipeline);
        let result = self.session.execute_unpaged(statement, values).await;
        let result = result.map_err(|error| unavailable("reading a record", error))?;
        let rows = result.into_rows_result().map_err(|error| damaged("a record", error))?;
        let row = rows.maybe_first_row::<(Option<Vec<u8>>,)>().map_err(|error| damaged("a record", error))?;
        row.and_then(|(row,)| row).map(|bytes| decode(&bytes)).transpose()
    }

    /// All records that count of some blocks of a shelf.
    pub(crate) async fn rows_of(
        &self,
        event: EventId,
        shelf: &str,
        blocks: &[i64],
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<Row>, StoreError> {
        let listed = blocks.iter().map(|block| self.listed(event, shelf, *block, numbers.clone()));
        let listed: Vec<_> = listed.collect();
        let places: Vec<Vec<Place>> = stream::iter(listed).buffered(LISTED_AT_ONCE).try_collect().await?;
        let read = async |place| readable(self.row(place).await, "a record that is listed cannot be read");
        let reads: Vec<_> = places.iter().flatten().map(read).collect();
        let rows: Vec<Copies> = stream::iter(reads).buffered(ROWS_AT_ONCE).try_collect().await?;
        // What holds the place of a candidate that was passed over is nobody's record.
        Ok(rows.iter().filter_map(Copies::counts).filter(Row::has_come).collect())
    }

    /// Blocks of a shelf.
    async fn blocks(
        &self,
        statement: &PreparedStatement,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<Vec<i64>, StoreError> {
        let pages = self.session.execute_iter(statement.clone(), values).await;
        let pages = pages.map_err(|error| unavailable("listing blocks", error))?;
        let rows = pages.rows_stream::<(i64,)>().map_err(|error| damaged("blocks", error))?;
        rows.map_ok(|(block,)| block).map_err(|error| unavailable("listing blocks", error)).try_collect().await
    }

    /// Every record.
    async fn see_all(&self, reach: Reach, see: &mut (dyn FnMut(bool, Row) + Send)) -> Result<(), StoreError> {
        let statement = self.statements.rows.scan.by(reach);
        let mut ranges = pin!(self.whole::<(String, Option<Vec<u8>>)>("reading all records", statement));
        let mut strangers = BTreeMap::new();
        while let Some(rows) = ranges.try_next().await? {
            for (pipeline, row) in rows {
                let Some((own, _)) = self.sites.read(&pipeline) else {
                    let (_, site) = place::of_site(&pipeline).unwrap_or_default();
                    *strangers.entry(site.to_owned()).or_insert(0_u64) += 1;
                    continue;
                };
                let Some(row) = row else { continue };
                let row = readable(decode(&row).map(Some), "a record cannot be read")?;
                row.into_iter().for_each(|row| see(own, row));
            }
        }
        for (site, records) in strangers {
            let error = stranger(&format!("{SITE}{site}"));
            tracing::error!(records, %error, "records of another datacentre are left out");
        }
        Ok(())
    }

    /// Puts back what is missing in the listings of one datacentre and not of the other: who reads copies that differ
    /// mends them.
    async fn mend_listings(&self) -> Result<(), StoreError> {
        for scan in &self.statements.listing.scans {
            let ranges = self.whole::<(i64,)>("reading all listings", scan.by(Reach::Both));
            ranges.try_for_each(|_| async { Ok(()) }).await?;
        }
        Ok(())
    }

    /// A statement of which nothing is asked.
    async fn write(
        &self,
        what: &'static str,
        statement: &PreparedStatement,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<(), StoreError> {
        let result = self.session.execute_unpaged(statement, values).await;
        result.map(drop).map_err(|error| unavailable(what, error))
    }
}

#[async_trait]
impl Records for Cluster {
    async fn swap(
        &self,
        place: &Place,
        before: Option<&Row>,
        next: Option<&Row>,
        ttl_s: i32,
    ) -> Result<Swap, StoreError> {
        let Place { event, shelf, number, name, .. } = place;
        let pipeline = self.sites.own(&place.pipeline);
        let (before, bytes) = (before.map(encode), next.map(encode));
        let result = match (before, bytes) {
            (None, None) => return Ok(Swap::Set),
            (None, Some(next)) => {
                let values = (ttl_s, next, event, shelf, number, name, pipeline);
                self.session.execute_unpaged(&self.statements.rows.insert, values).await
            }
            (Some(before), Some(next)) => {
                let values = (ttl_s, next, event, shelf, number, name, pipeline, before);
                self.session.execute_unpaged(&self.statements.rows.replace, values).await
            }
            (Some(before), None) => {
                let values = (event, shelf, number, name, pipeline, before);
                self.session.execute_unpaged(&self.statements.rows.delete, values).await
            }
        };
        let (applied, current) = answer(result.map_err(|error| unavailable("recording", error))?, "row")?;
        if applied {
            return Ok(Swap::Set);
        }
        let current = match current {
            Some(CqlValue::Blob(bytes)) => Some(decode(&bytes)?),
            _ => None,
        };
        if current.as_ref() == next {
            return Ok(Swap::Set);
        }
        self.with_other(current, &self.statements.rows.read, place).await.map(Swap::Stands)
    }

    async fn row(&self, place: &Place) -> Result<Copies, StoreError> {
        self.copies(&self.statements.rows.read, &self.statements.rows.read, place).await
    }

    async fn row_serial(&self, place: &Place) -> Result<Copies, StoreError> {
        self.copies(&self.statements.rows.read_serial, &self.statements.rows.read, place).await
    }

    async fn rows(
        &self,
        event: EventId,
        rendition: &Rendition,
        numbers: RangeInclusive<u64>,
        limit: usize,
        keeps: Keeps<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let shelf = place::segments(rendition);
        let blocks = place::blocks(&numbers);
        let values = (place::event(event), &shelf, *blocks.start(), *blocks.end());
        let blocks = self.blocks(&self.statements.listing.read_blocks, values).await?;
        let numbers = place::signed(*numbers.start())..=place::signed(*numbers.end());
        let mut rows = Vec::new();
        // Blocks are cuts between numbers, and each has a few dozen: no more of them than the limit needs.
        for some in blocks.chunks((limit / BLOCK_ROWS).clamp(1, BLOCKS_AT_ONCE)) {
            rows.extend(self.rows_of(event, &shelf, some, numbers.clone()).await?.into_iter().filter(keeps));
            if rows.len() >= limit {
                break;
            }
        }
        rows.sort_by(|one, other| order(one).cmp(&order(other)));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn scan(&self, reach: Reach, see: &mut (dyn FnMut(bool, Row) + Send)) -> Result<(), StoreError> {
        match reach {
            Reach::Here => self.see_all(reach, see).await,
            Reach::Both => tokio::try_join!(self.see_all(reach, see), self.mend_listings()).map(drop),
        }
    }

    async fn list_row(&self, place: &Place, ttl_s: i32) -> Result<(), StoreError> {
        let Place { event, shelf, block, number, name, pipeline } = place;
        let values = (event, shelf, block, number, name, pipeline, ttl_s);
        self.write("listing a record", &self.statements.listing.insert_row, values).await
    }

    async fn list_block(&self, place: &Place, ttl_s: i32) -> Result<(), StoreError> {
        let values = (place.event, &place.shelf, place.block, ttl_s);
        self.write("listing a block", &self.statements.listing.insert_block, values).await
    }

    async fn list_shelf(&self, place: &Place) -> Result<(), StoreError> {
        self.write("listing a shelf", &self.statements.listing.insert_shelf, (place.event, &place.shelf)).await
    }

    async fn listed(
        &self,
        event: EventId,
        shelf: &str,
        block: i64,
        numbers: RangeInclusive<i64>,
    ) -> Result<Vec<Place>, StoreError> {
        let values = (place::event(event), shelf, block, *numbers.start(), *numbers.end());
        let pages = self.session.execute_iter(self.statements.listing.read_rows.clone(), values).await;
        let pages = pages.map_err(|error| unavailable("listing records", error))?;
        let rows = pages.rows_stream::<(i64, String, String)>().map_err(|error| damaged("a listing", error))?;
        let (event, shelf) = (place::event(event), shelf.to_owned());
        let place = |(number, name, pipeline)| Place { event, shelf: shelf.clone(), block, number, name, pipeline };
        rows.map_ok(place).map_err(|error| unavailable("listing records", error)).try_collect().await
    }

    async fn shelves(&self, event: EventId) -> Result<Vec<String>, StoreError> {
        let result = self.session.execute_unpaged(&self.statements.listing.read_shelves, (place::event(event),)).await;
        let result = result.map_err(|error| unavailable("listing shelves", error))?;
        let rows = result.into_rows_result().map_err(|error| damaged("shelves", error))?;
        let rows = rows.rows::<(String,)>().map_err(|error| damaged("shelves", error))?;
        rows.map(|row| row.map(|(shelf,)| shelf).map_err(|error| damaged("a shelf", error))).collect()
    }

    async fn all_blocks(&self, event: EventId, shelf: &str) -> Result<Vec<i64>, StoreError> {
        self.blocks(&self.statements.listing.read_blocks_down, (place::event(event), shelf)).await
    }

    async fn erase_row(&self, place: &Place) -> Result<(), StoreError> {
        let Place { event, shelf, number, name, .. } = place;
        for pipeline in [Some(self.sites.own(&place.pipeline)), self.sites.other(&place.pipeline)].into_iter().flatten()
        {
            let values = (event, shelf, number, name, pipeline);
            self.write("removing a record", &self.statements.rows.erase, values).await?;
        }
        Ok(())
    }

    async fn delete_listing(&self, event: i64, shelf: &str, block: i64) -> Result<(), StoreError> {
        self.write("removing a listing", &self.statements.listing.delete_rows, (event, shelf, block)).await
    }

    async fn delete_blocks(&self, event: i64, shelf: &str) -> Result<(), StoreError> {
        self.write("removing a shelf", &self.statements.listing.delete_blocks, (event, shelf)).await
    }

    async fn delete_shelves(&self, event: i64) -> Result<(), StoreError> {
        self.write("removing an event", &self.statements.listing.delete_shelves, (event,)).await
    }
}

/// What a conditional statement answered: whether it was applied, and what stands in `column` if not.
pub(crate) fn answer(result: QueryResult, column: &str) -> Result<(bool, Option<CqlValue>), StoreError> {
    let result = result.into_rows_result().map_err(|error| damaged("a conditional answer", error))?;
    let at = |name: &str| result.column_specs().get_by_name(name).map(|(index, _)| index);
    let (applied, column) = (at("[applied]"), at(column));
    let row: scylla::value::Row = result.single_row().map_err(|error| damaged("a conditional answer", error))?;
    let value = |index: Option<usize>| index.and_then(|index| row.columns.get(index)?.clone());
    Ok((matches!(value(applied), Some(CqlValue::Boolean(true))), value(column)))
}

/// A record, and behind it the names of those in whose favour it was passed over, each with its length in a byte.
fn encode(row: &Row) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_row(row, &mut bytes);
    for by in &row.passed {
        bytes.push(by.as_str().len() as u8);
        bytes.extend(by.as_str().as_bytes());
    }
    bytes
}

pub(crate) fn decode(mut bytes: &[u8]) -> Result<Row, StoreError> {
    let row = decode_row(&mut bytes).map_err(|error| damaged("a record", error))?;
    let mut passed = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let cut = rest.split_at_checked(usize::from(*length));
        let (name, rest) = cut.ok_or_else(|| damaged("a record", "it ends early"))?;
        let name = str::from_utf8(name).map_err(|error| damaged("a record", error))?;
        passed.push(Pipeline::new(name).map_err(|error| damaged("a record", error))?);
        bytes = rest;
    }
    Ok(Row { passed: passed.into(), ..row })
}

fn number(row: &Row) -> u64 {
    match row.key.object {
        Object::Segment { number, .. } => number,
        Object::Init { .. } | Object::Loose { .. } => 0,
    }
}

fn order(row: &Row) -> (u64, &str) {
    (number(row), row.key.pipeline.as_str())
}

#[cfg(test)]
mod tests {
    use headwater_model::row::{Digest, Keep};
    use headwater_store::conformance::segment;

    use super::*;

    #[test]
    fn who_was_passed_over_for_whom_is_read_as_written_and_never_from_less() {
        let name = |name| Pipeline::new(name).unwrap();
        let region = headwater_model::Region::new("east").unwrap();
        let absent = Row::absent(segment("v", 7, "a"), Keep::Standing, region, Digest(1), name("b"));
        let row = absent.passed_over(&name("backup-2"));
        let bytes = encode(&row);
        assert_eq!(decode(&bytes), Ok(row));
        let marks = "b".len() + "backup-2".len() + 2;
        for cut in (1..marks).filter(|cut| *cut != "backup-2".len() + 1) {
            assert!(decode(&bytes[..bytes.len() - cut]).is_err(), "{cut}");
        }
    }
}
