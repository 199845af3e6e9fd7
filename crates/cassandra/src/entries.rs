//! Event entries in the cluster: one row each, written only over the revision that the writer knew. Beside the entry
//! stands which lives of the event are over and still to be freed, so that this is never lost with a process.

use futures_util::StreamExt;
use headwater_model::event::Entry;
use headwater_model::row::EventId;
use headwater_model::{EventName, Tenant};
use headwater_store::StoreError;
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;

use crate::error::{damaged, unavailable};
use crate::rows;
use crate::session::Cluster;

/// An entry with the lives of its event that are still to be freed.
pub type Standing = (Entry, Vec<EventId>);

impl Cluster {
    /// The entry of an event as a local quorum has it.
    pub(crate) async fn entry(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError> {
        self.entry_by(&self.statements.events.read, tenant, name).await
    }

    /// The entry of an event after everything that was begun before.
    pub(crate) async fn entry_serial(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError> {
        self.entry_by(&self.statements.events.read_serial, tenant, name).await
    }

    async fn entry_by(
        &self,
        statement: &PreparedStatement,
        tenant: &Tenant,
        name: &EventName,
    ) -> Result<Option<Standing>, StoreError> {
        let result = self.session.execute_unpaged(statement, (tenant.as_str(), name.as_str())).await;
        let result = result.map_err(|error| unavailable("reading an event", error))?;
        let rows = result.into_rows_result().map_err(|error| damaged("an event", error))?;
        let row = rows.maybe_first_row::<Columns>().map_err(|error| damaged("an event", error))?;
        Ok(row.map(decode).transpose()?.flatten())
    }

    /// Every entry.
    pub(crate) async fn entries(&self) -> Result<Vec<Standing>, StoreError> {
        self.entries_by(&self.statements.events.scan).await
    }

    /// Every entry as `statement` reads them.
    pub(crate) async fn entries_by(&self, statement: &PreparedStatement) -> Result<Vec<Standing>, StoreError> {
        let pages = self.session.execute_iter(statement.clone(), ()).await;
        let pages = pages.map_err(|error| unavailable("reading all events", error))?;
        let mut rows = pages.rows_stream::<Columns>().map_err(|error| damaged("events", error))?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next().await {
            entries.extend(decode(row.map_err(|error| unavailable("reading all events", error))?)?);
        }
        entries.sort_by(|(one, _), (other, _)| one.names().cmp(&other.names()));
        Ok(entries)
    }

    /// Writes `entry` with `ended` if the one that stands has revision `expected` (0: none stands); whether it did, else
    /// the revision that stands.
    pub(crate) async fn swap_entry(
        &self,
        entry: &Entry,
        ended: &[EventId],
        expected: u64,
    ) -> Result<Result<(), u64>, StoreError> {
        let (tenant, name) = entry.names();
        let (tenant, name) = (tenant.as_str(), name.as_str());
        let (rev, json, ended) = (entry.counters().rev.cast_signed(), entry.to_json(), encode(ended));
        let result = if expected == 0 {
            self.session.execute_unpaged(&self.statements.events.insert, (tenant, name, rev, json, ended)).await
        } else {
            let values = (rev, json, ended, tenant, name, expected.cast_signed());
            self.session.execute_unpaged(&self.statements.events.replace, values).await
        };
        let (applied, current) = answer(result.map_err(|error| unavailable("writing an event", error))?)?;
        Ok(if applied { Ok(()) } else { Err(current) })
    }

    /// The media of `freed` is gone; `false` if another list stands by now.
    pub(crate) async fn mark_freed(&self, of: &Standing, freed: EventId) -> Result<bool, StoreError> {
        let (tenant, name) = of.0.names();
        let left: Vec<EventId> = of.1.iter().copied().filter(|id| *id != freed).collect();
        let values = (encode(&left), tenant.as_str(), name.as_str(), encode(&of.1));
        let result = self.session.execute_unpaged(&self.statements.events.freed, values).await;
        Ok(answer(result.map_err(|error| unavailable("writing an event", error))?)?.0)
    }
}

type Columns = (Option<Vec<u8>>, Option<Vec<u8>>);

fn decode((entry, ended): Columns) -> Result<Option<Standing>, StoreError> {
    let Some(json) = entry else { return Ok(None) };
    let entry = Entry::from_json(&json).map_err(|error| damaged("an event", error))?;
    let ended = ended.unwrap_or_default();
    let ids = ended.chunks_exact(8).map(|id| EventId(u64::from_be_bytes(std::array::from_fn(|at| id[at]))));
    Ok(Some((entry, ids.collect())))
}

fn encode(ended: &[EventId]) -> Vec<u8> {
    ended.iter().flat_map(|id| id.0.to_be_bytes()).collect()
}

/// Whether a conditional statement was applied, else the revision that stands; 0 for none.
fn answer(result: QueryResult) -> Result<(bool, u64), StoreError> {
    let (applied, current) = rows::answer(result, "rev")?;
    let current = match current {
        Some(CqlValue::BigInt(rev)) => rev.cast_unsigned(),
        _ => 0,
    };
    Ok((applied, current))
}
