//! Event entries in the cluster: one row for each datacentre that has written it, and only over the revision that the
//! writer knew; the latest counts. Beside an entry stands which lives of the event are over and still to be freed, so
//! that this is never lost with a process.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::StreamExt;
use headwater_model::event::Entry;
use headwater_model::row::EventId;
use headwater_model::{EventName, Tenant};
use headwater_store::StoreError;
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;

use crate::error::{damaged, readable, stranger, unavailable};
use crate::rows;
use crate::session::Cluster;
use crate::tables::Reach;

/// The entry of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The one that counts: of the datacentres' the latest.
    pub entry: Entry,
    /// The lives of its event that this datacentre has still to free.
    pub ended: Vec<EventId>,
    /// The revision that this datacentre has written last; 0 if it has none.
    pub own: u64,
}

/// Whether an entry was written, else the revision that stands.
pub type Written = Result<(), u64>;

/// Event entries. Every call fails as those of [`Records`](crate::tables::Records) do.
#[async_trait]
pub trait Entries: Send + Sync {
    /// The entry of an event as a local quorum has it.
    async fn entry(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError>;

    /// The entry of an event after everything that was begun here before.
    async fn entry_serial(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError>;

    /// Every entry.
    async fn entries(&self, reach: Reach) -> Result<Vec<Standing>, StoreError>;

    /// Writes `entry` with `ended` if the own one that stands has revision `expected` (0: none stands); whether it did,
    /// else the revision that stands.
    async fn swap_entry(&self, entry: &Entry, ended: &[EventId], expected: u64) -> Result<Written, StoreError>;

    /// The media of `freed` is gone; `false` if another list stands by now.
    async fn mark_freed(&self, of: &Standing, freed: EventId) -> Result<bool, StoreError>;
}

/// One datacentre's, with the lives that it has still to free.
pub(crate) type Copy = (Entry, Vec<EventId>);

/// One that was read, if there is one and it can be.
pub(crate) type Decoded = Result<Option<Copy>, StoreError>;

/// Whether `one` counts and not `other`: the later revision does. Two datacentres that have changed an event at once have
/// the same one, and choose alike; what was deleted in either is deleted.
pub(crate) fn outranks(one: &Entry, other: &Entry) -> bool {
    let rank = |entry: &Entry| (entry.counters().rev, matches!(entry, Entry::Gone { .. }));
    rank(one) > rank(other) || (rank(one) == rank(other) && one.to_json() > other.to_json())
}

impl Standing {
    /// Of what the datacentres have written: the own entry with its list, and the other's.
    #[must_use]
    pub fn of(own: Option<(Entry, Vec<EventId>)>, other: Option<Entry>) -> Option<Self> {
        let Some((entry, ended)) = own else {
            return other.map(|entry| Self { entry, ended: Vec::new(), own: 0 });
        };
        let own = entry.counters().rev;
        let entry = other.filter(|other| outranks(other, &entry)).unwrap_or(entry);
        Some(Self { entry, ended, own })
    }
}

impl Cluster {
    async fn standing_by(
        &self,
        statement: &PreparedStatement,
        tenant: &Tenant,
        name: &EventName,
    ) -> Result<Option<Standing>, StoreError> {
        let own = self.entry_by(statement, tenant, &self.sites.own(name.as_str())).await?;
        let other = match self.sites.other(name.as_str()) {
            Some(other) => self.entry_by(&self.statements.events.read, tenant, &other).await?,
            None => None,
        };
        Ok(Standing::of(own, other.map(|(entry, _)| entry)))
    }

    async fn entry_by(
        &self,
        statement: &PreparedStatement,
        tenant: &Tenant,
        name: &str,
    ) -> Result<Option<Copy>, StoreError> {
        let result = self.session.execute_unpaged(statement, (tenant.as_str(), name)).await;
        let result = result.map_err(|error| unavailable("reading an event", error))?;
        let rows = result.into_rows_result().map_err(|error| damaged("an event", error))?;
        let row = rows.maybe_first_row::<Columns>().map_err(|error| damaged("an event", error))?;
        Ok(row.map(decode).transpose()?.flatten())
    }

    /// Every entry as `statement` reads them; `judge` says what to make of one that cannot be read.
    pub(crate) async fn entries_by(
        &self,
        statement: &PreparedStatement,
        judge: fn(Decoded) -> Decoded,
    ) -> Result<Vec<Standing>, StoreError> {
        let pages = self.session.execute_iter(statement.clone(), ()).await;
        let pages = pages.map_err(|error| unavailable("reading all events", error))?;
        let rows = pages.rows_stream::<(String, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>)>();
        let mut rows = rows.map_err(|error| damaged("events", error))?;
        let mut copies: BTreeMap<(Tenant, EventName), (Option<Copy>, Option<Copy>)> = BTreeMap::new();
        while let Some(row) = rows.next().await {
            let (name, _, entry, ended) = row.map_err(|error| unavailable("reading all events", error))?;
            let site = self.sites.read(&name);
            let copy = site.map_or_else(|| Err(stranger(&name)), |_| decode((entry, ended)));
            let (Some((own, _)), Some(copy)) = (site, judge(copy)?) else { continue };
            let (tenant, name) = copy.0.names();
            let copies = copies.entry((tenant.clone(), name.clone())).or_default();
            *(if own { &mut copies.0 } else { &mut copies.1 }) = Some(copy);
        }
        let copies = copies.into_values();
        Ok(copies.filter_map(|(own, other)| Standing::of(own, other.map(|(entry, _)| entry))).collect())
    }
}

#[async_trait]
impl Entries for Cluster {
    async fn entry(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError> {
        self.standing_by(&self.statements.events.read, tenant, name).await
    }

    async fn entry_serial(&self, tenant: &Tenant, name: &EventName) -> Result<Option<Standing>, StoreError> {
        self.standing_by(&self.statements.events.read_serial, tenant, name).await
    }

    async fn entries(&self, reach: Reach) -> Result<Vec<Standing>, StoreError> {
        let judge = |copy| readable(copy, "an event cannot be read");
        self.entries_by(self.statements.events.scan.by(reach), judge).await
    }

    async fn swap_entry(&self, entry: &Entry, ended: &[EventId], expected: u64) -> Result<Written, StoreError> {
        let (tenant, name) = entry.names();
        let (tenant, name) = (tenant.as_str(), self.sites.own(name.as_str()));
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

    async fn mark_freed(&self, of: &Standing, freed: EventId) -> Result<bool, StoreError> {
        let (tenant, name) = of.entry.names();
        let left: Vec<EventId> = of.ended.iter().copied().filter(|id| *id != freed).collect();
        let values = (encode(&left), tenant.as_str(), self.sites.own(name.as_str()), encode(&of.ended));
        let result = self.session.execute_unpaged(&self.statements.events.freed, values).await;
        Ok(answer(result.map_err(|error| unavailable("writing an event", error))?)?.0)
    }
}

type Columns = (Option<Vec<u8>>, Option<Vec<u8>>);

fn decode((entry, ended): Columns) -> Decoded {
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
